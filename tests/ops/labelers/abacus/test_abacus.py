"""ABACUS as a labeler: its inputs, its output in two generations of words, signs and units, reasons of failures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from dpa_sse.ops.core.errors import FatalError, InputError, TransientError
from dpa_sse.ops.labelers.abacus.labeler import AbacusLabeler
from dpa_sse.ops.labelers.abacus.output import read_single_point
from dpa_sse.ops.labelers.aimd import run_aimd
from dpa_sse.ops.labelers.kmesh import kspacing_mesh
from dpa_sse.ops.labelers.settings import AbacusSettings, AimdSettings
from dpa_sse.ops.results.status import TaskStatus
from dpa_sse.ops.structures.extxyz import read_frames, write_frames
from tests.ops.labelers.abacus.conftest import ORBITAL
from tests.ops.labelers.abacus.fake_abacus import pair_potential
from tests.ops.labelers.qe.conftest import write_pseudo


def label(settings: AbacusSettings, atoms: Atoms, work: Path) -> Atoms:
    (result,) = AbacusLabeler(settings).label([atoms], work)
    assert result.atoms is not None, result.reason
    return result.atoms


@pytest.mark.parametrize("words", ["old", "new"])
def test_labels_are_derivatives_of_the_energy_in_the_order_of_the_frame(
    words: str, fake: AbacusSettings, sulfide: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ABACUS", words)
    made = label(fake, sulfide, tmp_path)
    energy, forces, stress = pair_potential(sulfide.get_chemical_symbols(), sulfide.positions, sulfide.cell.array)
    assert made.get_potential_energy() == pytest.approx(energy, abs=1e-9)
    np.testing.assert_allclose(made.get_forces(), forces, atol=1e-8)
    np.testing.assert_allclose(made.get_stress(voigt=False), stress, atol=1e-8)
    assert np.abs(forces[0] - forces[1]).max() > 0.1  # another order would show
    assert made.get_chemical_symbols() == ["Li", "S", "Li", "Li"]
    moved = sulfide.copy()
    moved.positions[1, 2] += 1e-4
    difference = label(fake, moved, tmp_path).get_potential_energy() - energy
    assert -difference / 1e-4 == pytest.approx(made.get_forces()[1, 2], abs=1e-2)


def test_sign_of_the_stress_in_a_real_relaxation() -> None:
    """Two steps of a relaxation by ABACUS 3.10 (GaAs, test data of dpdata): the cell expands, the energy falls."""
    text = (
        " charge density convergence is achieved\n final etot is {energy} eV\n TOTAL-FORCE (eV/Angstrom)\n"
        "----\n                       Ga1         0.0000000000         0.0000000000         0.0000000000 \n----\n"
        " TOTAL-STRESS (KBAR)     \n----\n        {p}        -0.0000000016         0.0000000001 \n"
        "        -0.0000000016        {p}        -0.0000000021 \n"
        "         0.0000000001        -0.0000000021        {p} \n----\n Finish Time  :\n"
    )
    steps = [(-9144.9106309, 47.2146778, 190.1253807), (-9144.91971252, 47.9235, 190.4273884)]
    read = [read_single_point(text.format(energy=e, p=p), ["Ga"], np.array([0])) for e, p, _ in steps]
    pressure = -np.mean([np.trace(one.stress) / 3 for one in read])
    expected = -pressure * (steps[1][2] - steps[0][2])
    assert read[1].energy - read[0].energy == pytest.approx(expected, rel=0.03)


def test_inputs(fake: AbacusSettings, sulfide: Atoms, library: Path, tmp_path: Path) -> None:
    chosen = fake.model_copy(update={
        "magnetization": {"Li": 0.5}, "vdw": "d3_bj", "keys": {"mixing_beta": 0.2, "symmetry": -1, "device": "gpu"},
    })
    label(chosen, sulfide, tmp_path / "work")
    folder = tmp_path / "work/frame.00000"
    assert sorted(path.name for path in folder.iterdir()) == ["INPUT", "KPT", "STRU", "abacus.out", "running_scf.log"]
    lines = (folder / "INPUT").read_text().splitlines()
    assert lines[0] == "INPUT_PARAMETERS"
    given = dict(line.split(None, 1) for line in lines[1:])
    assert (given["calculation"], given["basis_type"], given["dft_functional"]) == ("scf", "pw", "PBESOL")
    assert (given["nspin"], given["vdw_method"], given["symmetry"], given["device"]) == ("2", "d3_bj", "-1", "gpu")
    assert float(given["smearing_sigma"]) == pytest.approx(0.05 / 13.6056931)
    assert given["pseudo_dir"] == str(library) and "orbital_dir" not in given
    mesh = " ".join(map(str, kspacing_mesh(sulfide.cell.array, 0.3)))
    assert (folder / "KPT").read_text() == f"K_POINTS\n0\nGamma\n{mesh} 0 0 0\n"
    stru = (folder / "STRU").read_text()
    assert "Li 6.940 Li_ONCV_PBE-1.2.upf" in stru and "NUMERICAL_ORBITAL" not in stru
    assert stru.count("mag 0.5") == 3

    import dpdata

    read = dpdata.System(str(folder / "STRU"), fmt="abacus/stru").data
    order = [0, 2, 3, 1]
    np.testing.assert_allclose(read["coords"][0], sulfide.positions[order], atol=1e-9)
    np.testing.assert_allclose(read["cells"][0], sulfide.cell.array, atol=1e-9)


def test_atomic_orbitals(fake: AbacusSettings, sulfide: Atoms, tmp_path: Path) -> None:
    chosen = fake.model_copy(update={"basis": "lcao", "orbital_dir": str(tmp_path / "orbitals"), "smearing_eV": 0.0})
    assert list(AbacusLabeler.problems(chosen, ["Li", "S"], tmp_path)) == []
    label(chosen, sulfide, tmp_path / "work")
    stru = (tmp_path / "work/frame.00000/STRU").read_text()
    assert "NUMERICAL_ORBITAL\nLi_gga_7au_100Ry_4s1p.orb\nS_gga_7au_100Ry_2s2p1d.orb\n" in stru
    text = (tmp_path / "work/frame.00000/INPUT").read_text()
    assert str(tmp_path / "orbitals") in text and "smearing_method         fixed" in text
    level = AbacusLabeler(chosen).level([sulfide])
    assert level.settings["basis"] == "lcao" and "Li_gga_7au_100Ry_4s1p.orb" in level.settings["orbitals_Li"]
    (tmp_path / "orbitals/Li_gga_7au_100Ry_4s1p.orb").write_text(ORBITAL.format(element="Li") + "other\n")
    assert AbacusLabeler(chosen).level([sulfide]) != level

    AbacusLabeler.write_inputs(chosen, sulfide, AimdSettings(), tmp_path / "plan")
    assert str(tmp_path) not in "".join(path.read_text() for path in (tmp_path / "plan").iterdir())


@pytest.mark.parametrize(("mode", "status", "reason"), [
    ("unconverged", "not converged", "the SCF did not converge"),
    ("new unconverged", "not converged", "the SCF did not converge"),
    ("truncated", "failed", "the output of ABACUS is truncated"),
    ("no_stress", "failed", "no stress in the output of ABACUS"),
    ("no_forces", "failed", "no forces in the output of ABACUS"),
    ("other_unit", "failed", "the forces in the output of ABACUS are in Ry/Bohr, not in ev/angstrom"),
    ("other_atoms", "failed", "ABACUS computed other atoms than those of the frame"),
    ("nan", "failed", "ABACUS returned NaN or infinite numbers"),
    ("notice", "failed", "ABACUS: can't find pseudopotential Li.upf"),
    ("no_log", "failed", "ABACUS wrote no OUT.ABACUS/running_scf.log"),
    ("error", "failed", "ABACUS ended with an error: START Time"),
    ("SIGSEGV", "failed", "ABACUS crashed (SIGSEGV)"),
])
def test_frames_without_a_label(
    mode: str, status: str, reason: str, fake: AbacusSettings, sulfide: Atoms, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAKE_ABACUS", mode)
    (result,) = AbacusLabeler(fake).label([sulfide], tmp_path)
    assert (result.atoms, result.status, result.reason) == (None, status, reason)


@pytest.mark.parametrize("mode", ["SIGKILL", "rank_killed"])
def test_killed_from_outside_is_tried_again(
    mode: str, fake: AbacusSettings, sulfide: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ABACUS", mode)
    with pytest.raises(TransientError):
        AbacusLabeler(fake).label([sulfide], tmp_path)


def test_out_of_time(
    fake: AbacusSettings, sulfide: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ABACUS", "hang")
    (result,) = AbacusLabeler(fake.model_copy(update={"timeout_min": 0.05})).label([sulfide], tmp_path)
    assert result.reason == "ABACUS took longer than 0.05 min (timeout_min)"


def test_dynamics(fake: AbacusSettings, sulfide: Atoms, tmp_path: Path) -> None:
    write_frames(tmp_path / "task/cell.extxyz", [sulfide])
    settings = AimdSettings(temperatures_K=[50.0], steps=4, sample_every=2, timestep_fs=0.5)
    run_aimd(tmp_path / "task", fake, settings, 1, tmp_path / "out")
    status = TaskStatus.read(tmp_path / "out")
    assert (status.status, status.level.code) == ("ok", "ABACUS")
    frames = read_frames(tmp_path / "out/frames.extxyz")
    assert [frame.info["step"] for frame in frames] == [0, 2, 4]
    for frame in frames:
        energy, forces, _ = pair_potential(frame.get_chemical_symbols(), frame.positions, frame.cell.array)
        assert frame.get_potential_energy() == pytest.approx(energy, abs=1e-8)
        np.testing.assert_allclose(frame.get_forces(), forces, atol=1e-7)
    with pytest.raises(FatalError, match="labeler abacus: program 'nothing' not found"):
        run_aimd(tmp_path / "task", fake.model_copy(update={"command": "nothing"}), settings, 1, tmp_path / "missing")


@pytest.mark.parametrize(("changes", "path", "message"), [
    ({"keys": {"mixing_bata": 0.3}}, ("keys", "mixing_bata"), "no such key for a single point - did you mean"),
    ({"keys": {"ecutwfc": 30}}, ("keys", "ecutwfc"), "use the key `ecutwfc_Ry` of the labeler instead"),
    ({"keys": {"calculation": "md"}}, ("keys", "calculation"), "is set by the labeler"),
    ({"keys": {"md_nstep": 5}}, ("keys", "md_nstep"), "no such key for a single point"),
    ({"keys": {"precision": "single"}}, ("keys", "precision"), "labels need double precision"),
    ({"keys": {"dft_plus_u": 1}}, ("keys", "dft_plus_u"), "the values of DFT+U count the elements of an input"),
    ({"keys": {"hubbard_u": "4.0 0.0"}}, ("keys", "hubbard_u"), "the values of DFT+U count the elements of an input"),
    ({"keys": {"deepks_scf": True}}, ("keys", "deepks_scf"), "labels would come from a network"),
    ({"keys": {"mixing_type": "pulay\nnspin 4"}}, ("keys", "mixing_type"), "is not a value for one line of INPUT"),
    ({"basis": "lcao"}, ("orbital_dir",), "no orbital files: set the environment variable ABACUS_ORB_PATH"),
    ({"orbitals": {"Li": "Li.orb"}}, ("orbitals",), "has no effect with basis: pw"),
    ({"basis": "lcao", "orbital_dir": "ORBITALS", "orbitals": {"Li": "Li.orb"}}, ("orbitals", "Li"), "no such orbital"),
    ({"basis": "lcao", "orbital_dir": "ORBITALS", "orbitals": {"Li": "S_gga_7au_100Ry_2s2p1d.orb"}}, ("orbitals", "Li"),
     "is an orbital file of S, not of Li"),
    ({"pseudo_functional": None}, ("pseudo_dir",), "no pseudopotential of Li for PBEsol"),
    ({"command": "mpirun -np 2 nothing"}, ("command",), "program 'nothing' not found"),
])
def test_problems(
    changes: dict, path: tuple[str, ...], message: str, fake: AbacusSettings, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ABACUS_ORB_PATH", raising=False)
    if changes.get("orbital_dir"):
        changes = {**changes, "orbital_dir": str(tmp_path / "orbitals")}
    found = list(AbacusLabeler.problems(fake.model_copy(update=changes), ["Li", "S"], tmp_path))
    assert any(where == path and message in text for where, text in found), found


def test_several_orbital_files_are_listed_not_guessed(fake: AbacusSettings, tmp_path: Path) -> None:
    (tmp_path / "orbitals/Li_gga_9au.orb").write_text(ORBITAL.format(element="Li"))
    chosen = fake.model_copy(update={"basis": "lcao", "orbital_dir": str(tmp_path / "orbitals")})
    ((path, text),) = AbacusLabeler.problems(chosen, ["Li", "S"], tmp_path)
    assert path == ("orbital_dir",)
    assert "2 orbital files of Li" in text and "choose with orbitals: {Li: Li_gga_7au_100Ry_4s1p.orb}" in text


def test_ultrasoft_potentials_are_refused(fake: AbacusSettings, library: Path, tmp_path: Path) -> None:
    assert list(AbacusLabeler.problems(fake, ["Li", "S"], tmp_path)) == []
    write_pseudo(library / "S_ONCV_PBE-1.2.upf", "S", "PBE", "USPP", 6.0)
    ((_, text),) = AbacusLabeler.problems(fake, ["Li", "S"], tmp_path)
    assert text.startswith("S_ONCV_PBE-1.2.upf is not norm-conserving")


def test_level_of_theory(fake: AbacusSettings, sulfide: Atoms) -> None:
    level = AbacusLabeler(fake).level([sulfide])
    assert level.settings["functional"] == "PBEsol" and level.potentials["S"].titel == "S_ONCV_PBE-1.2.upf"
    same = fake.model_copy(update={"keys": {"mixing_beta": 0.2, "kpar": 2}})
    assert AbacusLabeler(same).level([sulfide]) == level
    for changes in ({"keys": {"nbands": 20}}, {"basis": "pw", "ecutwfc_Ry": 60.0}, {"vdw": "d2"}):
        assert AbacusLabeler(fake.model_copy(update=changes)).level([sulfide]) != level


def test_missing_folders(fake: AbacusSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ABACUS_PP_PATH", raising=False)
    with pytest.raises(InputError, match="no pseudopotentials: set the environment variable ABACUS_PP_PATH"):
        AbacusLabeler(fake.model_copy(update={"pseudo_dir": None})).prepare()
