"""The neighbour search agrees with ASE's, for any cell."""

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list

from dpa_sse.ops.structures import neighbour_list


def random_cell(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 25))
    cell = np.eye(3) * 4 + rng.uniform(-1.5, 1.5, size=(3, 3))
    return Atoms(f"S{n}", cell=cell, pbc=True, positions=rng.normal(size=(n, 3)) * 12)


@pytest.mark.parametrize("limit", [0, 600])
@pytest.mark.parametrize("seed", range(6))
def test_pairs(seed, limit, monkeypatch):
    monkeypatch.setattr(neighbour_list, "DENSE_LIMIT", limit)
    atoms = random_cell(seed)
    i, j, shift, distance = neighbour_list.neighbour_pairs(atoms, 5.0)
    assert np.allclose(np.linalg.norm(atoms.positions[j] + shift - atoms.positions[i], axis=1), distance)
    assert np.all(i <= j)
    expected = neighbor_list("d", atoms, 5.0)
    assert np.allclose(np.sort(np.repeat(distance, 2)), np.sort(expected))


def test_nearest():
    atoms = Atoms("LiCl", positions=[[0, 0, 0], [2.5, 0, 0]], cell=[20, 20, 20], pbc=True)
    assert neighbour_list.nearest_distances(atoms).tolist() == [2.5, 2.5]
    assert np.isinf(neighbour_list.nearest_distances(atoms, cutoff=2.0)).all()
