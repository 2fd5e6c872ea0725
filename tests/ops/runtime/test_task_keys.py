"""A task of a fan-out is known by what it works on, not by its number."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpa_sse.ops.core.files import write_json
from dpa_sse.ops.md.op import RunMd
from dpa_sse.ops.runtime.identity import TaskIdentity, TaskInput
from dpa_sse.ops.runtime.manifest import Manifest


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    write_json(tmp_path / "settings.json", {"type_map": ["Li"]})
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "model.pth").write_text("weights")
    return {"settings": tmp_path / "settings.json", "student": tmp_path / "student"}


def make_tasks(folder: Path, temperatures: list[int]) -> Path:
    for number, temperature in enumerate(temperatures):
        write_json(folder / f"task.{number:03d}" / "task.json", {"temperature_K": temperature})
    Manifest.of_folder(folder, producer="PrepareMd", version=1).write(folder)
    return folder


def key(task: str, inputs: dict[str, TaskInput]) -> str:
    return TaskIdentity("RunMd", RunMd.version, task, inputs, RunMd.keyed_by).key


def test_a_task_that_moves_keeps_its_key(tmp_path: Path, inputs: dict[str, Path]) -> None:
    few = make_tasks(tmp_path / "few", [300, 600])
    more = make_tasks(tmp_path / "more", [200, 300, 600])
    before = key("md-001", {**inputs, "tasks": few, "index": 1})
    assert key("md-002", {**inputs, "tasks": more, "index": 2}) == before
    assert key("md-001", {**inputs, "tasks": more, "index": 1}) != before


def test_tasks_with_nothing_to_do_keep_folders_of_their_own(tmp_path: Path, inputs: dict[str, Path]) -> None:
    tasks = make_tasks(tmp_path / "tasks", [300])
    one = key("md-001", {**inputs, "tasks": tasks, "index": 1})
    assert key("md-002", {**inputs, "tasks": tasks, "index": 2}) != one


def test_another_model_is_another_task(tmp_path: Path, inputs: dict[str, Path]) -> None:
    tasks = make_tasks(tmp_path / "tasks", [300])
    before = key("md-000", {**inputs, "tasks": tasks, "index": 0})
    (inputs["student"] / "model.pth").write_text("other weights")
    assert key("md-000", {**inputs, "tasks": tasks, "index": 0}) != before


def test_a_single_task_is_known_by_its_name_version_and_all_inputs(tmp_path: Path, inputs: dict[str, Path]) -> None:
    def one(**changes: object) -> str:
        given = {"op": "Total", "version": 1, "task": "total", "inputs": {**inputs, "iteration": 0}}
        return TaskIdentity(**{**given, **changes}).key

    (tmp_path / "other.json").write_text("{}")
    different = {
        one(), one(op="Sum"), one(version=2), one(task="total-i001"), one(inputs={**inputs, "iteration": 1}),
        one(inputs={**inputs, "iteration": 0, "absent": None}),
        one(inputs={**inputs, "iteration": 0, "settings": tmp_path / "other.json"}),
    }
    assert len(different) == 7
    assert one() == one()


def test_the_results_of_a_fan_out_count_in_the_order_of_their_index(tmp_path: Path) -> None:
    groups = [tmp_path / "group.000", tmp_path / "group.001"]
    for index, group in enumerate(groups):
        write_json(group / f"task.{index:03d}" / "x.json", index)
    there, back = (
        TaskIdentity("Total", 1, "total", {"squares": order}).key for order in (groups, list(reversed(groups)))
    )
    assert there == back
    write_json(groups[1] / "task.001" / "x.json", 2)
    assert TaskIdentity("Total", 1, "total", {"squares": groups}).key != there
