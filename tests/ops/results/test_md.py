"""``task.json`` and ``run.json`` are declared: what one step writes, the next one reads, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.files import read_json, write_json
from dpa_sse.ops.results.md import ExplorationRun, ExplorationTask, MdRun, MdTask, read_any_run
from tests.md_runs import EXPLORATION, TASK, exploration_run, md_run


def test_a_task_becomes_the_record_of_its_run(tmp_path: Path) -> None:
    run = md_run(timestep_fs=4.0, dump_every=5, trajectory="Li2S.p000.900K", n_frames=7)
    assert (run.dump_every_fs, run.trajectory, run.n_frames) == (20.0, "Li2S.p000.900K", 7)
    run.write(tmp_path)
    assert MdRun.read(tmp_path) == run
    assert read_json(tmp_path / "run.json")["polyhedra_kept"] is None


def test_exploration_expects_a_frame_at_both_ends(tmp_path: Path) -> None:
    run = exploration_run(steps=300, dump_every=10, n_frames=3, status="exploded")
    assert isinstance(run, ExplorationRun)
    assert (run.n_frames_expected, run.models, run.cell) == (31, (0, 1), "Li2S.p000")
    run.write(tmp_path)
    assert ExplorationRun.read(tmp_path) == run
    with pytest.raises(FatalError, match=r"run\.json: .*Extra inputs"):
        MdRun.read(tmp_path)


def test_records_of_any_kind_are_read(tmp_path: Path) -> None:
    assert read_any_run(tmp_path / "none") is None
    for name, run in (("md", md_run()), ("exploration", exploration_run())):
        run.write(tmp_path / name)
        assert read_any_run(tmp_path / name) == run
    (tmp_path / "md/run.json").write_text("{}")
    with pytest.raises(FatalError, match="Field required"):
        read_any_run(tmp_path / "md")


@pytest.mark.parametrize("key", [*TASK])
def test_a_task_without_one_of_its_numbers_is_refused(tmp_path: Path, key: str) -> None:
    write_json(tmp_path / "task.json", {name: value for name, value in TASK.items() if name != key})
    with pytest.raises(FatalError, match=f"{key}: Field required"):
        MdTask.read(tmp_path)


def test_an_exploration_task_is_more_than_a_task(tmp_path: Path) -> None:
    ExplorationTask(**TASK, **EXPLORATION).write(tmp_path)
    assert ExplorationTask.read(tmp_path).models == (0, 1)
    with pytest.raises(FatalError):
        MdTask.read(tmp_path)
