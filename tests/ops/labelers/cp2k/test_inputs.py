"""Written inputs: golden files, kinds, k-points, templates."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.labelers.base import AimdRun
from dpa_sse.ops.labelers.cp2k.inputs import dynamics_input, kpoint_mesh, single_point_input
from dpa_sse.ops.labelers.cp2k.kinds import choose_kinds
from dpa_sse.ops.labelers.cp2k.sections import parse, section_text
from dpa_sse.ops.labelers.cp2k.template import template_problems
from dpa_sse.ops.labelers.settings import AimdSettings, Cp2kKind, Cp2kSettings
from tests.ops.labelers.cp2k.conftest import GOLDEN, VALENCE, li2s

TEMPLATE = (GOLDEN.parent.parent / "data" / "cp2k" / "template.inp").read_text()
NVT = AimdSettings(temperatures_K=[600.0], steps=100, timestep_fs=1.0, thermostat="nose-hoover")
NPT = AimdSettings(
    temperatures_K=[300.0], steps=50, ensemble="npt", thermostat="csvr", pressure_GPa=1.5, pressure_damping_fs=500.0
)
LANGEVIN = AimdSettings(temperatures_K=[900.0], steps=10, damping_fs=40.0)


def run_of(settings: AimdSettings) -> AimdRun:
    temperature = settings.temperatures_K[0]
    return AimdRun(li2s(), settings, temperature, temperature, 2**40 + 11)


def written(name: str, data: Path) -> str:
    if name == "dft_kpoints":
        return single_point_input(Cp2kSettings(), li2s(), data)
    if name == "dft_gamma_ot":
        return single_point_input(Cp2kSettings(kspacing=None, eps_scf=1e-7, cutoff_Ry=400), li2s(), data)
    if name == "dft_metal_tz":
        return single_point_input(Cp2kSettings(basis="TZV2P", functional="PBE", smearing_K=500), li2s(), data)
    if name == "xtb":
        return single_point_input(Cp2kSettings(method="gfn1-xtb"), li2s(), data)
    if name == "template":
        return single_point_input(Cp2kSettings(template=TEMPLATE), li2s(), data)
    xtb = Cp2kSettings(method="gfn1-xtb")
    if name == "md_nvt":
        return dynamics_input(xtb, run_of(NVT), data)
    if name == "md_npt_restart":
        return dynamics_input(xtb, run_of(NPT), data, done=17, restart="from.restart")
    assert name == "md_template"
    return dynamics_input(Cp2kSettings(template=TEMPLATE), run_of(LANGEVIN), data)


@pytest.mark.parametrize("name", [
    "dft_kpoints", "dft_gamma_ot", "dft_metal_tz", "xtb", "template", "md_nvt", "md_npt_restart", "md_template",
])
def test_golden(name: str, data_dir: Path) -> None:
    text = written(name, data_dir)
    path = GOLDEN / f"{name}.inp"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
    parse(text)  # every section is closed


@pytest.mark.parametrize("basis", ["DZVP", "TZVP", "TZV2P"])
def test_all_elements_have_a_kind(basis: str, data_dir: Path) -> None:
    kinds = choose_kinds(Cp2kSettings(basis=basis), list(VALENCE), data_dir)
    assert [kind.element for kind in kinds] == list(VALENCE)
    for kind in kinds:
        assert kind.potential == f"GTH-PBE-q{VALENCE[kind.element]}"
        assert kind.basis.startswith(basis) and kind.basis.endswith(f"-q{VALENCE[kind.element]}")


def test_own_kinds(data_dir: Path) -> None:
    kinds = {"Li": Cp2kKind(basis="TZV2P-MOLOPT-PBE-GTH-q1"), "B": Cp2kKind(potential="GTH-PBESol-q3")}
    own = Cp2kSettings(kinds=kinds)
    lithium, boron = choose_kinds(own, ["Li", "B"], data_dir)
    assert (lithium.potential, lithium.basis_file) == ("GTH-PBE-q1", "BASIS_MOLOPT_UZH")
    assert boron.potential == "GTH-PBESol-q3"


@pytest.mark.parametrize(("settings", "element", "message"), [
    (Cp2kSettings(), "Rn", "no basis set DZVP-MOLOPT-SR-GTH for Rn"),
    (Cp2kSettings(kinds={"Li": Cp2kKind(basis="FOO")}), "Li", "no basis set FOO for Li"),
    (Cp2kSettings(kinds={"Li": Cp2kKind(potential="FOO")}), "Li", "no potential FOO for Li"),
])
def test_missing_kind_is_one_line(settings: Cp2kSettings, element: str, message: str, data_dir: Path) -> None:
    with pytest.raises(InputError, match=message):
        choose_kinds(settings, [element], data_dir)


def test_kpoints_of_skewed_cells() -> None:
    settings = Cp2kSettings(kspacing=0.3)
    assert kpoint_mesh(settings, np.diag([3.0, 21.0, 20.9])) == (7, 1, 2)
    skewed = np.array([[4.0, 0, 0], [3.0, 4.0, 0], [0, 0, 4.0]])  # |b1| = 1.25 / 4: the plane distance counts
    assert kpoint_mesh(settings, skewed) == (7, 6, 6)
    assert kpoint_mesh(Cp2kSettings(kspacing=None), skewed) == (1, 1, 1)
    assert kpoint_mesh(Cp2kSettings(method="gfn1-xtb"), skewed) == (1, 1, 1)


def test_orbital_transformation_refuses_kpoints(data_dir: Path) -> None:
    with pytest.raises(InputError, match="ot supports Gamma only"):
        single_point_input(Cp2kSettings(scf="ot"), li2s(), data_dir)


def test_coordinates_are_written_to_the_last_digit(data_dir: Path) -> None:
    atoms = li2s()
    atoms.rattle(0.1, seed=3)
    tree = parse(single_point_input(Cp2kSettings(method="gfn1-xtb"), atoms, data_dir))
    lines = tree.child("FORCE_EVAL").child("SUBSYS").child("COORD").content
    read = np.array([[float(word) for word in line[1].split()[1:]] for line in lines])
    assert np.abs(read - atoms.positions).max() < 1e-14


def test_a_template_comes_out_as_it_went_in() -> None:
    assert parse(TEMPLATE).text() == TEMPLATE


def test_render() -> None:
    assert section_text({"A": {"B": 1, "C ON": {"D": [1, 2], "": ["x y"], "E": None}}}) == (
        "&A\n  B 1\n  &C ON\n    D 1\n    D 2\n    x y\n  &END C\n&END A\n"
    )


@pytest.mark.parametrize(("old", "new", "message"), [
    ("  STRESS_TENSOR ANALYTICAL\n", "", "t.inp:8: STRESS_TENSOR is not set; without"),
    ("ANALYTICAL", "NUMERICAL", "t.inp:10: STRESS_TENSOR is NUMERICAL; without"),
    ("Quickstep", "FIST", "t.inp:9: METHOD is FIST; QUICKSTEP is needed"),
    ("&KIND S\n", "&KIND Se\n", "t.inp:40: &SUBSYS has no &KIND S, and S is in type_map"),
    ("      POTENTIAL GTH-PBE-q6\n", "", "&KIND S has no POTENTIAL"),
    ("BASIS_SET_FILE_NAME BASIS_MOLOPT", "BASIS_SET_FILE_NAME NOPE", "NOPE is neither in CP2K's data folder nor"),
    ("  &END DFT\n", "", "&END FORCE_EVAL closes &DFT of line"),
    ("&END FORCE_EVAL\n", "", "t.inp:8: &FORCE_EVAL has no &END"),
    ("&GLOBAL\n", "&END\n&GLOBAL\n", "t.inp:4: &END without a section"),
    ("&GLOBAL\n", "@INCLUDE more.inp\n&GLOBAL\n", "t.inp:4: @INCLUDE is not supported"),
    ("&OT\n", "&KPOINTS\n&END\n&OT\n", None),
    ("    &XC\n", "    &KPOINTS\n    &END\n    &XC\n", "OT does not work with smearing or k-points"),
    ("&FORCE_EVAL", "&FORCE_EVALUATION", "exactly one &FORCE_EVAL is needed, found 0"),
])
def test_bad_templates(old: str, new: str, message: str | None, data_dir: Path, tmp_path: Path) -> None:
    assert old in TEMPLATE
    text = TEMPLATE.replace(old, new, 1)
    if old == "&FORCE_EVAL":
        text = text.replace("&END FORCE_EVAL", "&END FORCE_EVALUATION")
    (tmp_path / "t.inp").write_text(text)
    found = list(template_problems(Cp2kSettings(template="t.inp"), ["Li", "S"], tmp_path, data_dir))
    if message is None:
        assert not found
    else:
        assert any(message in line for line in found), found
        assert all("\n" not in line for line in found)


def test_a_good_template_has_no_problems(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "t.inp").write_text(TEMPLATE)
    assert not list(template_problems(Cp2kSettings(template="t.inp"), ["Li", "S"], tmp_path, data_dir))


def test_missing_template_and_idle_keys(data_dir: Path, tmp_path: Path) -> None:
    settings = Cp2kSettings(template="none.inp", cutoff_Ry=500)
    settings = Cp2kSettings.model_validate(settings.model_dump())  # as in config.resolved.yaml: every key is given
    assert list(template_problems(settings, ["Li"], tmp_path, data_dir)) == [
        "the key cutoff_Ry has no effect with a template; remove it", "none.inp cannot be read (No such file or "
        "directory)",
    ]
