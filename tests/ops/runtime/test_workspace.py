"""Where tasks work and where their results are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.errors import TransientError
from dpa_sse.ops.core.files import read_json
from dpa_sse.ops.results.task_record import TaskRecord
from dpa_sse.ops.runtime.identity import TaskIdentity
from dpa_sse.ops.runtime.store import FolderBucket, TaskStore
from dpa_sse.ops.runtime.workspace import CurrentFolder, RunFolder, StoredFolder, choose_workspace

RECORD = TaskRecord(values={"finished": True, "next_iteration": 1, "force_mae_meV_A": None}, seconds=2.0)


@pytest.fixture
def identity(tmp_path: Path) -> TaskIdentity:
    (tmp_path / "settings.json").write_text("{}")
    return TaskIdentity("Total", 1, "total", {"settings": tmp_path / "settings.json"})


def moved(identity: TaskIdentity, task: str, root: Path) -> TaskIdentity:
    (root / "tasks").mkdir(exist_ok=True)
    (root / "tasks" / "one.json").write_text("1")
    inputs = {**identity.inputs, "tasks": root / "tasks", "index": 0}
    return TaskIdentity("Square", 1, task, inputs, {"tasks": ("one.json",)})


def test_a_finished_task_of_a_run_is_found_again(identity: TaskIdentity, tmp_path: Path) -> None:
    stage = tmp_path / "run" / "tasks" / "03-total"
    workspace = RunFolder(stage, reuse=True)
    opened = workspace.open(identity)
    assert opened.path == stage / f"total--{identity.key[:10]}"
    assert (opened.record, opened.resumed) == (None, False)
    (opened.path / "checkpoint").write_text("half")
    assert workspace.open(identity).record is None  # interrupted: the same folder, with what is there
    workspace.keep(identity, opened.path, RECORD)
    assert workspace.open(identity).record == RECORD
    assert read_json(opened.path / ".done.json")["values"] == RECORD.values
    assert RunFolder(stage, reuse=False).open(identity).record is None


def test_a_task_that_has_got_another_number_is_found_again(identity: TaskIdentity, tmp_path: Path) -> None:
    workspace = RunFolder(tmp_path / "run", reuse=True)
    first = moved(identity, "square-001", tmp_path)
    workspace.keep(first, workspace.open(first).path, RECORD)
    again = workspace.open(moved(identity, "square-002", tmp_path))
    assert again.path.name.startswith("square-001--")
    assert again.record == RECORD


def test_a_pod_finds_results_and_checkpoints_in_the_store(identity: TaskIdentity, tmp_path: Path) -> None:
    store = TaskStore(FolderBucket(tmp_path / "bucket"), patience_s=0)
    pods = [StoredFolder(tmp_path / f"pod-{number}", store) for number in range(4)]
    opened = pods[0].open(identity)
    assert (opened.record, opened.resumed) == (None, False)
    with pytest.raises(KeyboardInterrupt), pods[0].checkpoints(identity, opened.path):
        (opened.path / "state").write_text("half")
        raise KeyboardInterrupt
    resumed = pods[1].open(identity)
    assert (resumed.record, resumed.resumed) == (None, True)
    assert (resumed.path / "state").read_text() == "half"
    (resumed.path / "state").write_text("whole")
    pods[1].keep(identity, resumed.path, RECORD)
    finished = pods[2].open(identity)
    assert finished.record is not None
    assert finished.record.values == RECORD.values
    assert (finished.path / "state").read_text() == "whole"
    other = TaskIdentity("Total", 2, "total", identity.inputs)
    assert pods[3].open(other).record is None


def test_a_result_survives_a_store_that_fails(identity: TaskIdentity, tmp_path: Path) -> None:
    class Full(FolderBucket):
        def put(self, name: str, data: bytes) -> None:
            raise OSError("no space")

    pod = StoredFolder(tmp_path / "pod", TaskStore(Full(tmp_path / "bucket"), patience_s=0))
    opened = pod.open(identity)
    with pytest.raises(TransientError, match="no space"):
        pod.store.save(identity.key, opened.path, values=RECORD.values)
    pod.keep(identity, opened.path, RECORD)
    assert TaskRecord.read(opened.path) == RECORD


def test_without_run_and_store_nothing_is_reused(identity: TaskIdentity, tmp_path: Path) -> None:
    workspace = CurrentFolder(tmp_path / "work")
    workspace.keep(identity, workspace.open(identity).path, RECORD)
    assert workspace.open(identity).record is None


def test_the_workspace_is_chosen_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in env.declared().values():
        monkeypatch.delenv(variable.name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert choose_workspace(reuse=True) == CurrentFolder(tmp_path / "work")
    monkeypatch.setenv(*env.STORE.entry(str(tmp_path / "store")))
    assert isinstance(choose_workspace(reuse=True), StoredFolder)
    assert choose_workspace(reuse=False) == CurrentFolder(tmp_path / "work")
    monkeypatch.setenv(*env.RUN.entry(tmp_path / "run"))
    monkeypatch.setenv(*env.STAGE.entry("03-total"))
    assert choose_workspace(reuse=True) == RunFolder(tmp_path / "run" / "tasks" / "03-total", reuse=True)
