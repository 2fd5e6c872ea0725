"""The input of pw.x from settings, its pseudopotentials, and what `check` says about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io.espresso import read_espresso_in, read_fortran_namelist

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.labelers.kmesh import kspacing_mesh
from dpa_sse.ops.labelers.pseudopotentials import find_pseudo, read_pseudo
from dpa_sse.ops.labelers.qe.inputs import pw_input
from dpa_sse.ops.labelers.qe.labeler import QeLabeler
from dpa_sse.ops.labelers.settings import AimdSettings, QeSettings
from tests.ops.labelers.qe.conftest import OLD_HEADER, write_pseudo


@pytest.fixture
def sulfide(fake: QeSettings) -> QeSettings:
    return fake.model_copy(update={"functional": "PBEsol", "ecutwfc_Ry": 50.0, "ecutrho_Ry": None})


def cell() -> Atoms:
    return Atoms("Li2S", positions=[[0.1, 0, 0], [2, 2, 2.03], [1, 1, 1]], cell=np.eye(3) * 4.1 + 0.1, pbc=True)


def written(settings: QeSettings, atoms: Atoms, library: Path, tmp_path: Path) -> tuple[dict, Atoms, str]:
    pseudos = {one: find_pseudo(library, one, settings) for one in set(atoms.get_chemical_symbols())}
    path = tmp_path / "pw.in"
    path.write_text(pw_input(settings, atoms, pseudos, library))
    with path.open() as stream:
        data, _ = read_fortran_namelist(stream)
    with path.open() as stream:
        return data, read_espresso_in(stream), path.read_text()


def test_what_is_asked_for_is_what_is_written(sulfide: QeSettings, library: Path, tmp_path: Path) -> None:
    data, read, text = written(sulfide, cell(), library, tmp_path)
    np.testing.assert_allclose(read.positions, cell().positions, atol=1e-9)
    np.testing.assert_allclose(read.cell.array, cell().cell.array, atol=1e-12)
    assert read.get_chemical_symbols() == ["Li", "Li", "S"]
    assert data["control"]["calculation"] == "scf"
    assert data["control"]["tprnfor"] and data["control"]["tstress"]
    system = data["system"]
    assert (system["ecutwfc"], system["ecutrho"]) == (50.0, 400.0)  # ultrasoft and PAW need more than 4 times
    assert system["input_dft"] == "PBESOL"
    assert system["degauss"] == pytest.approx(0.05 / 13.6056931)
    assert "nspin" not in system
    mesh = " ".join(map(str, kspacing_mesh(cell().cell.array, 0.3)))
    assert f"K_POINTS automatic\n{mesh}  0 0 0\n" in text
    assert "&CELL" not in text and "&IONS" not in text


def test_choices(sulfide: QeSettings, library: Path, tmp_path: Path) -> None:
    chosen = sulfide.model_copy(update={
        "smearing_eV": 0.0, "vdw": "grimme-d3", "keys": {"dftd3_version": 4, "MIXING_BETA": 0.3, "nosym": False},
        "ecutrho_Ry": 420.0, "magnetization": {"Li": -0.3},
    })
    data, _, text = written(chosen, cell(), library, tmp_path)
    system = data["system"]
    assert system["occupations"] == "fixed" and "degauss" not in system
    assert (system["vdw_corr"], system["dftd3_version"], system["ecutrho"]) == ("grimme-d3", 4, 420.0)
    assert data["electrons"]["mixing_beta"] == 0.3
    assert system["nosym"] is False
    assert system["nspin"] == 2
    assert system["starting_magnetization(1)"] == pytest.approx(-0.1)  # of three valence electrons
    assert system["starting_magnetization(2)"] == 0
    assert text.count("UPF") == 2


def test_old_headers(tmp_path: Path) -> None:
    (tmp_path / "Pt.UPF").write_text(OLD_HEADER.format(element="Pt", valence=10))
    found = read_pseudo(tmp_path / "Pt.UPF")
    assert (found.element, found.functional, found.norm_conserving, found.valence) == ("Pt", "PBE", False, 10)


@pytest.mark.parametrize(("name", "text", "message"), [
    ("Ge.UPF", "<UPF></UPF>", "is not a UPF file: its header has no element, pseudo_type, functional, z_valence"),
    ("Ge.UPF", '<PP_HEADER element="Ge" pseudo_type="NC" functional="PBE" z_valence="4"/>', "is truncated"),
    ("Ge.upf", '<PP_HEADER element="Ga" pseudo_type="NC" functional="PBE" z_valence="3"/></UPF>',
     "no pseudopotential of Ge for PBE"),
])
def test_bad_files(name: str, text: str, message: str, fake: QeSettings, library: Path) -> None:
    (library / name).write_text(text)
    with pytest.raises(InputError) as caught:
        find_pseudo(library, "Ge", fake)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("changes", "path", "message"), [
    ({"pseudos": {"Li": "Si.upf"}}, ("pseudos", "Li"), "is a pseudopotential of Si, not of Li"),
    ({"pseudos": {"Li": "nothing.UPF"}}, ("pseudos", "Li"), "cannot be read"),
    ({"pseudos": {"Ge": "Ge.UPF"}}, ("pseudos", "Ge"), "'Ge' is not in type_map"),
    ({"magnetization": {"Fe": 2.0}}, ("magnetization", "Fe"), "'Fe' is not in type_map"),
    ({"functional": "PBE"}, ("pseudo_dir",), "no pseudopotential of Li for PBE in"),
    ({"functional": "PBE", "pseudos": {"Li": "Li.pbesol-s-kjpaw.UPF"}}, ("pseudos", "Li"),
     "was made with PBEsol, not with PBE (pseudo_functional: PBEsol, if that is meant)"),
    ({"ecutwfc_Ry": 30.0}, ("ecutwfc_Ry",), "30 Ry for the wave functions is below the 40 Ry"),
    ({"ecutrho_Ry": 300.0}, ("ecutrho_Ry",), "300 Ry for the density is below the 400 Ry"),
    ({"ecutrho_Ry": 150.0}, ("ecutrho_Ry",), "must be at least 4 times ecutwfc_Ry"),
    ({"keys": {"mixing_bta": 0.3}}, ("keys", "mixing_bta"), "pw.x has no such key for a single point - did you mean"),
    ({"keys": {"ecutwfc": 30}}, ("keys", "ecutwfc"), "use the key `ecutwfc_Ry` of the labeler instead"),
    ({"keys": {"Calculation": "md"}}, ("keys", "Calculation"), "is set by the labeler"),
    ({"keys": {"starting_magnetization(1)": 0.1}}, ("keys", "starting_magnetization(1)"), "use the key `magne"),
    ({"keys": {"scf_must_converge": False}}, ("keys", "scf_must_converge"), "labels need self-consistency"),
    ({"keys": {"tefield": True}}, ("keys", "tefield"), "the forces would be those in a field"),
    ({"keys": {"ion_dynamics": "bfgs"}}, ("keys", "ion_dynamics"), "no such key for a single point"),
    ({"keys": {"Hubbard_alpha(2)": 1.0}}, ("keys", "Hubbard_alpha(2)"), "counts the elements of an input"),
    ({"magnetization": {"Li": 1.0}, "smearing_eV": 0.0}, ("magnetization",), "needs smearing_eV, or tot_magnetization"),
    ({"command": "mpirun -np 2 nothing"}, ("command",), "program 'nothing' not found"),
])
def test_problems(
    changes: dict, path: tuple[str, ...], message: str, sulfide: QeSettings, tmp_path: Path
) -> None:
    settings = sulfide.model_copy(update=changes)
    found = list(QeLabeler.problems(settings, ["Li", "S"], tmp_path))
    assert any(where == path and message in text for where, text in found), found


def test_sound_settings_have_no_problems(sulfide: QeSettings, tmp_path: Path) -> None:
    assert list(QeLabeler.problems(sulfide, ["Li", "S"], tmp_path)) == []
    other = sulfide.model_copy(update={"functional": "PBE", "pseudo_functional": "PBEsol"})
    assert list(QeLabeler.problems(other, ["Li", "S"], tmp_path)) == []
    keys = sulfide.model_copy(update={"keys": {"scf_must_converge": True, "assume_isolated": "none", "nbnd": 12}})
    assert list(QeLabeler.problems(keys, ["Li", "S"], tmp_path)) == []


def test_several_candidates_are_listed_not_guessed(sulfide: QeSettings, library: Path, tmp_path: Path) -> None:
    write_pseudo(library / "li_pbesol.upf", "Li", "PBESOL", "USPP", 3.0)
    ((path, text),) = QeLabeler.problems(sulfide, ["Li", "S"], tmp_path)
    assert path == ("pseudo_dir",)
    assert "2 pseudopotentials of Li for PBEsol" in text
    assert "(Li.pbesol-s-kjpaw.UPF, li_pbesol.upf): choose with pseudos: {Li: Li.pbesol-s-kjpaw.UPF}" in text
    chosen = sulfide.model_copy(update={"pseudos": {"Li": "li_pbesol.upf"}})
    assert list(QeLabeler.problems(chosen, ["Li", "S"], tmp_path)) == []


def test_inputs_for_reading_name_no_folder_of_this_machine(sulfide: QeSettings, tmp_path: Path) -> None:
    QeLabeler.write_inputs(sulfide, cell(), AimdSettings(), tmp_path / "Li2S")
    text = (tmp_path / "Li2S/pw.in").read_text()
    assert "pseudo_dir       = 'pseudos'" in text
    assert str(tmp_path) not in text
