"""Real Quantum ESPRESSO: silicon within seconds here, ultrasoft and PAW potentials with ``make test-dft``."""

from __future__ import annotations

import io
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io.espresso import read_espresso_out

from dpa_sse.ops.core.errors import TransientError
from dpa_sse.ops.labelers.aimd import run_aimd
from dpa_sse.ops.labelers.qe.labeler import QeLabeler
from dpa_sse.ops.labelers.settings import AimdSettings, QeSettings
from dpa_sse.ops.results.status import TaskStatus
from dpa_sse.ops.structures.extxyz import read_frames, write_frames

PSEUDOS = Path("/usr/share/espresso/pseudo")
pytestmark = pytest.mark.skipif(
    shutil.which("pw.x") is None or not PSEUDOS.is_dir(),
    reason="pw.x is not installed (Debian, Ubuntu: apt-get install quantum-espresso quantum-espresso-data)",
)
KBAR = 1602.1766  # eV/A^3 in kbar
SILICON = QeSettings(
    pseudo_dir=str(PSEUDOS), functional="PBE", pseudos={"Si": "Si.pbe-rrkj.UPF"}, ecutwfc_Ry=20, ecutrho_Ry=80,
    kspacing=1.0, conv_thr_Ry=1e-12,
)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPA_SSE_THREADS", "1")


@pytest.fixture
def silicon() -> Atoms:
    atoms = bulk("Si", "diamond", a=5.43)
    sheared = atoms.cell.array + np.array([[0.05, 0.02, 0], [0, -0.04, 0.03], [0.01, 0, 0.06]])
    atoms.set_cell(sheared, scale_atoms=True)
    atoms.rattle(0.05, seed=1)
    return atoms


def label(settings: QeSettings, atoms: Atoms, work: Path) -> Atoms:
    (result,) = QeLabeler(settings).label([atoms], work)
    assert result.atoms is not None, result.reason
    return result.atoms


def force_error(settings: QeSettings, atoms: Atoms, atom: int, axis: int, step: float, work: Path) -> float:
    """Return analytic minus numeric force, eV/A, of labelled atoms."""
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[atom, axis] += sign * step
        energies.append(label(settings, moved, work).get_potential_energy())
    return atoms.get_forces()[atom, axis] + (energies[0] - energies[1]) / (2 * step)


def stress_error(settings: QeSettings, atoms: Atoms, i: int, j: int, step: float, work: Path) -> float:
    """Return analytic minus numeric stress, kbar, of labelled atoms."""
    energies = []
    for sign in (1, -1):
        strain = np.zeros((3, 3))
        strain[i, j] += sign * step / 2
        strain[j, i] += sign * step / 2
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        energies.append(label(settings, strained, work).get_potential_energy())
    numeric = (energies[0] - energies[1]) / (2 * step * atoms.get_volume())
    return (atoms.get_stress(voigt=False)[i, j] - numeric) * KBAR


def test_labels_are_derivatives_of_the_energy(silicon: Atoms, tmp_path: Path) -> None:
    """Also with a smearing that changes the energy: the forces are the derivatives of F = E - TS.

    The cutoff of 20 Ry leaves a Pulay stress: the energy at fixed cutoff is not that at a fixed number of plane waves.
    """
    smeared = SILICON.model_copy(update={"smearing_eV": 0.5})
    labelled = label(smeared, silicon, tmp_path)
    (read,) = read_espresso_out(io.StringIO((tmp_path / "frame.00000/pw.out").read_text()), slice(None))
    assert labelled.get_potential_energy() == read.calc.results["free_energy"]
    np.testing.assert_array_equal(labelled.get_forces(), read.get_forces())
    np.testing.assert_array_equal(labelled.get_stress(), read.get_stress())
    text = (tmp_path / "frame.00000/pw.out").read_text()
    assert "smearing contrib. (-TS)" in text
    assert abs(force_error(smeared, labelled, 0, 0, 0.01, tmp_path)) < 5e-4
    assert abs(force_error(smeared, labelled, 1, 2, 0.01, tmp_path)) < 5e-4


def test_the_stress_is_the_derivative_of_the_energy(silicon: Atoms, tmp_path: Path) -> None:
    converged = SILICON.model_copy(update={"ecutwfc_Ry": 40.0, "ecutrho_Ry": 160.0})
    labelled = label(converged, silicon, tmp_path)
    for i, j in ((0, 0), (2, 2), (0, 1), (1, 2)):
        assert abs(stress_error(converged, labelled, i, j, 0.004, tmp_path)) < 1.0, (i, j)
    assert np.abs(labelled.get_stress()[:3]).max() * KBAR > 5  # a sign would show


def test_fixed_occupations_spin_and_dispersion(silicon: Atoms, tmp_path: Path) -> None:
    without = SILICON.model_copy(update={"smearing_eV": 0.0})
    fixed = label(without, silicon, tmp_path)
    assert "smearing contrib" not in (tmp_path / "frame.00000/pw.out").read_text()
    assert abs(force_error(without, fixed, 0, 0, 0.01, tmp_path)) < 5e-4
    polarized = SILICON.model_copy(update={"magnetization": {"Si": 0.5}})
    spin = label(polarized, silicon, tmp_path)
    assert "total magnetization" in (tmp_path / "frame.00000/pw.out").read_text()
    assert abs(force_error(polarized, spin, 0, 0, 0.01, tmp_path)) < 5e-4
    smeared = SILICON.model_copy(update={"smearing_eV": 0.5})
    usual = label(smeared, silicon, tmp_path)
    corrected = smeared.model_copy(update={"vdw": "grimme-d3", "keys": {"dftd3_version": 4}})
    dispersion = label(corrected, silicon, tmp_path)
    assert dispersion.get_potential_energy() < usual.get_potential_energy() - 0.1
    assert abs(force_error(corrected, dispersion, 0, 0, 0.01, tmp_path)) < 5e-4
    assert abs(stress_error(corrected, dispersion, 0, 1, 0.004, tmp_path)) < 1.0


def test_wrong_input_is_one_line(silicon: Atoms, tmp_path: Path) -> None:
    wrong = SILICON.model_copy(update={"keys": {"mixing_mode": "no such"}})
    (result,) = QeLabeler(wrong).label([silicon], tmp_path)
    assert result.status == "failed"
    assert result.reason.startswith("pw.x: ") and "no such" in result.reason and "\n" not in result.reason
    few = SILICON.model_copy(update={"max_scf": 3})
    assert QeLabeler(few).label([silicon], tmp_path)[0].status == "not converged"


def test_dynamics_conserves_the_energy_and_resumes(silicon: Atoms, tmp_path: Path) -> None:
    """A run that is killed and repeated gives the same frames, bit for bit."""
    write_frames(tmp_path / "task/cell.extxyz", [silicon])
    settings = AimdSettings(
        temperatures_K=[300.0], steps=6, sample_every=2, timestep_fs=1.0, thermostat="nose-hoover", damping_fs=1e5,
    )
    run_aimd(tmp_path / "task", SILICON, settings, 1, tmp_path / "whole")
    assert TaskStatus.read(tmp_path / "whole").status == "ok"
    frames = read_frames(tmp_path / "whole/frames.extxyz")
    assert [frame.info["step"] for frame in frames] == [0, 2, 4, 6]

    program = (
        "import sys; from pathlib import Path; from dpa_sse.ops.labelers.aimd import run_aimd\n"
        "from dpa_sse.ops.labelers.settings import AimdSettings, QeSettings\n"
        "run_aimd(Path('task'), QeSettings.model_validate_json(sys.argv[1]), "
        "AimdSettings.model_validate_json(sys.argv[2]), 1, Path('killed'))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, SILICON.model_dump_json(), settings.model_dump_json()], cwd=tmp_path
    )
    record = tmp_path / "killed/.answers"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if record.is_file() and record.stat().st_size > 1500:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run_aimd(tmp_path / "task", SILICON, settings, 1, tmp_path / "killed")
    for first, second in zip(frames, read_frames(tmp_path / "killed/frames.extxyz"), strict=True):
        np.testing.assert_array_equal(first.positions, second.positions)
        np.testing.assert_array_equal(first.get_forces(), second.get_forces())


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="mpirun is not installed")
def test_two_ranks_give_the_same_label(silicon: Atoms, tmp_path: Path) -> None:
    alone = label(SILICON, silicon, tmp_path)
    both = label(SILICON.model_copy(update={"command": "mpirun --oversubscribe -np 2 pw.x -nk 2"}), silicon, tmp_path)
    assert both.get_potential_energy() == pytest.approx(alone.get_potential_energy(), abs=1e-6)
    np.testing.assert_allclose(both.get_forces(), alone.get_forces(), atol=1e-5)


def test_a_killed_rank_is_tried_again(silicon: Atoms, tmp_path: Path) -> None:
    script = tmp_path / "killed_pw.x"
    script.write_text("#!/bin/sh\nkill -9 $$\n")
    script.chmod(0o755)
    with pytest.raises(TransientError):
        QeLabeler(SILICON.model_copy(update={"command": f"mpirun -np 1 {script}"})).label([silicon], tmp_path)


@pytest.mark.dft
def test_ultrasoft_and_paw_potentials(tmp_path: Path) -> None:
    """PBEsol with an ultrasoft Li and a PAW O, forces and stress by finite differences.

    120 Ry, since the energies of strained cells at a fixed cutoff differ from the stress by the Pulay stress.
    """
    settings = QeSettings(
        pseudo_dir=str(PSEUDOS), kspacing=0.9, ecutwfc_Ry=120, conv_thr_Ry=1e-11,
        pseudos={"Li": "Li.pbesol-s-rrkjus_psl.0.2.1.UPF", "O": "O.pbesol-n-kjpaw_psl.0.1.UPF"},
    )
    assert list(QeLabeler.problems(settings, ["Li", "O"], tmp_path)) == []
    sites = [[0, 0, 0], [0.26, 0.24, 0.25], [0.75, 0.76, 0.73]]
    atoms = Atoms("OLi2", scaled_positions=sites, cell=2.2 * (1 - np.eye(3)), pbc=True)
    labelled = label(settings, atoms, tmp_path)
    assert abs(force_error(settings, labelled, 1, 0, 0.01, tmp_path)) < 1e-3
    assert abs(stress_error(settings, labelled, 0, 0, 0.004, tmp_path)) < 1.0
    assert abs(stress_error(settings, labelled, 0, 1, 0.004, tmp_path)) < 1.0
