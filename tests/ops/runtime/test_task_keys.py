"""A task of a fan-out is known by what it works on, not by its number."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpa_sse.ops.core.files import write_json
from dpa_sse.ops.md.op import RunMd
from dpa_sse.ops.runtime.task import write_manifest


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    write_json(tmp_path / "settings.json", {"type_map": ["Li"]})
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "model.pth").write_text("weights")
    return {"settings": tmp_path / "settings.json", "student": tmp_path / "student"}


def make_tasks(folder: Path, temperatures: list[int]) -> Path:
    for number, temperature in enumerate(temperatures):
        write_json(folder / f"task.{number:03d}" / "task.json", {"temperature_K": temperature})
    write_manifest(folder, producer="PrepareMd", version=1)
    return folder


def test_a_task_that_moves_keeps_its_key(tmp_path: Path, inputs: dict[str, Path]) -> None:
    few = make_tasks(tmp_path / "few", [300, 600])
    more = make_tasks(tmp_path / "more", [200, 300, 600])
    op = RunMd()
    before = op._key("md-001", {**inputs, "tasks": few, "index": 1})
    assert op._key("md-002", {**inputs, "tasks": more, "index": 2}) == before
    assert op._key("md-001", {**inputs, "tasks": more, "index": 1}) != before


def test_tasks_with_nothing_to_do_keep_folders_of_their_own(tmp_path: Path, inputs: dict[str, Path]) -> None:
    tasks = make_tasks(tmp_path / "tasks", [300])
    op = RunMd()
    one = op._key("md-001", {**inputs, "tasks": tasks, "index": 1})
    assert op._key("md-002", {**inputs, "tasks": tasks, "index": 2}) != one


def test_another_model_is_another_task(tmp_path: Path, inputs: dict[str, Path]) -> None:
    tasks = make_tasks(tmp_path / "tasks", [300])
    op = RunMd()
    before = op._key("md-000", {**inputs, "tasks": tasks, "index": 0})
    (inputs["student"] / "model.pth").write_text("other weights")
    assert op._key("md-000", {**inputs, "tasks": tasks, "index": 0}) != before
