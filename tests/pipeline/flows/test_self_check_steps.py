"""Where the self-check and its loop are in the DAG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dpa_sse.pipeline.config.load import load_project
from dpa_sse.pipeline.engines.platform import Resources
from dpa_sse.pipeline.flows import main
from dpa_sse.pipeline.flows.project import ProjectFlow
from tests.pipeline.flows.mock_plan import HERE, built_here, plan  # noqa: F401  (a fixture)

CHECK = ["choose-frames", "label-production", "self-check"]


pytestmark = pytest.mark.usefixtures("built_here")


def test_production_is_checked_by_default(tmp_path: Path) -> None:
    steps = plan(tmp_path)
    assert [name for name in steps if steps[name].stage == "07-self-check"] == CHECK
    assert steps["label-production"].tasks == 12
    assert steps["choose-frames"].depends == ("md",)
    assert {"md", "label-production", "student", "collect-new", "merge", "finetune", "pretrain"} == set(
        steps["self-check"].depends
    )
    assert "self-check" in steps["report"].depends
    assert all(steps[name].loop is None for name in (*CHECK, "md"))


def test_zero_labels_switch_it_off(tmp_path: Path) -> None:
    steps = plan(tmp_path, "validate.production_labels=0")
    assert not {*CHECK} & {*steps}


def test_rounds_are_a_loop_around_the_production(tmp_path: Path) -> None:
    steps = plan(tmp_path, "validate.rounds=3", "validate.production_labels=8")
    inside = [name for name, step in steps.items() if step.loop == "production"]
    assert inside == ["correct-teacher", "correct-student", "prepare-md", "md", *CHECK]
    assert steps["label-production"].tasks == 8
    assert "md" in steps["conductivity"].depends
    assert {"self-check", "md", "correct-student"} <= set(steps["report"].depends)


def test_a_project_without_fine_tuning_is_checked_too(tmp_path: Path) -> None:
    steps = plan(tmp_path, "finetune=null", "downstream=null", "validate.rounds=1")
    assert "self-check" in steps
    assert "merge" in steps["evaluate-student"].depends  # labels of the base systems


def test_labels_cost_nothing_twice(tmp_path: Path) -> None:
    """More labels change the steps of the self-check, and nothing before them."""
    before, after = plan(tmp_path / "a"), plan(tmp_path / "b", "validate.production_labels=4")
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"choose-frames", "label-production", "self-check", "report"}


def test_labels_of_production_get_the_model_of_the_labeler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As all other labels do: a labeler with a model file cannot work without it."""
    given: dict[str, bool] = {}

    class Recorder(ProjectFlow):
        def fan_out(self, name: str, op: Any, settings: Any, count: int, **more: Any) -> Any:
            given[name] = more["artifacts"].get("model") is not None
            return super().fan_out(name, op, settings, count, **more)

    monkeypatch.setattr(main, "ProjectFlow", Recorder)
    (tmp_path / "teacher.pth").write_bytes(b"model")
    project = load_project(HERE / "mock.yaml", ["labeler={kind: deepmd, model: teacher.pth}"])
    main.build(project, tmp_path, tmp_path / "flow", Resources(cores=2))
    assert {name for name, there in given.items() if there} == {"aimd", "label", "aimd-new", "label-production"}
