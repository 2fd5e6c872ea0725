"""Solid solutions from composition strings."""

from pathlib import Path

import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.build import build_cell, build_ensemble
from dpa_sse.ops.structures.neighbour_list import neighbour_pairs
from dpa_sse.ops.structures.settings import SystemSettings
from dpa_sse.ops.structures.solution import find_solution, parse_formula


def build(structure, **more):
    return build_cell(SystemSettings(name="sys", structure=structure, **more), Path(), 1)


def count(atoms):
    return {element: int((atoms.symbols == element).sum()) for element in sorted(set(atoms.symbols))}


@pytest.mark.parametrize(
    ("formula", "supercell", "expected"),
    [
        ("Li10Ge0.5Sn0.25Si0.25P2S12", (2, 1, 1), {"Li": 40, "Ge": 2, "Sn": 1, "Si": 1, "P": 8, "S": 48}),
        ("Li4Ge0.5Sn0.5S4", (1, 1, 1), {"Li": 16, "Ge": 2, "Sn": 2, "S": 16}),
        ("LiCl0.5Br0.5", (1, 1, 1), {"Li": 4, "Cl": 2, "Br": 2}),
        ("Li6PS5Cl0.5Br0.5", (1, 1, 1), {"Li": 24, "P": 4, "S": 20, "Cl": 2, "Br": 2}),
        ("Li5.5PS4.5Cl1.5", (1, 1, 1), {"Li": 22, "P": 4, "S": 18, "Cl": 6}),
        ("Li10.5Ge1.5P1.5S12", (1, 1, 1), {"Li": 21, "Ge": 3, "P": 3, "S": 24}),
        ("Li20Ge2P4S24", (1, 1, 1), {"Li": 20, "Ge": 2, "P": 4, "S": 24}),
    ],
)
def test_composition_is_exact(formula, supercell, expected):
    atoms = build(formula, supercell=supercell)
    assert count(atoms) == dict(sorted(expected.items()))
    lithium = atoms[atoms.symbols == "Li"]
    assert neighbour_pairs(lithium, 4.0)[3].min() > 2.0
    assert atoms.info["composition_error"] == 0 or "composition_error" not in atoms.info


def test_nearest_composition_is_neutral_and_said():
    atoms = build("Li9.54Si1.74P1.44S11.7Cl0.3", supercell=(2, 1, 1))
    number = count(atoms)
    assert number["Li"] + 4 * number["Si"] + 5 * number["P"] - 2 * number["S"] - number["Cl"] == 0
    # on the twelve tetrahedra, 6.57 Si and 5.43 P, and then 41.37 Li are asked for: no number is off by 0.6
    assert (number["Si"], number["P"], number["S"], number["Cl"]) == (6, 6, 47, 1)
    # the structure has three tetrahedra for twelve anions, the composition 3.18: what was asked for is told as it was
    assert atoms.info["composition_target"] == "Li38.16 Si6.96 P5.76 Cl1.2 S46.8"
    assert atoms.info["composition_error"] == pytest.approx(41 - 38.16)


def test_volume_follows_the_end_members():
    small, middle, large = (
        build(name).get_volume() for name in ("Li6PS5Cl_disordered", "Li6PS5Cl0.5Br0.5", "Li6PS5Br_disordered")
    )
    assert small < middle < large
    edges = [build(name, supercell=(1, 1, 1)).get_volume() for name in ("LiCl", "LiCl0.5Br0.5", "LiBr")]
    assert edges[1] == pytest.approx((edges[0] + edges[2]) / 2, rel=1e-6)


@pytest.mark.parametrize("disorder", [0.0, 0.5, 1.0])
def test_site_disorder_of_a_mixture(disorder):
    atoms = build("Li6PS5Cl0.5Br0.5", site_disorder=disorder)
    fractional = atoms.get_scaled_positions()[np.isin(atoms.symbols, ["Cl", "Br"])]
    quarters = np.rint(fractional * 4)
    assert np.abs(fractional * 4 - quarters).max() < 1e-6
    assert (quarters % 2 == 1).all(axis=1).sum() == 4 * disorder


def test_rounding_on_two_sites_keeps_the_composition():
    atoms = build("Li6PS5Cl0.5Br0.5", site_disorder=0.25)
    assert (count(atoms)["Cl"], count(atoms)["Br"]) == (2, 2)
    assert atoms.info["composition_error"] == 0


def test_ensemble_of_a_solution_is_distinct():
    cells = build_ensemble(SystemSettings(name="mix", structure="Li6PS5Cl0.5Br0.5"), Path(), 1, 4)
    assert len(cells) == 4
    assert len({cell.positions.tobytes() for cell in cells}) == 4
    (one,) = build_ensemble(SystemSettings(name="Li2S", structure="Li2S"), Path(), 1, 4, (200, 400))
    assert 200 <= len(one) <= 400
    cells = build_ensemble(
        SystemSettings(name="a", structure="Li6PS5Cl", site_disorder=0.5), Path(), 1, 2, (400, 450)
    )
    assert [len(cell) for cell in cells] == [416, 416]
    assert not np.array_equal(cells[0].positions, cells[1].positions)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("Li10GeP2S13", "charge imbalance, -2"),
        ("Li6PS5", "charge imbalance"),
        ("LI6PS5Cl", "'L' is not an element"),
        ("hello", "not a composition"),
        ("Li10GeP2S12+x", "not a composition"),
        ("Li10-xGeP2S12", "not a composition"),
        ("Li10GeGeP2S12", "duplicate element Ge"),
        ("Li7La3Zr2O12", "no oxidation state known for La"),
        ("Na3PS4", "no structure of the library"),
        ("Li5PS4Cl2.", "not a composition"),
    ],
)
def test_bad_compositions(formula, message):
    with pytest.raises(InputError, match=message) as caught:
        find_solution(formula)
    assert "\n" not in str(caught.value)


def test_site_disorder_must_fit():
    with pytest.raises(InputError, match="is not compatible with"):
        find_solution("Li5.5PS4.5Cl1.5", 0.25)
    with pytest.raises(InputError, match="needs an argyrodite"):
        find_solution("Li4Ge0.5Sn0.5S4", 0.25)


def test_parse_formula():
    assert parse_formula("Li9.54Si1.74P1.44S11.7Cl0.3") == {"Li": 9.54, "Si": 1.74, "P": 1.44, "S": 11.7, "Cl": 0.3}
    assert parse_formula("LiCl") == {"Li": 1.0, "Cl": 1.0}


def test_partly_occupied_cif_is_ordered(tmp_path):
    from pymatgen.core import Lattice, Structure

    sites = [[0.25, 0.25, 0.25], [0, 0, 0]]
    crystal = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.8), ["Li", {"S": 0.5, "Se": 0.5}], sites)
    crystal.to(str(tmp_path / "half.cif"))
    atoms = build_cell(SystemSettings(name="x", structure="half.cif", supercell=(2, 1, 1)), tmp_path, 1)
    assert count(atoms) == {"Li": 16, "S": 4, "Se": 4}
    cells = build_ensemble(SystemSettings(name="x", structure="half.cif"), tmp_path, 1, 50)
    assert len(cells) == 1  # two of four face-centred sites: all choices are equivalent
