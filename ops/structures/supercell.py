"""Supercells of a wanted size that are as close to a cube as the lattice allows."""

from __future__ import annotations

import itertools

import numpy as np

from ops.errors import InputError

EVEN = 1.15  # a supercell with edges within 15 % of each other is preferred to one that is a little less skewed
UNEVEN_PENALTY = 0.1
_STEPS = np.array(list(itertools.product((-1, 0, 1), repeat=9))).reshape(-1, 3, 3)


def near_cubic(cell: np.ndarray, atoms_in_cell: float, smallest: int, largest: int) -> np.ndarray:
    """Return the supercell matrix with ``smallest`` to ``largest`` atoms whose lattice is nearest to a cube.

    For every number of cells the matrix that would make a perfect cube is rounded to integers, and all matrices
    that differ from it by at most one in each element are tried.

    Parameters
    ----------
    cell : ndarray, shape (3, 3)
        Lattice vectors, Angstrom.
    atoms_in_cell : float
        Atoms in it (a mean number where sites are partly occupied).
    smallest, largest : int
        Range of the number of atoms in the supercell.

    Returns
    -------
    ndarray of int, shape (3, 3)
        Rows times the lattice vectors; positive determinant.

    Raises
    ------
    InputError
        No multiple of the cell has a number of atoms in the range.
    """
    first, last = int(np.ceil(smallest / atoms_in_cell - 1e-9)), int(np.floor(largest / atoms_in_cell + 1e-9))
    if first > last or last < 1:
        raise InputError(
            f"no supercell of a cell of {atoms_in_cell:g} atoms has {smallest} to {largest} atoms: widen the range"
        )
    volume = abs(np.linalg.det(cell))
    found: list[tuple[float, int, bytes, np.ndarray]] = []
    for multiple in range(max(1, first), last + 1):
        edge = (multiple * volume) ** (1 / 3)
        trial = np.rint(edge * np.linalg.inv(cell)).astype(int) + _STEPS
        right = np.rint(np.linalg.det(trial)).astype(int) == multiple
        for matrix in trial[right]:
            found.append((round(_distortion(matrix @ cell, edge), 8), multiple, matrix.tobytes(), matrix))
    if not found:
        raise InputError(f"no near-cubic supercell with {smallest} to {largest} atoms found: widen the range")
    return min(found, key=lambda item: item[:3])[3]


def _distortion(lattice: np.ndarray, edge: float) -> float:
    """Return how far the metric of a lattice is from that of a cube with this edge, uneven edges counted twice."""
    metric = lattice @ lattice.T / edge**2
    edges = np.sqrt(np.diag(metric))
    uneven = UNEVEN_PENALTY if edges.max() > EVEN * edges.min() else 0.0
    return float(np.abs(metric - np.eye(3)).max()) + uneven
