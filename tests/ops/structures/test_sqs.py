"""Special quasi-random structures: the pairs of a random crystal, as well as the cell allows."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from dpa_sse.ops.structures.build import build_cell, build_ensemble
from dpa_sse.ops.structures.disorder import from_atoms
from dpa_sse.ops.structures.library import cell_from_entry, load_entry
from dpa_sse.ops.structures.settings import SystemSettings
from dpa_sse.ops.structures.sqs import pair_statistics, quasi_random
from dpa_sse.ops.structures.supercell import near_cubic, wide_enough


def rock_salt(matrix):
    parent = from_atoms(cell_from_entry(load_entry("LiCl")), {"Cl": {"Cl": 0.5, "Br": 0.5}}, "x").repeat(matrix)
    state = np.where(parent.orbit == 0, 1, 3)
    return parent, state, np.flatnonzero(parent.orbit == 0)


def half(state, sites, chosen):
    result = state.copy()
    result[sites[list(chosen)]] = 2
    return result


def test_deviation_is_zero_for_the_statistics_of_a_random_crystal():
    parent, state, sites = rock_salt(np.eye(3, dtype=int))
    state = half(state, sites, (0, 1))  # alternating planes: 2/3 of the near neighbours are unlike instead of 1/2
    statistics = pair_statistics(parent.positions, parent.cell, parent.orbit, [0], state)
    like = statistics.target[0, 1, 1]
    assert like == pytest.approx(0.25)
    # first shell: shares 1/6, 1/6 and 2/3 against 1/4, 1/4, 1/2 -> 4 * (1/12)**2
    first = np.zeros(len(statistics.weight))
    first[np.argmin(statistics.shell[[0]])] = 1.0
    alone = type(statistics)(statistics.i, statistics.j, statistics.shell, first, statistics.target)
    assert alone.deviation(state) == pytest.approx(2 / 12, abs=1e-9)


def test_annealing_finds_the_best_of_all_arrangements():
    parent, state, sites = rock_salt(np.diag([2, 1, 1]))
    states = [half(state, sites, chosen) for chosen in itertools.combinations(range(8), 4)]
    statistics = pair_statistics(parent.positions, parent.cell, parent.orbit, [0], states[0])
    values = [statistics.deviation(one) for one in states]
    for seed in range(3):
        found = quasi_random(statistics, parent.orbit, [0], states[0], np.random.default_rng(seed))
        assert statistics.deviation(found) == pytest.approx(min(values))
    assert min(values) < 0.6 * np.mean(values)


def test_better_than_random_draws_in_a_solid_solution():
    parent, state, sites = rock_salt(np.diag([2, 2, 2]))
    rng = np.random.default_rng(1)
    states = [half(state, sites, rng.permutation(32)[:16]) for _ in range(200)]
    statistics = pair_statistics(parent.positions, parent.cell, parent.orbit, [0], states[0])
    found = quasi_random(statistics, parent.orbit, [0], states[0], rng)
    assert statistics.deviation(found) < min(statistics.deviation(one) for one in states)


def test_systems_with_sqs():
    system = SystemSettings(name="a", structure="Li6PS5Cl0.5Br0.5", mixing="sqs", supercell=(2, 1, 1))
    one, same = (build_cell(system, Path(), 1) for _ in range(2))
    assert np.array_equal(one.positions, same.positions)
    assert np.array_equal(one.numbers, same.numbers)
    assert one.info["operation"] == "quasi-random mixing"
    assert one.info["composition_error"] == 0
    cell = build_cell(SystemSettings(name="a", structure="Li6PS5Br", mixing="sqs", site_disorder=0.5), Path(), 1)
    assert (cell.symbols == "Br").sum() == 4


@pytest.mark.parametrize("name", ["Li6PS5Cl_48h_ordered", "Li2S", "SnS2", "LiBS2_I-42d", "Li3PS4_beta_b"])
def test_right_angles(name):
    atoms = cell_from_entry(load_entry(name))
    matrix = near_cubic(atoms.cell.array, len(atoms), 200, 400, orthogonal=True)
    lattice = matrix @ atoms.cell.array
    metric = lattice @ lattice.T
    cosines = metric / np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    assert np.abs(cosines - np.eye(3)).max() < 0.002
    assert 200 <= round(np.linalg.det(matrix)) * len(atoms) <= 400


@pytest.mark.parametrize("name", ["Li7P3S11", "Li2S", "P2S5"])
def test_width(name):
    atoms = cell_from_entry(load_entry(name))
    matrix = wide_enough(atoms.cell.array, len(atoms), 12.0)
    heights = 1 / np.linalg.norm(np.linalg.inv(matrix @ atoms.cell.array), axis=0)
    assert heights.min() >= 12.0


def test_sizes_in_the_configuration():
    cell = build_cell(SystemSettings(name="a", structure="Li2S", min_edge_A=10, orthogonal=True), Path(), 1)
    assert cell.cell.lengths() == pytest.approx([cell.cell.lengths()[0]] * 3)
    assert cell.cell.lengths()[0] >= 10
    (cell,) = build_ensemble(SystemSettings(name="a", structure="Li6PS5Cl", min_edge_A=15), Path(), 1, 1)
    assert len(cell) == 416
