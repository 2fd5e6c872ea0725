"""Where the gates are in the DAG, and what their step is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.pipeline.flows.mock_plan import HERE, built_here, plan  # noqa: F401  (a fixture)

pytestmark = pytest.mark.usefixtures("built_here")


def test_the_student_is_judged_before_the_production(tmp_path: Path) -> None:
    steps = plan(tmp_path)
    order = list(steps)
    assert order.index("student") < order.index("gates") < order.index("prepare-md")
    assert {"student", "finetune", "pretrain", "teacher-labels"} <= set(steps["gates"].depends)
    assert "gates" in steps["report"].depends
    told = json.loads(steps["gates"].settings)
    assert {key: told[key] for key in ("tier", "on_fail", "temperature_K", "timestep_fs", "mobile")} == {
        "tier": "smoke", "on_fail": "warn", "temperature_K": 80.0, "timestep_fs": 1.0, "mobile": ["Li"],
    }


def test_without_production_the_teacher_md_says_how_hot(tmp_path: Path) -> None:
    told = json.loads(plan(tmp_path, "md=null", "validate.on_fail=stop")["gates"].settings)
    assert (told["temperature_K"], told["on_fail"]) == (50.0, "stop")


def test_null_does_without(tmp_path: Path) -> None:
    steps = plan(tmp_path, "validate.gates=null")
    assert "gates" not in steps and "gates" not in steps["report"].depends


def test_the_first_student_of_the_loop_is_judged(tmp_path: Path) -> None:
    steps = plan(tmp_path, "validate.rounds=2", "validate.production_labels=8")
    assert steps["gates"].loop is None and list(steps).index("gates") < list(steps).index("correct-teacher")


def test_a_person_decides_where_asked_for(tmp_path: Path) -> None:
    assert "ask-person" not in plan(tmp_path)
    steps = plan(tmp_path, "validate.on_warn=suspend")
    order = list(steps)
    assert order.index("gates") < order.index("ask-person") < order.index("prepare-md")
    assert steps["ask-person"].depends == ("gates",)
    # the verdict itself is the same one: nothing is computed again when the answer changes
    assert steps["gates"].settings == plan(tmp_path / "other")["gates"].settings


@pytest.mark.parametrize("change", ["validate.gates=null", "distill=null"])
def test_nobody_is_asked_without_a_verdict(change: str) -> None:
    from dpa_sse.pipeline.config import ConfigError, load_project

    more = ["md=null"] if change == "distill=null" else []
    with pytest.raises(ConfigError, match=r"validate\.on_warn: has no effect"):
        load_project(HERE / "mock.yaml", ["validate.on_warn=suspend", change, *more])
