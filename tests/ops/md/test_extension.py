"""Longer runs continue finished shorter ones: nothing is repeated, and the result is that of an uninterrupted run."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from ase.io import write

from dpa_sse.ops.core.files import read_json
from dpa_sse.ops.md.extension import KEPT, find_shorter, steps_done
from dpa_sse.ops.md.prepare import prepare_md
from dpa_sse.ops.md.production import run_md
from dpa_sse.ops.md.settings import MdSettings
from dpa_sse.ops.md.trajectory import read_thermo
from dpa_sse.ops.results.md import MdRun
from tests.ops.md.lennard_jones import lennard_jones
from tests.ops.md.test_run import ROOT, call_in_a_child

SETTINGS = MdSettings(
    temperatures_K=[20], equilibration_ps=2, production_ps=10, dump_every_fs=40, restart_every_ps=1, timestep_fs=4.0,
)
SAME_BITS = ("traj.lammpstrj", "thermo.csv", "equilibration.csv", "in.lammps", "cell.data")


def produce(
    folder: Path, name: str, atoms: Atoms, model: Path, *, versions: dict[str, str] | None = None, **changes: Any
) -> Path:
    """Run the first task with changed settings into ``folder/name``."""
    tasks = folder / f"{name}.tasks"
    tasks.mkdir(parents=True)
    write(tasks / "cells.extxyz", atoms)
    prepare_md(tasks / "cells.extxyz", SETTINGS.model_copy(update=changes), 7, tasks)
    run_md(tasks / "task.000", model, ["Ar"], folder / name, potential=lennard_jones, versions=versions)
    return folder / name


def runs_done(out: Path) -> list[list[int]]:
    """Return first and last step of each table in the log, without the warm-up of the model."""
    tables = [[int(row["step"]) for row in table] for table in read_thermo(out / "log.lammps")]
    return [[table[0], table[-1]] for table in tables if table[0] != table[-1]]


@pytest.mark.parametrize("kind", ["cubic", "tilted"])
def test_ten_ps_become_twelve(
    kind: str, tmp_path: Path, argon: Atoms, tilted_argon: Atoms, dummy_model: Path
) -> None:
    atoms = argon if kind == "cubic" else tilted_argon
    whole = produce(tmp_path / "whole", "a", atoms, dummy_model, production_ps=12)
    short = produce(tmp_path / "grown", "a", atoms, dummy_model)
    kept = (short / "traj.lammpstrj").read_bytes()
    long = produce(tmp_path / "grown", "b", atoms, dummy_model, production_ps=12)
    for name in SAME_BITS:
        assert (long / name).read_bytes() == (whole / name).read_bytes(), name
    assert (short / "traj.lammpstrj").read_bytes() == kept
    assert MdRun.read(long).continued_from == 2500
    assert MdRun.read(whole).continued_from is None
    log = (long / "log.lammps").read_text()
    resumed = log[log.index("read_restart part.001.state") :]
    assert "equilibration" not in resumed  # 0 steps of it are repeated
    assert [steps for steps in runs_done(long) if steps[0] >= 2500] == [[2500, 2750], [2750, 3000]]
    assert not (long / "work").exists()
    again = produce(tmp_path / "grown", "c", atoms, dummy_model, production_ps=13)  # from 12 ps, not from 10
    assert MdRun.read(again).continued_from == 3000
    assert (again / "traj.lammpstrj").read_bytes().startswith((whole / "traj.lammpstrj").read_bytes())


def test_a_length_between_restart_files(tmp_path: Path, argon: Atoms, dummy_model: Path) -> None:
    """The steps after the last restart file are done again, and the frames there are not doubled."""
    whole = produce(tmp_path / "whole", "a", argon, dummy_model, production_ps=6)
    produce(tmp_path / "grown", "a", argon, dummy_model, production_ps=4.52)
    long = produce(tmp_path / "grown", "b", argon, dummy_model, production_ps=6)
    for name in SAME_BITS:
        assert (long / name).read_bytes() == (whole / name).read_bytes(), name
    assert MdRun.read(long).continued_from == 1130


@pytest.mark.parametrize("change", [
    {"timestep_fs": 2.0}, {"temperatures_K": [25]}, {"equilibration_ps": 3}, {"restart_every_ps": 0.5},
    {"dump_every_fs": 80}, {"supercell": (1, 1, 2)}, {"versions": {"lammps": "2"}}, {"pressure_GPa": 0.1},
])
def test_runs_of_other_inputs_are_not_continued(
    change: dict[str, Any], tmp_path: Path, argon: Atoms, dummy_model: Path
) -> None:
    short = produce(tmp_path, "a", argon, dummy_model, production_ps=2, versions={"lammps": "1"})
    assert (short / KEPT / "continuation.json").is_file()
    other: dict[str, Any] = {"production_ps": 3, "versions": {"lammps": "1"}, **change}
    assert MdRun.read(produce(tmp_path, "b", argon, dummy_model, **other)).continued_from is None


def test_another_model_a_shorter_length_or_a_lost_file(tmp_path: Path, argon: Atoms, dummy_model: Path) -> None:
    short = produce(tmp_path, "a", argon, dummy_model, production_ps=2)
    same = read_json(short / KEPT / "continuation.json")["same"]
    found = find_shorter(tmp_path / "b", same, 501)
    assert found is not None
    assert (found.folder, found.steps) == (short, 500)
    assert find_shorter(tmp_path / "b", same, 500) is None
    assert find_shorter(tmp_path / "b", "0" * 64, 501) is None
    other = tmp_path / "other.pth"
    other.write_bytes(b"another model")
    assert MdRun.read(produce(tmp_path, "c", argon, other, production_ps=3)).continued_from is None
    state = short / KEPT / "state.a"
    state.write_bytes(state.read_bytes()[:-10])  # a full disk
    assert find_shorter(tmp_path / "b", same, 501) is None
    shutil.rmtree(short / KEPT)
    assert find_shorter(tmp_path / "b", same, 501) is None


def test_an_interrupted_extension_resumes(
    tmp_path: Path, argon: Atoms, dummy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpa_sse.ops.md import simulate

    whole = produce(tmp_path / "whole", "a", argon, dummy_model, production_ps=8)
    produce(tmp_path / "grown", "a", argon, dummy_model, production_ps=4)

    def killed(self: simulate.LammpsRun) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(simulate.LammpsRun, "_launch", killed)
        with pytest.raises(KeyboardInterrupt):
            produce(tmp_path / "grown", "b", argon, dummy_model, production_ps=8)
    task = tmp_path / "grown" / "b.tasks" / "task.000"
    run_md(task, dummy_model, ["Ar"], tmp_path / "grown" / "b", potential=lennard_jones)
    for name in SAME_BITS:
        assert (tmp_path / "grown" / "b" / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.parametrize("kills", [1, 2])
def test_an_interrupted_shorter_run_is_continued(
    kills: int, tmp_path: Path, argon: Atoms, dummy_model: Path
) -> None:
    whole = produce(tmp_path / "whole", "a", argon, dummy_model, production_ps=24)
    tasks = tmp_path / "grown" / "a.tasks"
    tasks.mkdir(parents=True)
    write(tasks / "cells.extxyz", argon)
    prepare_md(tasks / "cells.extxyz", SETTINGS.model_copy(update={"production_ps": 20}), 7, tasks)
    short = tmp_path / "grown" / "a"
    for part in range(kills):
        child = subprocess.Popen(call_in_a_child(tasks / "task.000", dummy_model, short), cwd=ROOT)
        log, wanted = short / "work" / f"part.{part:03d}.log", 1000 * (part + 1)
        while not (log.exists() and steps_done(short / "work") > wanted) and child.poll() is None:
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
        child.wait()
        time.sleep(0.3)
    assert not (short / "status.json").exists()
    long = produce(tmp_path / "grown", "b", argon, dummy_model, production_ps=24)
    for name in SAME_BITS:
        assert (long / name).read_bytes() == (whole / name).read_bytes(), name
    assert (MdRun.read(long).continued_from or 0) > 1000
    assert len(list(long.glob("restart/part.*.log"))) == kills + 1
