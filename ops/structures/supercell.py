"""Supercells of a given size that are as close to a cube as the lattice allows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from dpa_sse.ops.core.errors import InputError

EVEN = 1.15  # edges within 15 % of each other are preferred to slightly less skew
UNEVEN_PENALTY = 0.1
MOST_ATOMS = 5000
LONGEST = 1.6  # times the edge of the cube: longest edge of right-angled supercells that are searched
RIGHT = 1.75e-3  # cosine of 89.9 degrees
_STEPS = np.array(list(itertools.product((-1, 0, 1), repeat=9))).reshape(-1, 3, 3)


def near_cubic(
    cell: np.ndarray, atoms_in_cell: float, smallest: int, largest: int, *, orthogonal: bool = False
) -> np.ndarray:
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
    orthogonal : bool
        Only supercells with right angles (within 0.1 degrees); all lattice vectors of suitable length are tried.

    Returns
    -------
    ndarray of int, shape (3, 3)
        Rows times the lattice vectors; positive determinant.

    Raises
    ------
    InputError
        No multiple of the cell has a number of atoms in the range, or none has right angles.
    """
    first, last = int(np.ceil(smallest / atoms_in_cell - 1e-9)), int(np.floor(largest / atoms_in_cell + 1e-9))
    if first > last or last < 1:
        raise InputError(
            f"no supercell of a cell of {atoms_in_cell:g} atoms has {smallest} to {largest} atoms: widen the range"
        )
    multiples = range(max(1, first), last + 1)
    found = [
        (round(_distortion(matrix @ cell, edge), 8), multiple, matrix.tobytes(), matrix)
        for multiple, edge, matrix in (_orthogonal(cell, multiples) if orthogonal else _cubic(cell, multiples))
    ]
    if not found:
        kind = "supercell with right angles" if orthogonal else "near-cubic supercell"
        hint = " or omit `orthogonal` (LAMMPS also runs skewed cells)" if orthogonal else ""
        raise InputError(f"no {kind} with {smallest} to {largest} atoms found: widen the range{hint}")
    return min(found, key=lambda item: item[:3])[3]


def wide_enough(
    cell: np.ndarray, atoms_in_cell: float, min_edge_A: float, *, orthogonal: bool = False
) -> np.ndarray:
    """Return the smallest supercell matrix with opposite faces at least ``min_edge_A`` apart, near-cubic.

    Such a cell needs only the Gamma point if ``min_edge_A`` is large (about 15 Angstrom for an insulator).

    Raises
    ------
    InputError
        More than 5000 atoms would be needed.
    """
    volume = abs(np.linalg.det(cell))
    first = max(1, int(min_edge_A**3 / volume + 1 - 1e-9))
    for multiple in range(first, max(first, int(MOST_ATOMS / atoms_in_cell)) + 1):
        found = [
            (round(_distortion(matrix @ cell, edge), 8), matrix.tobytes(), matrix)
            for _, edge, matrix in (_orthogonal if orthogonal else _cubic)(cell, range(multiple, multiple + 1))
            if (1 / np.linalg.norm(np.linalg.inv(matrix @ cell), axis=0)).min() >= min_edge_A - 1e-6
        ]
        if found:
            return min(found, key=lambda item: item[:2])[2]
    kind = "supercell with right angles" if orthogonal else "supercell"
    raise InputError(f"no {kind} of at most {MOST_ATOMS} atoms is {min_edge_A:g} Angstrom wide: use a smaller value")


def _cubic(cell: np.ndarray, multiples: range) -> Iterator[tuple[int, float, np.ndarray]]:
    """Yield number of cells, edge of the cube of that volume, and matrices around the one of that cube."""
    volume = abs(np.linalg.det(cell))
    for multiple in multiples:
        edge = (multiple * volume) ** (1 / 3)
        trial = np.rint(edge * np.linalg.inv(cell)).astype(int) + _STEPS
        right = np.rint(np.linalg.det(trial)).astype(int) == multiple
        for matrix in trial[right]:
            yield multiple, edge, matrix


def _orthogonal(cell: np.ndarray, multiples: range) -> Iterator[tuple[int, float, np.ndarray]]:
    """Yield number of cells, edge, and matrix for all triples of lattice vectors at right angles, none very long."""
    volume = abs(np.linalg.det(cell))
    longest = LONGEST * (multiples[-1] * volume) ** (1 / 3)
    reach = np.floor(longest * np.linalg.norm(np.linalg.inv(cell), axis=0) + 1e-9).astype(int)
    points = np.array(list(itertools.product(*(range(-n, n + 1) for n in reach))))
    points = points[len(points) // 2 + 1 :]  # one of each pair n, -n
    length = np.linalg.norm(points @ cell, axis=1)
    points, length = points[length <= longest], length[length <= longest]
    unit = points @ cell / length[:, None]
    right = np.abs(unit @ unit.T) < RIGHT
    for a in range(len(points)):
        b, c = np.nonzero(np.triu(right[np.ix_(others := np.flatnonzero(right[a]), others)]))
        b, c = others[b], others[c]
        number = np.rint(length[a] * length[b] * length[c] / volume).astype(int)
        for one, two, multiple in zip(b, c, number, strict=True):
            if a < one and multiple in multiples:
                matrix = points[[a, one, two]]
                matrix = matrix if np.linalg.det(matrix) > 0 else matrix[[0, 2, 1]]
                if np.linalg.det(matrix @ cell) * np.linalg.det(cell) > 0:
                    yield int(multiple), float((multiple * volume) ** (1 / 3)), matrix


def _distortion(lattice: np.ndarray, edge: float) -> float:
    """Return how far the metric of a lattice is from that of a cube with this edge, plus a penalty for uneven edges."""
    metric = lattice @ lattice.T / edge**2
    edges = np.sqrt(np.diag(metric))
    uneven = UNEVEN_PENALTY if edges.max() > EVEN * edges.min() else 0.0
    return float(np.abs(metric - np.eye(3)).max()) + uneven
