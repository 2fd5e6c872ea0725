"""Whole numbers of atoms, room for lithium, and the search in large cells."""

import itertools

import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.composition import capacity, integer_counts
from dpa_sse.ops.structures.disorder import DisorderedCell, from_entry
from dpa_sse.ops.structures.library import load_entry
from dpa_sse.ops.structures.neighbour_list import neighbour_pairs
from dpa_sse.ops.structures.order import order_cells, pool_lithium
from dpa_sse.ops.structures.placement import apart


def sites(*groups, spacing=3.0):
    """Rows of sites: (number, shares) for each orbit."""
    number = sum(count for count, _ in groups)
    positions = np.arange(number)[:, None] * np.array([spacing, 0, 0]) + 0.5
    orbit = np.repeat(np.arange(len(groups)), [count for count, _ in groups])
    cell = np.diag([spacing * number, 6.0, 6.0])
    return DisorderedCell(cell, positions, orbit, tuple(shares for _, shares in groups), "x")


def total(counts):
    result = {}
    for one in counts:
        for element, number in one.items():
            result[element] = result.get(element, 0) + number
    return result


def test_the_nearest_neutral_composition_of_all_sites():
    """Li24.376 Al7.464 S23.392: sites rounded one by one give Li22 Al8 S23."""
    cell = sites((48, {"Li": 24.376 / 48}), (12, {"Al": 7.464 / 12}), (24, {"S": 23.392 / 24}))
    assert total(integer_counts(cell)) == {"Li": 24, "Al": 8, "S": 24}


@pytest.mark.parametrize("seed", range(12))
def test_no_other_neutral_composition_is_nearer(seed):
    rng = np.random.default_rng(seed)
    phosphorus = rng.uniform(0.2, 0.8)
    lithium = 6.8 - 4 * phosphorus + rng.uniform(-0.4, 0.4)  # about neutral
    shares = {"P": phosphorus, "Ge": 1 - phosphorus}
    cell = sites((12, {"Li": lithium / 12}), (4, shares), (12, {"S": 0.9, "Cl": 0.1}))
    charge = {"Li": 1, "P": 5, "Ge": 4, "S": -2, "Cl": -1}

    def excess(amounts):
        return sum(charge[element] * amount for element, amount in amounts.items())

    wanted = cell.amounts()
    if abs(excess(wanted)) > 0.1:
        wanted["Li"] -= excess(wanted)
    made = total(integer_counts(cell))
    assert excess(made) == 0
    every = (
        {"Li": li, "P": p, "Ge": 4 - p, "S": s, "Cl": 12 - s}
        for li, p, s in itertools.product(range(13), range(5), range(13))
    )
    errors = [
        max(abs(number - wanted[element]) for element, number in one.items()) for one in every
        if excess(one) == 0 and all(one[element] >= 1 for element in one if wanted[element] >= 0.5)
    ]
    assert max(abs(made[element] - amount) for element, amount in wanted.items()) == pytest.approx(min(errors))


def ring(length):
    near = np.zeros((length, length))
    for k in range(length):
        near[k, (k + 1) % length] = near[(k + 1) % length, k] = 25.0
    return near


@pytest.mark.parametrize(("near", "most"), [(ring(7), 3), (ring(8), 4), (np.zeros((5, 5)), 5), (1.0 - np.eye(4), 1)])
def test_capacity(near, most):
    assert capacity(near) == most
    chosen = apart(near, np.arange(len(near)), len(near), np.random.default_rng(1))
    assert not near[np.ix_(chosen, chosen)].any()
    assert len(chosen) <= most


def test_impossible_requests_are_refused_with_numbers_and_the_distance_can_be_set():
    positions = np.array([[0, 0, 0], [1.8, 0, 0], [0, 3, 3], [3, 3, 0.0]])
    cell = DisorderedCell(np.eye(3) * 6, positions, np.array([0, 0, 1, 1]), ({"Li": 0.98}, {"Cl": 1.0}), "tight")
    with pytest.raises(InputError, match="2 Li on 2 sites, of which at most 1 are not closer than 2 Angstrom"):
        order_cells(cell, np.eye(3, dtype=int), 1, 1)
    made = order_cells(cell, np.eye(3, dtype=int), 1, 1, contact_A=1.7)
    assert made[0].get_chemical_formula("hill") == "Cl2Li2"


def argyrodite(repeat, seed):
    """An argyrodite read as from a file: pairs of lithium sites 1.9 A apart, two anion sites with shares."""
    cells = order_cells(from_entry(load_entry("Li6PS5Cl_disordered")), np.diag(repeat), 1, seed)
    lithium = cells[0][cells[0].symbols == "Li"]
    assert neighbour_pairs(lithium, 2.5)[3].min() > 2.0
    assert cells[0].info["composition_error"] < 0.5
    return len(cells[0])


def test_a_cell_of_600_sites():
    assert argyrodite((2, 2, 2), 1) == 416


@pytest.mark.slow
@pytest.mark.parametrize(("repeat", "atoms"), [((3, 3, 2), 936), ((3, 3, 3), 1404)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_large_cells_with_any_seed(repeat, atoms, seed):
    assert argyrodite(repeat, seed) == atoms


def test_less_lithium_where_its_sites_hold_no_more():
    """Li10GeP2S12 with three kinds of lithium sites holds 20 lithium atoms in each cell; 20.1 are asked for."""
    cell = from_entry(load_entry("Li10GeP2S12_disordered"))
    (made,) = order_cells(cell, np.diag([2, 2, 1]), 1, 1)
    wanted = total(integer_counts(pool_lithium(cell.repeat(np.diag([2, 2, 1])))))
    assert abs(int((made.symbols == "Li").sum()) - wanted["Li"]) <= 1
