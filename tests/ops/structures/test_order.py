"""Ordering of partial occupancies: counts, charges, distinct arrangements, supercells."""

import numpy as np
import pytest
from ase import Atoms

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures import symmetry
from dpa_sse.ops.structures.disorder import DisorderedCell, from_atoms, from_entry
from dpa_sse.ops.structures.library import cell_from_entry, load_entry
from dpa_sse.ops.structures.neighbour_list import neighbour_pairs
from dpa_sse.ops.structures.order import integer_counts, order_cells, pool_lithium
from dpa_sse.ops.structures.supercell import near_cubic
from dpa_sse.ops.structures.symmetry import canonical, site_permutations

UNIT = np.eye(3, dtype=int)


def rock_salt(shares):
    return from_atoms(cell_from_entry(load_entry("LiCl")), {"Cl": shares}, "LiCl mixed")


def matches(cells):
    """Number of classes of equivalent cells, by pymatgen."""
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.io.ase import AseAtomsAdaptor

    matcher = StructureMatcher(primitive_cell=False, scale=False)
    return len(matcher.group_structures([AseAtomsAdaptor.get_structure(cell) for cell in cells]))


def test_enumeration_finds_every_distinct_arrangement_once():
    cells = order_cells(rock_salt({"Cl": 0.5, "Br": 0.5}), np.diag([2, 1, 1]), 100, 1)
    assert {cell.info["configurations"] for cell in cells} == {"all"}
    assert all((cell.symbols == "Br").sum() == 4 for cell in cells)
    assert matches(cells) == len(cells) == 8  # 70 arrangements


def test_brute_force_agrees_on_the_number_of_classes():
    import itertools

    parent = rock_salt({"Cl": 0.5, "Br": 0.5})
    chlorine = np.flatnonzero(parent.repeat(np.diag([2, 1, 1])).orbit == 0)
    large = parent.repeat(np.diag([2, 1, 1]))
    everything = []
    for chosen in itertools.combinations(chlorine, 4):
        symbols = np.where(large.orbit == 0, "Cl", "Li").astype("<U2")
        symbols[list(chosen)] = "Br"
        everything.append(Atoms(symbols.tolist(), positions=large.positions, cell=large.cell, pbc=True))
    assert matches(everything) == 8


def test_ewald_ranks_and_matches_pymatgen():
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.io.ase import AseAtomsAdaptor

    parent = from_atoms(cell_from_entry(load_entry("Li2S")), {"Li": {"Li": 0.5, "Na": 0.5}}, "x")
    vacant = DisorderedCell(parent.cell, parent.positions, parent.orbit, ({"Li": 0.5}, {"Cl": 1.0}), "x")
    cells = order_cells(vacant, UNIT, 10, 1)
    energies = []
    for cell in cells:
        structure = AseAtomsAdaptor.get_structure(cell)
        structure.add_oxidation_state_by_element({"Li": 1, "Cl": -1})
        energies.append(EwaldSummation(structure).total_energy)
    assert len(cells) > 2
    assert np.allclose(np.array(energies) - energies[0], [cell.info["ewald_eV"] for cell in cells], atol=1e-4)
    assert energies == sorted(energies)


def test_search_keeps_lithium_apart_and_the_composition():
    cells = order_cells(from_entry(load_entry("Li10GeP2S12_disordered")), UNIT, 4, 1)
    assert len(cells) == 4 == matches(cells)
    for cell in cells:
        assert cell.get_chemical_formula("hill") == "Ge2Li20P4S24"
        lithium = cell[cell.symbols == "Li"]
        assert neighbour_pairs(lithium, 3.0)[3].min() > 2.0
        assert cell.info["composition_error"] == pytest.approx(0.2)
    assert cells[0].info["ewald_eV"] == 0 <= cells[1].info["ewald_eV"]


def test_order_is_reproducible_and_random_draws_differ():
    parent = from_entry(load_entry("Li10GeP2S12_disordered"))
    one, two = (order_cells(parent, UNIT, 2, 7) for _ in range(2))
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(one, two, strict=True))
    mixed = rock_salt({"Cl": 0.5, "Br": 0.5})
    drawn = [order_cells(mixed, np.diag([2, 2, 2]), 1, seed, mode="random")[0] for seed in range(3)]
    assert len({tuple(cell.positions[cell.symbols == "Br"].round(3).ravel()) for cell in drawn}) == 3
    assert drawn[0].info["configurations"] == "random"


def test_random_draws_go_on_until_enough_are_distinct():
    cells = order_cells(rock_salt({"Cl": 0.5, "Br": 0.5}), np.diag([2, 1, 1]), 8, 1, mode="random")
    assert matches(cells) == len(cells) == 8  # all there are


@pytest.mark.parametrize("share", [0.1, 0.25, 1 / 3, 0.5, 0.615, 0.9])
def test_counts_are_the_nearest(share):
    cell = rock_salt({"Cl": 1 - share, "Br": share}).repeat(np.diag([2, 2, 1]))
    (chloride, lithium) = integer_counts(cell)
    assert abs(chloride["Br"] - 16 * share) <= 0.5
    assert chloride["Cl"] + chloride["Br"] == lithium["Li"] == 16


def test_lithium_makes_good_the_charge():
    parent = from_entry(load_entry("Li10GeP2S12_disordered"))
    cell = pool_lithium(parent.repeat(np.diag([2, 2, 1])))
    total = {}
    for one in integer_counts(cell):
        for element, number in one.items():
            total[element] = total.get(element, 0) + number
    assert total["Li"] + 4 * total["Ge"] + 5 * total["P"] - 2 * total["S"] == 0
    assert total["Ge"] == 8


def test_small_shares_on_several_orbits_are_not_lost():
    cell = from_entry(load_entry("Li10GeP2S12_disordered"))
    shares = tuple({"S": 0.95, "Cl": 0.05} if "S" in one else one for one in cell.occupancy)
    mixed = DisorderedCell(cell.cell, cell.positions, cell.orbit, shares, "x")
    anions = [k for k, one in enumerate(shares) if "S" in one]
    assert len(anions) == 3
    assert sum(one.get("Cl", 0) for one in integer_counts(pool_lithium(mixed))) == 1  # 0.4 on each of three orbits
    joined = mixed.join(anions)
    assert joined.amounts() == pytest.approx(mixed.amounts())
    assert sum(one.get("Cl", 0) for one in integer_counts(pool_lithium(joined))) == 1  # 1.2 of 24


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"Cl": 0.7, "Br": 0.7}, "occupancies"), ({"Cl": 1.2}, "occupancies"), ({"Cl": -0.1, "Br": 1.0}, "occupancies"),
        ({"Cl": 0.5, "S": 0.5}, "charge imbalance"), ({"Cl": 0.5}, "charge imbalance"),
        ({"Cl": 0.95, "Br": 0.05}, "less than half an atom of Br"), ({"Cl": 0.5, "Xe": 0.5}, "no oxidation state"),
    ],
)
def test_impossible_shares_are_refused(shares, message):
    with pytest.raises(InputError, match=message):
        order_cells(rock_salt(shares), UNIT, 1, 1)


def test_too_much_lithium_is_refused():
    positions = np.array([[0, 0, 0], [1.5, 0, 0], [0, 3, 3], [3, 3, 0.0]])
    cell = DisorderedCell(np.eye(3) * 6, positions, np.array([0, 0, 1, 1]), ({"Li": 0.98}, {"Cl": 1.0}), "tight")
    with pytest.raises(InputError, match="closer than 2"):
        order_cells(cell, UNIT, 1, 1)


def test_permutations_form_the_group_of_the_supercell():
    parent = rock_salt({"Cl": 1.0})
    assert len(site_permutations(parent, parent, UNIT).rows) == 24  # 6 orders of the axes times 4 centrings
    matrix = np.diag([2, 1, 1])
    permutations = site_permutations(parent, parent.repeat(matrix), matrix).rows
    assert len(permutations) == 32  # swap of y and z, mirror of x, 8 translations
    assert np.arange(16).tolist() in permutations.tolist()
    for row in permutations:
        assert sorted(row) == list(range(16))


def test_two_impurities_in_a_large_cubic_cell():
    """Nine distances of two sites in 3 x 3 x 3 cells of rock salt, under 5184 operations."""
    cells = order_cells(rock_salt({"Cl": 106 / 108, "Br": 2 / 108}), 3 * UNIT, 30, 1, mode="random")
    distances = {round(float(cell[cell.symbols == "Br"].get_distance(0, 1, mic=True)), 3) for cell in cells}
    assert len(cells) == len(distances) == 9


def test_labels_do_not_depend_on_how_they_are_found(monkeypatch):
    parent, matrix = rock_salt({"Cl": 0.5, "Br": 0.5}), np.diag([2, 2, 1])
    permutations = site_permutations(parent, parent.repeat(matrix), matrix)
    states = [np.random.default_rng(seed).integers(1, 4, 32) for seed in range(20)]
    stored = [canonical(state, permutations) for state in states]
    monkeypatch.setattr(symmetry, "MOST_ROWS", 0)
    permutations = site_permutations(parent, parent.repeat(matrix), matrix)
    assert permutations.rows is None
    assert [canonical(state, permutations) for state in states] == stored
    shifted = [state[permutations.shifts[1]] for state in states]
    assert [canonical(state, permutations) for state in shifted] == stored


@pytest.mark.parametrize("name", ["Li10GeP2S12", "Li6PS5Cl", "Li7P3S11", "Li2S", "Li3PS4_beta_b", "As2S3", "GeS2"])
def test_near_cubic(name):
    atoms = cell_from_entry(load_entry(name))
    matrix = near_cubic(atoms.cell.array, len(atoms), 200, 400)
    count = np.linalg.det(matrix) * len(atoms)
    assert 200 <= round(count) <= 400
    lattice = matrix @ atoms.cell.array
    edges = np.linalg.norm(lattice, axis=1)
    if name == "Li10GeP2S12":
        assert edges.max() / edges.min() < 1.15
    heights = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    assert heights.min() > 0.7 * np.linalg.det(lattice) ** (1 / 3)


def test_near_cubic_of_a_cube_is_a_cube():
    assert np.array_equal(near_cubic(np.eye(3) * 5.0, 12, 90, 100), 2 * UNIT)
    with pytest.raises(InputError, match="widen the range"):
        near_cubic(np.eye(3) * 5.0, 12, 13, 23)
