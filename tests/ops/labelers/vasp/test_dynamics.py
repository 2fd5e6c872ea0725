"""Molecular dynamics with the stand-in for VASP: frames, ensembles, restart."""

import json
import os

import numpy as np
import pytest

from dpa_sse.ops.data.incar import incar_text
from dpa_sse.ops.labelers.aimd import run_aimd
from dpa_sse.ops.labelers.base import AimdRun
from dpa_sse.ops.labelers.mock import mock_energy
from dpa_sse.ops.labelers.settings import AimdSettings
from dpa_sse.ops.labelers.vasp import job
from dpa_sse.ops.labelers.vasp.dynamics import dynamics_tags, nose_mass
from dpa_sse.ops.structures.extxyz import read_frames, write_frames

AIMD = AimdSettings(temperatures_K=[300.0], steps=8, sample_every=2, timestep_fs=1.0)


@pytest.fixture
def task(frames, tmp_path):
    folder = tmp_path / "task"
    folder.mkdir()
    cell = frames[0].copy()
    cell.info["perturbation"] = 0
    write_frames(folder / "cell.extxyz", [cell])
    return folder


def status(out):
    return json.loads((out / "status.json").read_text())


def steps_of(out):
    return [frame.info["step"] for frame in read_frames(out / "frames.extxyz")]


def check_labels(out):
    for frame in read_frames(out / "frames.extxyz"):
        energy, forces, _ = mock_energy(frame)
        assert frame.get_potential_energy() == pytest.approx(energy, abs=1e-5)  # vasprun.xml has 8 decimals
        assert frame.get_forces() == pytest.approx(forces, abs=1e-5)
        assert frame.info["temperature_K"] == 300.0


def test_trajectory(plan, settings, task, frames, tmp_path):
    out = tmp_path / "out"
    run_aimd(task, settings, AIMD, 1, out)
    assert status(out)["status"] == "ok", status(out)
    assert steps_of(out) == [0, 2, 4, 6, 8]
    check_labels(out)
    assert np.array_equal(read_frames(out / "frames.extxyz")[0].positions, frames[0].positions)
    assert not list(out.rglob("POTCAR"))
    run_aimd(task, settings, AIMD, 1, tmp_path / "again")
    assert (out / "frames.extxyz").read_bytes() == (tmp_path / "again/frames.extxyz").read_bytes()


def test_killed_program_goes_on_from_contcar(plan, settings, task, tmp_path):
    plan("kill-at 3", "kill-at 2", "ok")
    out = tmp_path / "out"
    run_aimd(task, settings, AIMD, 1, out)
    assert status(out)["status"] == "ok", status(out)
    assert steps_of(out) == [0, 2, 4, 6, 8]
    check_labels(out)
    firsts = [json.loads(path.read_text())["first_step"] for path in sorted(out.rglob("segment.json"))]
    assert firsts == [0, 3, 5]
    second = (out / "vasp/segment.01/POSCAR").read_text()
    assert second == (out / "vasp/segment.00/CONTCAR").read_text()


def test_a_torn_contcar_is_replaced_by_the_last_step(plan, settings, task, tmp_path):
    plan("torn-contcar 4", "ok")
    out = tmp_path / "out"
    run_aimd(task, settings, AIMD, 1, out)
    assert (status(out)["status"], steps_of(out)) == ("ok", [0, 2, 4, 6, 8])
    assert json.loads((out / "vasp/segment.01/segment.json").read_text())["first_step"] == 3  # computed again
    check_labels(out)


def test_killed_task_keeps_its_frames(plan, settings, task, tmp_path, monkeypatch):
    out = tmp_path / "out"
    plan("kill-at 5")
    original, calls = job._make_job, []

    def once(command):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return original(command)

    monkeypatch.setattr(job, "_make_job", once)
    with pytest.raises(KeyboardInterrupt):
        run_aimd(task, settings, AIMD, 1, out)
    monkeypatch.setattr(job, "_make_job", original)
    started = (out / "vasp/segment.00/vasprun.xml.gz").stat().st_mtime_ns
    run_aimd(task, settings, AIMD, 1, out)
    assert steps_of(out) == [0, 2, 4, 6, 8]
    assert (out / "vasp/segment.00/vasprun.xml.gz").stat().st_mtime_ns == started
    assert "NSW = 4" in (out / "vasp/segment.02/INCAR").read_text()


def test_unconverged_steps_are_no_labels(plan, settings, task, tmp_path):
    plan("unconverged-at 5")
    out = tmp_path / "out"
    run_aimd(task, settings, AIMD, 1, out)
    assert steps_of(out) == [0, 2, 6, 8]
    assert (status(out)["status"], status(out)["reason"]) == ("partial", "1 of 5 frames without label")
    assert status(out)["dropped"][0]["step"] == 4
    assert status(out)["dropped"][0]["status"] == "not converged"


def test_wall_time_keeps_what_there_is(plan, settings, task, tmp_path):
    plan("slow 0.8")
    out = tmp_path / "out"
    long = AIMD.model_copy(update={"steps": 200})
    wall = 1.0 if os.getloadavg()[0] > 4 else 0.15  # the start of the stand-in counts, too
    run_aimd(task, settings.model_copy(update={"wall_time_min": wall}), long, 1, out)
    assert status(out)["status"] == "partial"
    assert f"stopped at its wall time of {wall:g} min after step" in status(out)["reason"]
    assert steps_of(out)
    check_labels(out)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["crash"] * 9, "VASP ended with code 1 before its first step: forrtl"),
        (["kill"] * 9, "VASP was killed by SIGKILL before its first step"),
        (["silent"] * 9, "VASP ended with code 0 before its first step"),
        (["other-encut"], "VASP used ENCUT = 300 eV, not 600 eV"),
    ],
)
def test_failures(plan, settings, task, tmp_path, lines, reason):
    plan(*lines)
    run_aimd(task, settings, AIMD, 1, tmp_path / "out")
    assert status(tmp_path / "out")["status"] == "failed"
    assert reason in status(tmp_path / "out")["reason"]
    assert "\n" not in status(tmp_path / "out")["reason"]


def test_custodian_corrects_and_the_next_segment_keeps_it(plan, settings, task, tmp_path):
    plan("zhegv", "zhegv")
    run_aimd(task, settings, AIMD, 1, tmp_path / "out")
    assert status(tmp_path / "out")["status"] == "ok", status(tmp_path / "out")
    assert "ALGO = All" in (tmp_path / "out/vasp/segment.01/INCAR").read_text()


def make_run(frames, **changes):
    settings = AimdSettings(temperatures_K=[300.0], steps=100, **changes)
    start, end = settings.temperatures_of(0)
    return AimdRun(frames[0], settings, start, end, 7)


def test_incar_of_each_ensemble(frames):
    nvt = dynamics_tags(make_run(frames), 0)
    assert (nvt["MDALGO"], nvt["ISIF"], nvt["LANGEVIN_GAMMA"], nvt["NSW"]) == (3, 2, "20 20", 101)
    assert (nvt["NBLOCK"], nvt["MAXMIX"], nvt["IBRION"], nvt["ISYM"]) == (1, 40, 0, 0)
    npt = dynamics_tags(make_run(frames, ensemble="npt"), 0)
    assert (npt["MDALGO"], npt["ISIF"], npt["LANGEVIN_GAMMA_L"], npt["PMASS"]) == (3, 3, 1.0, 1000.0)
    assert "PSTRESS" not in npt
    hoover = dynamics_tags(make_run(frames, thermostat="nose-hoover"), 0)
    assert hoover["MDALGO"] == 2
    assert "LANGEVIN_GAMMA" not in hoover
    ramp = dynamics_tags(make_run(frames, end_temperatures_K=[900.0]), 50)
    assert (ramp["TEBEG"], ramp["TEEND"], ramp["NSW"]) == (600.0, 900.0, 51)
    assert "TEBEG = 600\n" in incar_text(ramp)


def test_nose_mass_gives_the_period(frames):
    """With VASP's default of SMASS = 0 the period is 40 steps; the same formula as in common scripts for it."""
    from ase import units

    run = make_run(frames, thermostat="nose-hoover", damping_fs=80.0)
    length = np.linalg.norm(frames[0].cell.array[0]) * 1e-10
    energy_s2 = 2 * (3 * len(frames[0]) - 3) * units._k * 300.0 * (80e-15 / (2 * np.pi)) ** 2
    assert nose_mass(run) == pytest.approx(energy_s2 / units._amu / length**2, rel=1e-6)


def test_npt_frames_have_their_own_cells(plan, settings, task, tmp_path):
    run_aimd(task, settings, AIMD.model_copy(update={"ensemble": "npt"}), 1, tmp_path / "out")
    volumes = [frame.get_volume() for frame in read_frames(tmp_path / "out/frames.extxyz")]
    assert len(set(np.round(volumes, 4))) > 2
    check_labels(tmp_path / "out")


def test_frames_survive_a_task_that_runs_out_of_time(plan, settings, task, tmp_path):
    from dpa_sse.ops.core.errors import TransientError
    from dpa_sse.ops.runtime.task import _time_limit

    plan("kill-at 3", "deaf")
    with pytest.raises(TransientError), _time_limit(60 if os.getloadavg()[0] > 4 else 12):
        run_aimd(task, settings, AIMD, 1, tmp_path / "out")
    assert steps_of(tmp_path / "out") == [0, 2]
    run_aimd(task, settings, AIMD, 1, tmp_path / "out")
    assert steps_of(tmp_path / "out") == [0, 2, 4, 6, 8]
