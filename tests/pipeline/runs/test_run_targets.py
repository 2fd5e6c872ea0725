"""Runs with many targets: what a changed configuration repeats, and whose a result is if the log was lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.results.status import TaskStatus
from dpa_sse.ops.results.task_record import TaskRecord
from dpa_sse.ops.runtime.events import Event
from dpa_sse.pipeline.commands import monitor
from dpa_sse.pipeline.runs.folder import Run
from dpa_sse.pipeline.runs.plan import PlannedStep, compare_plans
from dpa_sse.pipeline.runs.targets import target_views


def member(target: str, first: int, **settings: Any) -> dict[str, Any]:
    return {
        "target": target, "step": "md", "tasks": 2, "numbered": True, "settings": settings,
        "inputs": {"student": {"source": "student", "kind": "task", "path": "", "first": first, "count": 1}},
    }


def planned(*members: dict[str, Any], **common: Any) -> list[PlannedStep]:
    return [PlannedStep(
        name="md", stage="07-md", title="MD", tasks=2 * len(members),
        settings=json.dumps({"common": common, "members": list(members)}),
    )]


OLD = planned(member("a", 0), member("b", 1), member("c", 2, T=600), steps=5)


@pytest.mark.parametrize(("new", "changed"), [
    (planned(member("b", 0), member("c", 1, T=600), member("a", 2), steps=5), False),
    (planned(member("c", 0, T=600), steps=5), False),
    (planned(member("a", 0, steps=5), member("c", 1, steps=5, T=600)), False),
    (planned(member("a", 0), member("b", 1), member("c", 2, T=700), steps=5), True),
    (planned(member("a", 0), member("b", 1), member("d", 2), steps=5), True),
    (planned(member("a", 0), member("b", 1), member("c", 2, T=600), steps=6), True),
], ids=["order", "only one", "common values", "a value", "another target", "a common value"])
def test_only_what_differs_for_a_target_is_repeated(new: list[PlannedStep], changed: bool) -> None:
    assert compare_plans(OLD, new).changed == (["md"] if changed else [])


def test_the_status_of_one_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path)
    run.write_plan(planned(member("a", 0), member("b", 1)))
    run.engine.mkdir()
    for number in range(3):
        event = Event(kind="done", stage="07-md", task=f"md-{number:03d}", folder="tasks", seconds=1.0)
        with run.log.open("a") as stream:
            stream.write(event.line())
    monkeypatch.setattr(monitor, "open_run", lambda _: run)
    monitor.show_status("x", as_json=True, only=["b"])
    (stage,) = json.loads(capsys.readouterr().out)["stages"]
    assert (stage["name"], stage["tasks"], stage["done"]) == ("07-md", 2, 1)
    with pytest.raises(InputError, match=r"'bb' is not one of its targets.*\(targets: a, b\)"):
        monitor.show_status("x", as_json=True, only=["bb"])


def test_without_a_log_a_result_is_that_of_its_own_target(tmp_path: Path) -> None:
    """The numbers of the tasks are those of the order in which the targets were when they ran."""
    run = Run(tmp_path)
    for number, target in enumerate(("a", "a", "b", "b")):
        folder = tmp_path / "tasks" / "07-md" / f"md-{number:03d}--{number:010x}"
        TaskStatus(status="ok").write(folder)
        TaskRecord(values={}, seconds=1.0, subject=target).write(folder)
    run.write_plan(planned(member("a", 0), member("b", 1)))
    found = {name: sorted(path.name for path in view.finished.values()) for name, view in target_views(run).items()}
    assert found == {
        "a": ["md-000--0000000000", "md-001--0000000001"], "b": ["md-002--0000000002", "md-003--0000000003"]
    }
    run.write_plan(planned(member("b", 0), member("a", 1)))
    assert [view.finished for view in target_views(run).values()] == [{}, {}]
