"""Forces and stresses are the derivatives of the energy, and a bad frame is a verdict, not a crash."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress

from dpa_sse.ops.core.errors import InputError, TransientError
from dpa_sse.ops.labelers import mock
from dpa_sse.ops.labelers.base import label_with_calculator
from dpa_sse.ops.labelers.registry import make_labeler
from dpa_sse.ops.labelers.settings import AseSettings, MockSettings
from dpa_sse.ops.results.status import TaskStatus
from dpa_sse.ops.structures.build import build_cell
from dpa_sse.ops.structures.perturb import perturb_atoms
from dpa_sse.ops.structures.settings import SystemSettings


@pytest.fixture(scope="module")
def atoms():
    cell = build_cell(SystemSettings(name="Li2S", structure="Li2S"), Path(), 1)
    return perturb_atoms(cell, 0.05, 0.2, np.random.default_rng(3))


def energy(labeler, atoms):
    return labeler.label([atoms])[0].atoms.get_potential_energy()


def numeric_force(labeler, atoms, atom, axis, step):
    values = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[atom, axis] += sign * step
        values.append(energy(labeler, moved))
    return -(values[0] - values[1]) / (2 * step)


def numeric_stress(labeler, atoms, i, j, step):
    values = []
    for sign in (1, -1):
        strain = np.zeros((3, 3))
        strain[i, j] += sign * step / 2
        strain[j, i] += sign * step / 2
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        values.append(energy(labeler, strained))
    return (values[0] - values[1]) / (2 * step) / atoms.get_volume()


def test_mock_is_conservative(atoms):
    labeler = make_labeler(MockSettings())
    labelled = labeler.label([atoms])[0].atoms
    forces, stress = labelled.get_forces(), voigt_6_to_full_3x3_stress(labelled.get_stress())
    assert np.abs(forces).max() > 0.1
    for atom, axis in [(0, 0), (3, 1), (11, 2)]:
        assert numeric_force(labeler, atoms, atom, axis, 1e-4) == pytest.approx(forces[atom, axis], abs=1e-6)
    for i, j in [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]:
        assert numeric_stress(labeler, atoms, i, j, 1e-4) == pytest.approx(stress[i, j], abs=1e-7)
    assert np.abs(forces.sum(axis=0)).max() < 1e-12


def test_mock_is_smooth_at_its_cutoff():
    energies = []
    for r in np.linspace(3.9, 5.1, 241):
        pair = Atoms("LiS", positions=[[0, 0, 0], [r, 0, 0]], cell=[30, 30, 30], pbc=True)
        energies.append(energy(make_labeler(MockSettings()), pair))
    assert np.abs(np.diff(energies, 3)).max() < 1e-5


def test_mock_scales_with_the_supercell(atoms):
    labeler = make_labeler(MockSettings())
    assert energy(labeler, atoms.repeat((2, 1, 2))) == pytest.approx(4 * energy(labeler, atoms), rel=1e-12)


def test_chgnet_forces_and_stress(atoms):
    pytest.importorskip("chgnet")
    labeler = make_labeler(AseSettings())
    assert make_labeler(AseSettings()) is labeler  # one model per process
    labelled = labeler.label([atoms])[0].atoms
    forces, stress = labelled.get_forces(), voigt_6_to_full_3x3_stress(labelled.get_stress())
    # single precision: finite differences are good to some meV/A
    assert numeric_force(labeler, atoms, 2, 1, 0.01) == pytest.approx(forces[2, 1], abs=0.02)
    assert numeric_stress(labeler, atoms, 0, 0, 0.01) == pytest.approx(stress[0, 0], abs=5e-4)
    assert abs(stress[0, 0]) > 2e-3


def test_every_nth_frame_fails_and_the_others_do_not(atoms):
    results = make_labeler(MockSettings(fail_every=3)).label([atoms] * 7)
    assert [result.status for result in results] == ["ok", "ok", "failed", "ok", "ok", "failed", "ok"]
    assert "as requested" in results[2].reason


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ValueError("SCF blew up\nlong tail"), "ValueError: SCF blew up"),
        (float("nan"), "the calculator returned NaN or infinite numbers"),
    ],
)
def test_exceptions_and_nan_become_verdicts(atoms, monkeypatch, answer, reason):
    monkeypatch.setattr(mock, "mock_energy", broken(answer))
    result = label_with_calculator(atoms, mock.mock_calculator())
    assert (result.status, result.reason, result.atoms) == ("failed", reason, None)


def test_transient_errors_pass_through(atoms, monkeypatch):
    monkeypatch.setattr(mock, "mock_energy", broken(TransientError("node lost")))
    with pytest.raises(TransientError):
        label_with_calculator(atoms, mock.mock_calculator())


def broken(answer):
    def energy(atoms):
        if isinstance(answer, Exception):
            raise answer
        return answer, np.zeros((len(atoms), 3)), np.zeros((3, 3))

    return energy


def test_calculator_without_stress_gives_no_label(atoms):
    calculator = mock.mock_calculator()
    calculator.implemented_properties = ["energy", "forces"]
    result = label_with_calculator(atoms, calculator)
    assert result.status == "failed"
    assert "stress" in result.reason


def test_any_ase_calculator():
    from ase.build import bulk

    copper = bulk("Cu", cubic=True)
    copper.positions[0] += 0.05
    result = make_labeler(AseSettings(calculator="ase.calculators.emt:EMT")).label([copper])[0]
    assert result.status == "ok"
    assert np.abs(result.atoms.get_forces()).max() > 0.01


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("emt", {}, "module:Class"),
        ("ase.calculators.nothing:EMT", {}, "cannot be imported"),
        ("ase.calculators.emt:TME", {}, "has no class TME"),
        ("ase.calculators.singlepoint:SinglePointCalculator", {}, "missing 1 required positional argument"),
        ("json:loads", {"s": "1"}, "not an ASE calculator"),
        ("chgnet", {"use_divice": "cpu"}, "did you mean 'use_device'"),
    ],
)
def test_bad_calculators_are_refused(name, arguments, message):
    if name == "chgnet":
        pytest.importorskip("chgnet")
    with pytest.raises(InputError, match=message):
        make_labeler(AseSettings(calculator=name, kwargs=arguments))


@pytest.mark.parametrize(
    ("items", "status"),
    [([], "empty"), ([("ok", "")], "ok"), ([("ok", ""), ("failed", "x")], "partial"), ([("failed", "x")], "failed")],
)
def test_status_record(items, status):
    record = TaskStatus.of_items(items)
    assert record.status == status
    assert len(record.items) == len(items)


@pytest.mark.parametrize(("failure", "verdict"), [
    ("error", ("failed", "CalculationFailed: the mock labeler fails here (error), as requested")),
    ("not converged", ("not converged", "the mock labeler does not converge here, as requested")),
    ("nan", ("failed", "the calculator returned NaN or infinite numbers")),
])
def test_mock_fails_as_told(atoms, failure, verdict):
    first, second = make_labeler(MockSettings(fail_every=2, failure=failure)).label([atoms, atoms])
    assert first.status == "ok"
    assert (second.status, second.reason) == verdict


@pytest.mark.parametrize("failure", ["crash", "hang"])
def test_mock_ends_or_stalls_the_first_attempt_only(tmp_path, failure):
    code = (
        "from pathlib import Path; from ase import Atoms; from dpa_sse.ops.labelers.mock import MockLabeler\n"
        "from dpa_sse.ops.labelers.settings import MockSettings\n"
        "atoms = Atoms('LiS', positions=[[0, 0, 0], [2, 0, 0]], cell=[9, 9, 9], pbc=True)\n"
        f"made = MockLabeler(MockSettings(fail_every=1, failure={failure!r})).label([atoms], Path('work'))\n"
        "print(made[0].status)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-c", code]
    first = subprocess.Popen(argv, cwd=tmp_path, env=environment)
    if failure == "hang":
        while not (tmp_path / "work/frame.00000.hang").is_file():
            assert first.poll() is None
            time.sleep(0.05)
        with pytest.raises(subprocess.TimeoutExpired):
            first.wait(1)
        first.kill()
    assert first.wait() == -signal.SIGKILL
    assert subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, check=True).stdout == b"ok\n"
