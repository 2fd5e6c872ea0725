from __future__ import annotations

import contextlib
import csv
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from dpa_sse.ops.core.errors import FatalError, TransientError
from dpa_sse.ops.core.files import read_json
from dpa_sse.ops.distillation.teacher_md import run_teacher_md
from dpa_sse.ops.md.lammps import Simulation
from dpa_sse.ops.md.prepare import prepare_md
from dpa_sse.ops.md.production import run_md
from dpa_sse.ops.md.segments import GrowingTrajectory, join_rows, joined_blocks, latest_state
from dpa_sse.ops.md.settings import MdSettings
from dpa_sse.ops.md.simulate import Job, run_lammps_all
from dpa_sse.ops.md.tasks import read_cells, write_task
from dpa_sse.ops.md.trajectory import read_dump
from dpa_sse.ops.results.md import MdTask
from tests.ops.md.lennard_jones import lennard_jones

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = MdSettings(
    temperatures_K=[20, 40], replicas=2, equilibration_ps=2, production_ps=4, dump_every_fs=40, restart_every_ps=0.5,
    timestep_fs=4.0,
)


def prepare(tmp_path, atoms, **changes):
    write(tmp_path / "cells.extxyz", atoms)
    return prepare_md(tmp_path / "cells.extxyz", SETTINGS.model_copy(update=changes), 7, tmp_path / "tasks")


def rows(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_tasks_are_ordered_and_seeded(tmp_path, argon):
    assert prepare(tmp_path, argon, supercell=(1, 1, 2)) == 4
    tasks = [read_json(tmp_path / f"tasks/task.{i:03d}/task.json") for i in range(4)]
    assert [(task["temperature_K"], task["replica"]) for task in tasks] == [(20, 0), (20, 1), (40, 0), (40, 1)]
    assert len({task["seed"] for task in tasks}) == 4
    assert len(read_cells(tmp_path / "tasks/task.000/cell.extxyz")[0]) == 2 * len(argon)
    assert (tasks[0]["steps"], tasks[0]["dump_every"], tasks[0]["equilibration_steps"]) == (1000, 10, 500)


def test_the_number_of_runs_is_that_of_the_task_folders(tmp_path, argon):
    write(tmp_path / "cells.extxyz", [argon, argon, argon])
    assert prepare_md(tmp_path / "cells.extxyz", SETTINGS, 7, tmp_path / "tasks") == SETTINGS.n_runs(3) == 12
    assert len(list((tmp_path / "tasks").glob("task.*"))) == 12


def test_a_missing_task_is_empty_and_a_missing_cell_is_fatal(tmp_path, dummy_model):
    run_md(tmp_path / "task.000", dummy_model, ["Ar"], tmp_path / "out")
    assert read_json(tmp_path / "out/status.json")["status"] == "empty"
    with pytest.raises(FatalError, match="cannot read"):
        prepare_md(tmp_path / "nothing.extxyz", SETTINGS, 1, tmp_path / "tasks")


@pytest.mark.parametrize("kind", ["cubic", "triclinic"])
def test_production_runs_at_the_mean_volume(tmp_path, kind, argon, dummy_model):
    if kind == "triclinic":
        argon = bulk("Ar", "fcc", a=5.3).repeat(5)
        argon.info["system"] = "argon"
    prepare(tmp_path, argon)
    out = tmp_path / "out"
    run_md(tmp_path / "tasks/task.002", dummy_model, ["Li", "Ar"], out, potential=lennard_jones)
    run = read_json(out / "run.json")
    assert (run["status"], run["n_frames"], run["n_atoms"]) == ("ok", 101, len(argon)), run["reason"]
    assert read_json(out / "status.json")["status"] == "ok"
    assert not (out / "work").exists()
    frames = list(read_dump(out / "traj.lammpstrj"))
    assert [frame.step for frame in frames] == list(range(0, 1001, 10))
    volumes = np.array([float(row["volume_A3"]) for row in rows(out / "equilibration.csv")])
    volume = np.linalg.det(frames[0].cell)
    assert volume == pytest.approx(volumes[len(volumes) // 2 :].mean(), rel=2e-3)
    assert volume != pytest.approx(volumes[-1], rel=1e-6)
    shape = frames[0].cell / volume ** (1 / 3)
    assert shape == pytest.approx(abs(shape[0, 0] / argon.cell.cellpar()[0]) * _lammps_cell(argon), abs=1e-9)
    thermo = rows(out / "thermo.csv")
    assert [int(row["step"]) for row in thermo] == list(range(0, 1001, 10))
    assert 25 < np.mean([float(row["temperature_K"]) for row in thermo]) < 55
    text = (out / "in.lammps").read_text()
    assert "traj.lammpstrj id element xu yu zu" in text
    assert "part." not in text
    before = (out / "traj.lammpstrj").stat().st_mtime_ns
    run_md(tmp_path / "tasks/task.002", dummy_model, ["Li", "Ar"], out, potential=lennard_jones)  # nothing left to do
    assert (out / "traj.lammpstrj").stat().st_mtime_ns == before


def _lammps_cell(atoms):
    from ase.calculators.lammps import Prism

    return Prism(atoms.cell.array, reduce_cell=True).cell


def call_in_a_child(task, model, out) -> list[str]:
    code = (
        "from pathlib import Path\nfrom dpa_sse.ops.md.production import run_md\n"
        "from tests.ops.md.lennard_jones import lennard_jones\n"
        f"run_md(Path({str(task)!r}), Path({str(model)!r}), ['Ar'], Path({str(out)!r}), potential=lennard_jones)\n"
    )
    return [sys.executable, "-c", code]


def test_killed_runs_give_the_same_bits(tmp_path, tilted_argon, dummy_model):
    prepare(tmp_path, tilted_argon, production_ps=24)
    task = tmp_path / "tasks/task.002"
    run_md(task, dummy_model, ["Ar"], tmp_path / "a", potential=lennard_jones)
    length = (tmp_path / "a/traj.lammpstrj").stat().st_size
    call = call_in_a_child(task, dummy_model, tmp_path / "b")
    for part, share in enumerate(sorted(random.Random(3).uniform(0.1, 0.8) for _ in range(3))):
        child = subprocess.Popen(call, cwd=ROOT)
        while _written(tmp_path / "b/work", part) < share * length and child.poll() is None:
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
        child.wait()
        time.sleep(0.2)
        assert not _lammps_running(tmp_path / "b")
        assert not (tmp_path / "b/status.json").exists()
        assert len(list((tmp_path / "b/work").glob("part.*.in"))) == part + 1  # it resumes from a restart file
    run_md(task, dummy_model, ["Ar"], tmp_path / "b", potential=lennard_jones)
    for name in ("traj.lammpstrj", "thermo.csv", "equilibration.csv", "in.lammps"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def _written(work, part) -> int:
    if not (work / f"part.{part:03d}.lammpstrj").exists():
        return 0
    return sum(path.stat().st_size for path in work.glob("part.*.lammpstrj"))


def _lammps_running(folder) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # processes come and go
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
    return found


@contextlib.contextmanager
def killed(folder):
    """Terminate LAMMPS as soon as it runs in ``folder``."""

    def wait_and_kill():
        deadline = time.monotonic() + 60
        while not (found := _lammps_running(folder)) and time.monotonic() < deadline:
            time.sleep(0.01)
        for process in found:
            os.kill(process, signal.SIGTERM)

    killer = threading.Thread(target=wait_and_kill)
    killer.start()
    yield
    killer.join()


def test_a_cut_restart_file_is_not_used(tmp_path):
    complete = b"x" * 100 + b"LammpS RestartT\x00"
    (tmp_path / "state.a").write_bytes(complete)
    time.sleep(0.01)
    (tmp_path / "state.b").write_bytes(complete[:-3])
    assert latest_state(tmp_path) == tmp_path / "state.a"
    (tmp_path / "state.a").write_bytes(b"")
    assert latest_state(tmp_path) is None


def test_the_restart_step_is_taken_from_the_part_that_reached_it(tmp_path):
    def block(step, mark):
        return (
            f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n0 5\n0 5\n0 5\n"
            f"ITEM: ATOMS id element xu yu zu\n1 Ar {mark} 0 0\n"
        )

    first = [block(0, 1), block(10, 1), block(20, 1), block(30, 1)]
    (tmp_path / "part.000.lammpstrj").write_text("".join(first) + block(40, 1)[:-5])
    (tmp_path / "part.001.lammpstrj").write_text(block(20, 2) + block(30, 2))
    (tmp_path / "part.002.lammpstrj").write_text("")
    found = [(step, text.decode().split()[-3]) for step, text in joined_blocks(tmp_path, 2)]
    assert found == [(0, "1"), (10, "1"), (20, "1"), (30, "2")]
    assert [step for step, _ in joined_blocks(tmp_path, 2, 20)] == [0, 10]
    steps = [(0, 10, 10, 20, 30), (20, 30)]
    parts = [[{"step": step, "part": part} for step in row] for part, row in enumerate(steps)]
    assert [(row["step"], row["part"]) for row in join_rows(parts, "step")] == [(0, 0), (10, 0), (20, 0), (30, 1)]


def test_frames_of_an_earlier_part_are_watched_also_when_the_last_part_has_none(tmp_path):
    frame = "ITEM: TIMESTEP\n{}\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n0 5\n0 5\n0 5\n" \
        "ITEM: ATOMS id element xu yu zu\n1 Ar 0 0 0\n"
    (tmp_path / "part.000.lammpstrj").write_text(frame.format(0) + frame.format(10))
    trajectory = GrowingTrajectory(tmp_path, 1)
    assert not list(trajectory.frames())
    trajectory.ended = True
    assert [found.step for found in trajectory.frames()] == [0, 10]
    assert not list(trajectory.frames())


def test_killed_from_outside_is_transient(tmp_path, argon, dummy_model):
    prepare(tmp_path, argon, production_ps=400)
    with killed(tmp_path / "out"), pytest.raises(TransientError, match="killed by signal 15"):
        run_md(tmp_path / "tasks/task.000", dummy_model, ["Ar"], tmp_path / "out", potential=lennard_jones)
    assert not (tmp_path / "out/status.json").exists()


def test_a_melting_framework_stops_the_run(tmp_path, argon, dummy_model):
    prepare(tmp_path, argon, temperatures_K=[400.0], production_ps=100, equilibration_ps=0)
    for name in "ab":
        run_md(tmp_path / "tasks/task.000", dummy_model, ["Ar"], tmp_path / name, potential=lennard_jones)
    run = read_json(tmp_path / "a/run.json")
    assert run["status"] == "melted"
    assert "the Ar sublattice diffuses" in run["reason"]
    assert 10 < run["n_frames"] < 2000
    assert read_json(tmp_path / "a/status.json")["status"] == "failed"
    for name in ("traj.lammpstrj", "thermo.csv"):  # when it was stopped does not show
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    frames = list(read_dump(tmp_path / "a/traj.lammpstrj"))
    assert f"step {frames[-1].step + 10}:" in run["reason"]


@pytest.mark.parametrize("squeeze", [0.3, 0.36])
def test_an_explosion_is_reported_not_raised(tmp_path, argon, dummy_model, squeeze):
    argon.positions[1] = argon.positions[0] + squeeze * (argon.positions[1] - argon.positions[0])
    prepare(tmp_path, argon)
    run_md(tmp_path / "tasks/task.000", dummy_model, ["Ar"], tmp_path / "out", potential=lennard_jones)
    run = read_json(tmp_path / "out/run.json")
    assert run["status"] == "exploded"
    assert run["reason"].startswith("equilibration, ")
    assert run["n_frames"] == 0
    status = read_json(tmp_path / "out/status.json")
    assert status["status"] == "failed"
    assert status["reason"].startswith("exploded: ")


def test_a_lammps_error_is_reported_with_its_line(tmp_path, argon, dummy_model):
    """The dummy is not a model: LAMMPS rejects it."""
    prepare(tmp_path, argon)
    run_md(tmp_path / "tasks/task.000", dummy_model, ["Ar"], tmp_path / "out")
    run = read_json(tmp_path / "out/run.json")
    assert run["status"] == "failed"
    assert run["reason"].startswith("LAMMPS: ") or run["reason"].startswith("equilibration, LAMMPS: ")


def test_npt_run_has_a_cell_for_each_frame_and_survives_a_kill(tmp_path, tilted_argon, dummy_model):
    task = MdTask(
        system="argon", ensemble="npt", temperature_K=40.0, pressure_GPa=0.0, replica=0, timestep_fs=4.0,
        equilibration_steps=0, steps=6_000, dump_every=20, restart_every=100, seed=5,
    )
    write_task(tmp_path / "tasks", 0, tilted_argon, task)
    run_teacher_md(tmp_path / "tasks/task.000", dummy_model, ["Ar"], tmp_path / "a", potential=lennard_jones)
    volumes = {round(float(np.linalg.det(frame.cell)), 3) for frame in read_dump(tmp_path / "a/traj.lammpstrj")}
    assert len(volumes) > 200
    call = call_in_a_child(tmp_path / "tasks/task.000", dummy_model, tmp_path / "b")
    child = subprocess.Popen(call, cwd=ROOT)
    while latest_state(tmp_path / "b/work") is None and child.poll() is None:
        time.sleep(0.01)
    child.kill()
    child.wait()
    assert not (tmp_path / "b/status.json").exists()
    run_teacher_md(tmp_path / "tasks/task.000", dummy_model, ["Ar"], tmp_path / "b", potential=lennard_jones)
    for name in ("traj.lammpstrj", "thermo.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(("coupling", "freed"), [("iso", 0), ("aniso", 1), ("tri", 2)])
def test_what_the_barostat_changes_relaxes(tmp_path, argon, dummy_model, coupling, freed):
    """A crystal that was sheared and pulled along x returns to its cubic shape, as far as the barostat lets it."""
    argon.set_cell(argon.cell.array @ np.array([[1.02, 0.02, 0], [0, 0.99, 0], [0, 0, 0.99]]), scale_atoms=True)
    task = MdTask(
        system="argon", ensemble="npt", coupling=coupling, temperature_K=5.0, pressure_GPa=0.0, replica=0,
        timestep_fs=4.0, equilibration_steps=0, steps=4_000, dump_every=100, restart_every=0, seed=5,
    )
    write_task(tmp_path / "tasks", 0, argon, task)
    run_teacher_md(tmp_path / "tasks/task.000", dummy_model, ["Ar"], tmp_path / "a", potential=lennard_jones)
    first, *_, last = [frame.cell for frame in read_dump(tmp_path / "a/traj.lammpstrj")]

    def shape(cell):
        lengths = np.linalg.norm(cell, axis=1)
        return lengths[0] / lengths[1], cell[0] @ cell[1] / lengths[0] / lengths[1]

    (ratio, angle), (ratio_0, angle_0) = shape(last), shape(first)
    assert (abs(ratio - 1) < 0.3 * abs(ratio_0 - 1)) == (freed >= 1)
    assert (abs(angle) < 0.3 * abs(angle_0)) == (freed >= 2)
    if not freed:
        assert (ratio, angle) == pytest.approx((ratio_0, angle_0), abs=1e-6)
    assert abs(np.linalg.det(last)) != pytest.approx(abs(np.linalg.det(first)), rel=1e-4)


def test_an_orthogonal_cell_can_become_triclinic(tmp_path, argon, dummy_model):
    task = MdTask(
        system="argon", ensemble="npt", coupling="tri", temperature_K=40.0, pressure_GPa=0.0, replica=0,
        timestep_fs=4.0, equilibration_steps=0, steps=400, dump_every=20, restart_every=100, seed=5,
    )
    write_task(tmp_path / "tasks", 0, argon, task)
    run_teacher_md(tmp_path / "tasks/task.000", dummy_model, ["Ar"], tmp_path / "a", potential=lennard_jones)
    first, *_, last = [frame.cell for frame in read_dump(tmp_path / "a/traj.lammpstrj")]
    assert not np.tril(first, -1).any() and np.tril(last, -1).any()


def test_runs_side_by_side_equal_runs_alone(tmp_path, argon, dummy_model, monkeypatch):
    jobs = [
        Job(
            argon, [dummy_model], ["Ar"], Simulation("nvt", 40.0, 4.0, 300, 50, 50, seed), potential=lennard_jones
        )
        for seed in (1, 2, 3)
    ]
    monkeypatch.setenv("DPA_SSE_THREADS", "2")
    folders = [tmp_path / f"side{number}" for number in range(3)]
    outcomes = run_lammps_all(list(zip(jobs, folders, strict=True)))
    assert [outcome.status for outcome in outcomes] == ["ok"] * 3
    run_lammps_all([(jobs[1], tmp_path / "alone")])
    trajectories = [(folder / "traj.lammpstrj").read_bytes() for folder in [*folders, tmp_path / "alone"]]
    assert trajectories[1] == trajectories[3]
    assert len(set(trajectories)) == 3


def test_when_one_run_is_killed_the_others_end(tmp_path, argon, dummy_model, monkeypatch):
    monkeypatch.setenv("DPA_SSE_THREADS", "2")
    simulation = Simulation("nvt", 40.0, 4.0, 10_000_000, 1000, 1000, 1)
    job = Job(argon, [dummy_model], ["Ar"], simulation, potential=lennard_jones)
    with killed(tmp_path / "1"), pytest.raises(TransientError):
        run_lammps_all([(job, tmp_path / "0"), (job, tmp_path / "1")])
    assert not _lammps_running(tmp_path)
