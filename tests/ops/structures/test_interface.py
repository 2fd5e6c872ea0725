"""Slabs, interfaces, decomposition references."""

from pathlib import Path

import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.bonds import covalent_pairs
from dpa_sse.ops.structures.build import build_cell
from dpa_sse.ops.structures.interface import InterfaceOptions, build_interface, build_slab
from dpa_sse.ops.structures.neighbour_list import neighbour_pairs
from dpa_sse.ops.structures.references import references
from dpa_sse.ops.structures.settings import SystemSettings
from dpa_sse.ops.structures.solution import parse_formula


def cell(name):
    return build_cell(SystemSettings(name=name, structure=name), Path(), 1)


def test_interface_of_two_cubic_crystals():
    options = InterfaceOptions(film_thickness_A=10, substrate_thickness_A=10, max_strain=0.12, gap_A=2.4)
    made = build_interface(cell("LiCl"), cell("Li2S"), options)
    substrate, film = (made[made.arrays["part"] == part] for part in (0, 1))
    assert set(substrate.symbols) == {"Li", "S"}
    assert set(film.symbols) == {"Li", "Cl"}
    assert film.positions[:, 2].min() - substrate.positions[:, 2].max() == pytest.approx(2.4, abs=0.01)
    assert neighbour_pairs(made, 2.0)[3].size == 0
    assert (substrate.symbols == "Li").sum() == 2 * (substrate.symbols == "S").sum()
    assert made.info["strain"] == pytest.approx(5.1295 * np.sqrt(2.5) / (5.716 * np.sqrt(2)) - 1, abs=1e-4)
    assert made.info["parent"] == "Li2S | LiCl"
    again = build_interface(cell("LiCl"), cell("Li2S"), options)
    assert np.array_equal(made.positions, again.positions)


def thiophosphate_units(atoms):
    centre, _, _, _ = covalent_pairs(atoms)
    return {int((centre == k).sum()) for k in np.flatnonzero(atoms.symbols == "P")}


def test_surfaces_do_not_cut_tetrahedra():
    crystal = cell("Li6PS5Cl")
    slab = build_slab(crystal, (1, 0, 0), 12, 15)
    assert slab.info["cut_bonds"] == 0
    assert thiophosphate_units(slab) == {4}
    number = int(slab.info["operation"].split()[-1])
    worst = build_slab(crystal, (1, 0, 0), 12, 15, number - 1)
    assert worst.info["cut_bonds"] > 0
    assert min(thiophosphate_units(worst)) < 4
    made = build_interface(crystal, cell("Li"), InterfaceOptions((1, 0, 0), (1, 0, 0), film_thickness_A=9))
    assert made.info["cut_bonds"] == 0
    assert thiophosphate_units(made) == {4}
    film = made[made.arrays["part"] == 1]
    assert film.get_chemical_formula("hill", empirical=True) == "ClLi6PS5"


def test_terminations_that_look_alike_are_kept():
    """Where planes of the same composition are merged, all that is left cuts GeS4 tetrahedra."""
    made = build_interface(cell("Li10GeP2S12"), cell("Li"), InterfaceOptions(film_thickness_A=9))
    assert made.info["cut_bonds"] == 0
    assert thiophosphate_units(made) == {4}


def test_film_lies_above_its_substrate_and_numbers_are_those_of_the_cell():
    made = build_interface(cell("Li6PS5Cl"), cell("Li2S"), InterfaceOptions(film_thickness_A=9))
    height, film = made.positions[:, 2], made.arrays["part"] == 1
    assert height[film].min() - height[~film].max() == pytest.approx(2.5, abs=0.01)
    assert made.cell.array[2, 2] - height[film].max() + height[~film].min() == pytest.approx(2.5, abs=0.01)
    area = np.linalg.norm(np.cross(*made.cell.array[:2]))
    assert made.info["matching_area_A2"] == pytest.approx(area, abs=0.01)
    own = cell("Li6PS5Cl").cell.lengths()[0]
    number = round(area / own**2)
    assert made.info["strain"] == pytest.approx(np.sqrt(area / number) / own - 1, abs=1e-4)


def test_strain_is_within_its_limit():
    """Lengths, angle and area of this match agree within 5 % each, its largest principal strain is 5.5 %."""
    made = build_interface(cell("Li3PS4"), cell("Li"), InterfaceOptions(film_thickness_A=6, substrate_thickness_A=6))
    assert made.info["strain"] <= 0.05


def test_interface_without_a_match():
    with pytest.raises(InputError, match="no common lattice"):
        build_interface(cell("LiCl"), cell("Li2S"), InterfaceOptions(max_strain=0.01, max_area_A2=60))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (InterfaceOptions(film_miller=(0, 0, 0)), "do not define a plane"), (InterfaceOptions(gap_A=0.1), "gap"),
        (InterfaceOptions(substrate_miller=(5, 1, 0)), "too large"),
        (InterfaceOptions(film_thickness_A=-1), "thickness"), (InterfaceOptions(max_strain=0.9), "max_strain"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        build_interface(cell("LiCl"), cell("Li2S"), options)


@pytest.mark.parametrize(("name", "miller"), [("SnS2", (1, 0, 0)), ("Li5AlS4", (0, 0, 1)), ("P2S5", (0, 0, 1))])
def test_slab_of_a_skewed_lattice(name, miller):
    slab = build_slab(cell(name), miller, 8, 11)
    assert np.abs(slab.cell.array[2, :2]).max() < 1e-8
    assert np.abs(slab.cell.array[:2, 2]).max() < 1e-8
    assert slab.cell.array[2, 2] - np.ptp(slab.positions[:, 2]) == pytest.approx(11, abs=1e-6)
    crystal = cell(name)
    density = len(crystal) / crystal.get_volume()
    thickness = len(slab) / (density * np.linalg.norm(np.cross(*slab.cell.array[:2])))
    assert thickness >= 8 - 1e-6


def test_slab_carries_the_seed_of_its_crystal():
    disordered = build_cell(SystemSettings(name="a", structure="Li6PS5Cl", site_disorder=0.5), Path(), 3)
    slab = build_slab(disordered, (1, 0, 0), 6, 10)
    assert slab.info["seed"] == disordered.info["seed"] > 0
    assert slab.info["site_disorder"] == 0.5


def test_slab():
    slab = build_slab(cell("Li2S"), (1, 1, 1), 10, 12)
    assert slab.info["operation"].startswith("slab (1 1 1)")
    height = slab.positions[:, 2].max() - slab.positions[:, 2].min()
    assert slab.cell.array[2, 2] - height >= 11.9
    assert height > 6
    with pytest.raises(InputError, match="99 does not exist"):
        build_slab(cell("Li2S"), (1, 1, 1), 10, 12, 99)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("Li6PS5Cl", {"Li2S": 2.5, "P2S5": 0.5, "LiCl": 1.0}),
        ("Li10GeP2S12", {"Li2S": 5.0, "GeS2_alpha": 1.0, "P2S5": 1.0}),
        ("Li2S", {}),
    ],
)
def test_references(formula, expected):
    if not expected:
        with pytest.raises(InputError, match="do not add up"):
            references(formula)
        return
    found = references(formula)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("formula", ["Li9.54Si1.74P1.44S11.7Cl0.3", "Li7P3S11", "Li4SnS4", "Li2B2S5"])
def test_references_balance(formula):
    if formula == "Li2B2S5":
        with pytest.raises(InputError, match="do not add up"):
            references(formula)  # one S-S bond: sulfur is not in the library
        return
    total: dict[str, float] = {}
    for name, amount in references(formula).items():
        for element, number in parse_formula(name.split("_")[0]).items():
            total[element] = total.get(element, 0.0) + amount * number
    assert total == pytest.approx(parse_formula(formula), abs=1e-4)


def formal_dipole(atoms, charges):
    """Dipole moment along z for each area, e/Angstrom."""
    area = np.linalg.norm(np.cross(*atoms.cell.array[:2]))
    return sum(charges[symbol] * z for symbol, z in zip(atoms.symbols, atoms.positions[:, 2], strict=True)) / area


def test_the_slab_without_dipole_comes_first():
    first, second = (build_slab(cell("Li2S"), (1, 1, 1), 12, 15, number) for number in (0, 1))
    charges = {"Li": 1.0, "S": -2.0}
    assert formal_dipole(first, charges) == pytest.approx(0.0, abs=1e-6)
    assert abs(formal_dipole(second, charges)) > 0.5
    assert float(first.info["dipole_e_per_A"]) == pytest.approx(0.0)
    assert float(second.info["dipole_e_per_A"]) == pytest.approx(formal_dipole(second, charges), abs=1e-3)


def test_the_sides_of_an_interface_are_written(tmp_path):
    from dpa_sse.ops.structures.extxyz import read_frames, write_frames

    lines = []
    made = build_interface(cell("LiCl"), cell("Li2S"), InterfaceOptions(max_strain=0.12), lines.append)
    write_frames(tmp_path / "a.extxyz", [made])
    (back,) = read_frames(tmp_path / "a.extxyz")
    assert np.array_equal(back.arrays["part"], made.arrays["part"])
    assert set(back.symbols[back.arrays["part"] == 1]) == {"Li", "Cl"}
    assert np.array_equal(back.positions, made.positions)
    assert len(made.info["dipole_e_per_A"].split(" | ")) == 2
    assert any(line.startswith("termination 1 of") for line in lines)
