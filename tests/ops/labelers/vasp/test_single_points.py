"""Single points with the stand-in for VASP: labels, verdicts, what custodian mends, what is left on disk."""

import gzip
import json
import os
import time

import numpy as np
import pytest
from ase.stress import voigt_6_to_full_3x3_stress

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.labelers.mock import mock_energy
from dpa_sse.ops.labelers.registry import make_labeler
from dpa_sse.ops.labelers.settings import VaspSettings
from dpa_sse.ops.labelers.single_points import label_frames
from dpa_sse.ops.labelers.vasp import job
from dpa_sse.ops.structures.extxyz import read_frames, write_frames


def label(settings, frames, work):
    return make_labeler(settings).label(frames, work)


def test_labels_are_those_of_the_potential(plan, settings, frames, tmp_path):
    results = label(settings, frames, tmp_path / "vasp")
    assert [result.status for result in results] == ["ok"] * 3
    for atoms, result in zip(frames, results, strict=True):
        energy, forces, stress = mock_energy(atoms)
        assert np.array_equal(result.atoms.positions, atoms.positions)
        assert result.atoms.get_chemical_symbols() == atoms.get_chemical_symbols()
        assert result.atoms.get_potential_energy() == pytest.approx(energy, abs=1e-7)
        assert result.atoms.get_forces() == pytest.approx(forces, abs=1e-7)
        assert voigt_6_to_full_3x3_stress(result.atoms.get_stress()) == pytest.approx(stress, abs=1e-9)
        assert np.abs(stress).max() > 1e-3


def test_other_readers_agree(plan, settings, frames, tmp_path):
    import dpdata
    from ase.io import read

    from dpa_sse.ops.data.convert import virial_of

    result = label(settings, frames[:1], tmp_path)[0]
    folder = tmp_path / "frame.000"
    for name in ("vasprun.xml", "OUTCAR"):
        (folder / name).write_bytes(gzip.decompress((folder / f"{name}.gz").read_bytes()))
    order = np.argsort([("Li", "S").index(s) if frames[0][0].symbol == "Li" else ("S", "Li").index(s)
                        for s in frames[0].get_chemical_symbols()], kind="stable")
    for name, form in [("vasprun.xml", "vasp/xml"), ("OUTCAR", "vasp/outcar")]:
        system = dpdata.LabeledSystem(str(folder / name), fmt=form)  # dpdata turns the cell: invariants are compared
        assert system["energies"][0] == pytest.approx(result.atoms.get_potential_energy(), abs=1e-6)
        largest = np.linalg.norm(result.atoms.get_forces()[order], axis=1)
        assert np.linalg.norm(system["forces"][0], axis=1) == pytest.approx(largest, abs=5e-6)
        virial = np.linalg.eigvalsh(virial_of(result.atoms))
        assert np.linalg.eigvalsh(system["virials"][0]) == pytest.approx(virial, abs=1e-4)
        assert np.abs(virial).max() > 0.1
    atoms = read(folder / "vasprun.xml")
    assert atoms.get_stress() == pytest.approx(result.atoms.get_stress(), abs=1e-8)


def test_what_is_left_on_disk(plan, settings, frames, tmp_path):
    label(settings, frames[:1], tmp_path)
    names = {path.name for path in (tmp_path / "frame.000").iterdir()}
    assert {"INCAR", "KPOINTS", "POSCAR", "OSZICAR", "vasprun.xml.gz", "OUTCAR.gz", "potcar.json"} <= names
    assert "POTCAR" not in names
    for path in (tmp_path / "frame.000").iterdir():
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" and "tar" not in path.name else content
        assert b"SECRET" not in content
    recorded = json.loads((tmp_path / "frame.000/potcar.json").read_text())
    assert sorted(one["titel"] for one in recorded) == ["PAW_PBE Li 01Jan2000", "PAW_PBE S 01Jan2000"]
    assert all(len(one["sha256"]) == 64 for one in recorded)


def test_custodian_mends_slow_convergence(plan, settings, frames, tmp_path):
    plan("sloshing", "sloshing", "sloshing")
    result = label(settings, frames[:1], tmp_path)[0]
    assert result.status == "ok"
    assert "ALGO = All" in (tmp_path / "frame.000/INCAR").read_text()
    assert (tmp_path / "frame.000/error.1.tar.gz").is_file()


def test_custodian_restarts_after_a_crash(plan, settings, frames, tmp_path):
    plan("zhegv", "zhegv")
    result = label(settings, frames[:1], tmp_path)[0]
    assert result.status == "ok"
    assert np.array_equal(result.atoms.positions, frames[0].positions)


@pytest.mark.parametrize(
    ("lines", "status", "reason"),
    [
        (["unconverged"] * 9, "not converged", r"after 120 electronic steps \(NELM\); errors handled by custodian"),
        (["crash"], "failed", r"exit code 1; last output: forrtl: severe \(174\): SIGSEGV"),
        (["kill"] * 5, "failed", "VASP was killed by SIGKILL in each of 2 attempts"),
        (["truncated"], "failed", "vasprun.xml is truncated"),
        (["silent"], "failed", "VASP wrote no vasprun.xml"),
        (["nan"], "failed", "not finite numbers"),
        (["no-stress"], "failed", "vasprun.xml has no stress"),
        (["other-cell"], "failed", r"VASP computed another cell \(atoms differ by 0.5"),
        (["other-encut"], "failed", "VASP used ENCUT = 300 eV, not 600 eV"),
        (["tetrahedron", "ok"], "ok", ""),
        (["symmetry"] * 9, "failed", "inv_rot_mat"),
    ],
)
def test_verdicts(plan, settings, frames, tmp_path, lines, status, reason):
    import re

    plan(*lines)
    result = label(settings, frames[:1], tmp_path)[0]
    assert result.status == status, result.reason
    assert re.search(reason, result.reason), result.reason
    assert "\n" not in result.reason
    assert (result.atoms is None) == (status != "ok")
    assert not (tmp_path / "frame.000/POTCAR").exists()


def test_corrections_that_change_the_label_are_refused(plan, frames, tmp_path, settings):
    plan("tetrahedron", "ok")
    tight = settings.model_copy(update={"tags": {"SIGMA": 0.02}})
    result = label(tight, frames[:1], tmp_path)[0]
    assert (result.status, result.reason) == (
        "failed", "SIGMA was changed from 0.02 to 0.05: not comparable to the other labels; errors handled by "
        "custodian: tet",
    )


def test_a_killed_program_is_started_again(plan, settings, frames, tmp_path):
    plan("kill", "ok")
    assert label(settings, frames[:1], tmp_path)[0].status == "ok"


@pytest.mark.parametrize("mode", ["hang", "deaf"])
def test_wall_time(plan, settings, frames, tmp_path, monkeypatch, mode):
    monkeypatch.setattr(job, "STOP_GRACE_S", 2.0)
    plan(mode)
    started = time.monotonic()
    result = label(settings.model_copy(update={"wall_time_min": 0.1}), frames[:1], tmp_path)[0]
    assert result.status != "ok"
    assert result.reason.startswith("stopped at its wall time of 0.1 min")
    assert time.monotonic() - started < 40
    assert label(settings, frames[1:2], tmp_path)[0].status == "ok"  # the clock of one run is not that of the next


def test_missing_program_stops_the_task(plan, frames, tmp_path):
    with pytest.raises(FatalError, match="program 'no_such_vasp' not found"):
        label(VaspSettings(command="no_such_vasp -n 2"), frames[:1], tmp_path)


def test_missing_potcar_is_a_verdict_of_the_frames_that_need_it(plan, library, settings, frames, tmp_path):
    other = frames[1].copy()
    other.symbols[next(one.index for one in other if one.symbol == "S")] = "Br"
    results = label(settings, [frames[0], other], tmp_path)
    assert [result.status for result in results] == ["ok", "failed"]
    assert results[1].reason == f"no POTCAR of Br: neither Br/POTCAR nor POTCAR.Br in {library}"


def test_partial_success_and_restart(plan, settings, frames, tmp_path, monkeypatch):
    task, out = tmp_path / "task", tmp_path / "out"
    task.mkdir()
    write_frames(task / "frames.extxyz", frames)
    plan("ok", "truncated", "ok")
    started = []
    original = job._make_job

    def counted(command):
        started.append(1)
        if len(started) == 3:
            raise KeyboardInterrupt
        return original(command)

    monkeypatch.setattr(job, "_make_job", counted)
    with pytest.raises(KeyboardInterrupt):
        label_frames(task, settings, out)
    monkeypatch.setattr(job, "_make_job", original)
    label_frames(task, settings, out)
    status = json.loads((out / "status.json").read_text())
    assert [item["status"] for item in status["items"]] == ["ok", "failed", "ok"]
    assert status["status"] == "partial"
    assert len(read_frames(out / "frames.extxyz")) == 2
    assert len(list((out / "vasp").glob("frame.*"))) == 3


def test_command_is_no_shell_line(plan, frames, tmp_path, settings):
    words = f"'; touch {tmp_path}/owned' $(touch {tmp_path}/x)"
    odd = settings.model_copy(update={"command": f"{settings.command} {words}"})
    assert label(odd, frames[:1], tmp_path / "w")[0].status == "ok"
    assert not (tmp_path / "owned").exists()
    assert not (tmp_path / "x").exists()


def test_command_from_the_environment(plan, frames, tmp_path, settings, monkeypatch):
    monkeypatch.setenv("VASP_COMMAND", settings.command)
    assert label(VaspSettings(), frames[:1], tmp_path)[0].status == "ok"


def test_no_process_is_left_when_the_task_is_interrupted(plan, settings, frames, tmp_path, monkeypatch):
    from dpa_sse.ops.core.errors import TransientError
    from dpa_sse.ops.runtime.task import _time_limit

    plan("deaf")
    jobs = []
    original = job._make_job
    monkeypatch.setattr(job, "_make_job", lambda command: jobs.append(original(command)) or jobs[-1])
    with pytest.raises(TransientError, match="limit"), _time_limit(4):
        label(settings, frames[:1], tmp_path)
    assert jobs[0].process.poll() is not None
    with pytest.raises(ProcessLookupError):
        os.kill(jobs[0].process.pid, 0)



def test_labels_survive_a_task_that_runs_out_of_time(plan, settings, frames, tmp_path):
    from dpa_sse.ops.core.errors import TransientError
    from dpa_sse.ops.runtime.task import _time_limit

    task, out = tmp_path / "task", tmp_path / "out"
    task.mkdir()
    write_frames(task / "frames.extxyz", frames)
    plan("ok", "deaf")
    with pytest.raises(TransientError), _time_limit(60 if os.getloadavg()[0] > 4 else 12):
        label_frames(task, settings, out)
    assert [frame.info["frame"] for frame in read_frames(out / "frames.extxyz")] == [0]
    label_frames(task, settings, out)
    assert json.loads((out / "status.json").read_text())["status"] == "ok"
    assert len(read_frames(out / "frames.extxyz")) == 3


def test_a_users_incar_is_taken_as_it_is(plan, settings, frames, tmp_path):
    text = "PREC = N; ENCUT = 500 ! eV\nKSPACING = 0.2\nKGAMMA = .FALSE.\nGGA = PS\nLREAL = Auto\n"
    result = label(settings.model_copy(update={"incar": text}), frames[:1], tmp_path)[0]
    assert result.status == "ok", result.reason
    assert (tmp_path / "frame.000/INCAR").read_text() == text
    assert (tmp_path / "frame.000/KPOINTS").read_text().splitlines()[2:4] == ["Monkhorst-Pack", "6 6 6"]
