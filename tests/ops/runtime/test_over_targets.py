"""The steps of many targets: each task gets what its target has, is known by that, and fails alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.files import write_json
from dpa_sse.ops.results.status import LEFT_OUT, TaskStatus
from dpa_sse.ops.runtime import over_targets as module
from dpa_sse.ops.runtime.groups import Tasks
from dpa_sse.ops.runtime.over_targets import OverTargets, over_targets
from dpa_sse.ops.runtime.settings import TaskSettings
from dpa_sse.ops.runtime.task import FanOutOP, TaskOP


class DoubleSettings(TaskSettings):
    factor: int = 2


class Double(TaskOP):
    artifacts = ("number", "many*?", "cell?")
    settings_class = DoubleSettings

    def run(self, out: Path, settings: DoubleSettings, **inputs: Any) -> None:
        value = int((inputs["number"] / "value").read_text())
        if value < 0:
            raise FatalError(f"{value} is negative")
        found = sum(int((folder / "value").read_text()) for folder in inputs["many"] or ())
        (out / "value").write_text(str(settings.factor * value + found))


class Each(FanOutOP):
    artifacts = ("number",)
    settings_class = DoubleSettings

    def run(self, out: Path, settings: DoubleSettings, **inputs: Any) -> None:
        (out / "value").write_text(str(int((inputs["number"] / "value").read_text()) + inputs["index"]))


DoubleOfTargets = over_targets(Double, "DoubleOfTargets", __name__)
EachOfTargets = over_targets(Each, "EachOfTargets", __name__)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fan_out(folder: Path, values: list[int | None]) -> list[Path]:
    """The results of a fan-out; None for a task that failed."""
    for index, value in enumerate(values):
        task = folder / f"task.{index:03d}"
        task.mkdir(parents=True)
        if value is None:
            TaskStatus(status="failed", reason="B: out of luck\nwith a trace").write(task)
        else:
            TaskStatus(status="ok").write(task)
            (task / "value").write_text(str(value))
    return [folder]


def settings_file(name: str, members: list[dict[str, Any]], **common: Any) -> Path:
    path = Path.cwd() / name
    write_json(path, {"type_map": ["Li"], "common": {"type_map": ["Li"], **common}, "members": members})
    return path


def member(target: str, first: int, **more: Any) -> dict[str, Any]:
    return {"target": target, "step": "double", "settings": {}, "inputs": {
        "number": {"source": "number", "kind": "task", "first": first}, **more.pop("inputs", {}),
    }, **more}


def inputs_of(op: type[OverTargets], settings: Path, index: int, **given: Any) -> dict[str, Any]:
    absent = dict.fromkeys(name.rstrip("*?") for name in op.artifacts)
    return {**absent, "settings": settings, "index": index, **given}


def run(op: type[OverTargets], name: str, inputs: dict[str, Any]) -> Path:
    from dpa_sse.ops.runtime.workspace import CurrentFolder

    folder, _ = op().run_one(CurrentFolder(Path.cwd() / "work"), name, inputs)
    return folder


def test_each_target_gets_its_settings_and_inputs() -> None:
    numbers = fan_out(Path("numbers"), [10, 20])
    many = fan_out(Path("many"), [1, 2, 4])
    path = settings_file("s.json", [
        member("A", 0, inputs={"many": {"source": "many", "kind": "tasks", "first": 0, "count": 1}}),
        member("B", 1, settings={"factor": 3}, inputs={"many": {"source": "many", "kind": "tasks", "first": 1,
                                                                "count": 2}}),
    ], factor=2)
    values = [
        (run(DoubleOfTargets, f"double-{k:03d}", inputs_of(DoubleOfTargets, path, k, number=numbers, many=many))
         / "value").read_text() for k in (0, 1)
    ]
    assert values == ["21", "66"]


def test_a_fan_out_of_targets_counts_within_each() -> None:
    numbers = fan_out(Path("numbers"), [10, 20])
    path = settings_file("s.json", [member("A", 0, tasks=2, numbered=True), member("B", 1, tasks=3, numbered=True)])
    found = [
        int((run(EachOfTargets, f"each-{k:03d}", inputs_of(EachOfTargets, path, k, number=numbers)) / "value")
            .read_text()) for k in range(5)
    ]
    assert found == [10, 11, 20, 21, 22]
    with pytest.raises(FatalError, match="no task 5"):
        EachOfTargets().identity("each-005", inputs_of(EachOfTargets, path, 5, number=numbers))


def test_a_target_before_it_does_not_change_what_a_task_is() -> None:
    few = settings_file("few.json", [member("A", 0), member("B", 1)])
    more = settings_file("more.json", [member("A", 0), member("new", 1), member("B", 2)])
    before, after = fan_out(Path("before"), [10, 20]), fan_out(Path("after"), [10, 15, 20])
    op = DoubleOfTargets()

    def key(path: Path, index: int, numbers: list[Path]) -> str:
        return op.identity(f"double-{index:03d}", inputs_of(DoubleOfTargets, path, index, number=numbers)).key

    assert key(few, 0, before) == key(more, 0, after)
    assert key(few, 1, before) == key(more, 2, after)
    assert len({key(more, index, after) for index in range(3)}) == 3
    assert op.identity("double-000", inputs_of(DoubleOfTargets, few, 0, number=before)).movable
    other = settings_file("other.json", [member("A", 0, settings={"factor": 5}), member("B", 1)])
    assert key(other, 0, before) != key(few, 0, before)


def test_a_setting_that_other_targets_no_longer_share_does_not_change_what_a_task_is() -> None:
    """A target is added whose override moves `factor` from what all have in common to each of them."""
    numbers = fan_out(Path("numbers"), [10, 20])
    op, keys = DoubleOfTargets(), set()
    both = settings_file("both.json", [member("A", 0)], factor=3, seed=5)
    apart = settings_file("apart.json", [
        member("A", 0, settings={"factor": 3}), member("B", 1, settings={"factor": 4}),
    ], seed=5)
    for path in (both, apart):
        keys.add(op.identity("double-000", inputs_of(DoubleOfTargets, path, 0, number=numbers)).key)
    assert len(keys) == 1


def test_a_target_whose_task_failed_is_left_out_and_says_why() -> None:
    numbers = fan_out(Path("numbers"), [10, None])
    path = settings_file("s.json", [member("A", 0), member("B", 1)])
    good = run(DoubleOfTargets, "double-000", inputs_of(DoubleOfTargets, path, 0, number=numbers))
    lost = run(DoubleOfTargets, "double-001", inputs_of(DoubleOfTargets, path, 1, number=numbers))
    assert TaskStatus.read(good).status == "ok"
    assert TaskStatus.read(lost) == TaskStatus(status="empty", reason=f"{LEFT_OUT}B: out of luck")
    # and so are the steps after it, with the first reason
    path = settings_file("next.json", [member("A", 0), member("B", 1)])
    for number, folder in enumerate((good, lost)):
        (Path("again") / f"task.{number:03d}").parent.mkdir(exist_ok=True)
        folder.rename(Path("again") / f"task.{number:03d}")
    second = run(DoubleOfTargets, "next-001", inputs_of(DoubleOfTargets, path, 1, number=[Path("again")]))
    assert TaskStatus.read(second).reason == f"{LEFT_OUT}B: out of luck"


def test_a_task_that_was_left_out_is_done_when_its_input_is_there() -> None:
    path = settings_file("s.json", [member("A", 0), member("B", 1)])
    lost, found = fan_out(Path("lost"), [10, None]), fan_out(Path("found"), [10, 20])
    op = DoubleOfTargets()
    keys = {
        op.identity("double-001", inputs_of(DoubleOfTargets, path, 1, number=numbers)).key for numbers in (lost, found)
    }
    assert len(keys) == 2


def test_a_failure_names_its_target() -> None:
    path = settings_file("s.json", [member("A", 0)])
    numbers = fan_out(Path("numbers"), [-3])
    folder = run(DoubleOfTargets, "double-000", inputs_of(DoubleOfTargets, path, 0, number=numbers))
    assert TaskStatus.read(folder) == TaskStatus(status="failed", reason="A: -3 is negative")


def test_what_must_end_well_before_is_not_a_part_of_the_result() -> None:
    after = {"after": [{"source": "after", "kind": "task", "first": 0}]}
    path = settings_file("s.json", [member("A", 0, **after)])
    numbers = fan_out(Path("numbers"), [10])
    good, bad = fan_out(Path("good"), [1]), fan_out(Path("bad"), [None])
    op = DoubleOfTargets()

    def key(gates: list[Path]) -> str:
        return op.identity("double-000", inputs_of(DoubleOfTargets, path, 0, number=numbers, after=gates)).key

    assert key(good) == key(fan_out(Path("other"), [2]))
    assert key(good) != key(bad)
    folder = run(DoubleOfTargets, "double-000", inputs_of(DoubleOfTargets, path, 0, number=numbers, after=bad))
    assert TaskStatus.read(folder).reason == f"{LEFT_OUT}B: out of luck"


def test_some_tasks_of_a_fan_out_may_fail() -> None:
    """Whether enough of them succeeded is a matter of the step that gathers them."""
    assert module.lost(Tasks([*fan_out(Path("x"), [1])[0].iterdir(), Path("missing")]), "tasks") == ""
