"""Neighbours under periodic boundary conditions: the one neighbour search of the project.

Three questions, three functions: all pairs of a cell, each listed once (:func:`neighbour_pairs`); all pairs, each
listed from both ends, fast enough to watch a running MD (:func:`near_pairs`); the number of neighbours of each
type (:func:`neighbour_counts`). Cells may be skewed, and thinner than the cutoff.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ase import Atoms

Pairs = tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.float64]]

DENSE_LIMIT = 600  # atoms; above, ASE's linear-scaling search (it needs scipy: half a second of import)
NEAR_LIMIT = 256  # atoms; above, the same search for `near_pairs`


def neighbour_pairs(
    atoms: Atoms, cutoff: float
) -> tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.float64], NDArray[np.float64]]:
    """Return all pairs of atoms closer than ``cutoff``, each one once.

    Parameters
    ----------
    atoms : Atoms
        Periodic in all three directions.
    cutoff : float
        Angstrom; may be larger than the cell.

    Returns
    -------
    i, j : ndarray of int, shape (n,)
        The two atoms, i <= j (an atom and its own image: i == j).
    shift : ndarray, shape (n, 3)
        Lattice translation of atom j in Angstrom: the vector is ``r_j + shift - r_i``.
    distance : ndarray, shape (n,)
        Angstrom.
    """
    if len(atoms) > DENSE_LIMIT:
        from ase.neighborlist import neighbor_list

        i, j, image, distance = neighbor_list("ijSd", atoms, cutoff)
        first = (i < j) | ((i == j) & _half_space(image))
        return i[first], j[first], image[first] @ atoms.cell.array, distance[first]
    return _dense_pairs(atoms.positions, atoms.cell.array, cutoff)


def near_pairs(cell: NDArray[np.float64], positions: NDArray[np.float64], cutoff: float) -> Pairs:
    """Return all pairs of atoms within ``cutoff``, each one from both ends, periodic images included.

    Small cells thick enough for one image of each pair take a plain product, 20 times faster than a neighbour list:
    monitoring must not slow down an MD run.

    Parameters
    ----------
    cell, positions : ndarray, shapes (3, 3) and (n, 3)
        Angstrom.
    cutoff : float
        Angstrom.

    Returns
    -------
    i, j : ndarray of int, shape (n_pairs,)
    distance : ndarray, shape (n_pairs,)
        Angstrom.
    """
    if len(positions) > NEAR_LIMIT or face_distances(cell).min() <= 2 * cutoff:
        from ase.neighborlist import primitive_neighbor_list

        found: Pairs = primitive_neighbor_list("ijd", (True, True, True), cell, positions, cutoff)
        return found
    fractional = positions @ np.linalg.inv(cell)
    shift = fractional[:, None] - fractional[None]
    squares = np.square((shift - np.rint(shift)) @ cell).sum(axis=-1)
    np.fill_diagonal(squares, np.inf)
    i, j = np.nonzero(squares < cutoff * cutoff)
    return i, j, np.sqrt(squares[i, j])


def neighbour_counts(
    types: NDArray[np.int_], positions: NDArray[np.float64], cell: NDArray[np.float64], radii: Sequence[float],
    n_types: int,
) -> tuple[NDArray[np.int_], float]:
    """Count the neighbours of each atom, by type, within several radii.

    Parameters
    ----------
    types : ndarray of int, shape (n,)
        Type of each atom, 0 to ``n_types - 1``.
    positions, cell : ndarray, shapes (n, 3) and (3, 3)
        Angstrom.
    radii : sequence of float
        Angstrom, ascending.
    n_types : int
        Number of types.

    Returns
    -------
    ndarray of int, shape (n_radii, n, n_types)
        Neighbours, images of the atom itself included.
    float
        Smallest distance, Angstrom; infinite if it exceeds the largest radius.
    """
    fractional = positions @ np.linalg.inv(cell)
    wrapped = (fractional - np.floor(fractional)) @ cell
    one_hot = np.eye(n_types)[types]
    counts = np.zeros((len(radii), len(types), n_types))
    nearest = math.inf
    # |r|^2 = |a|^2 + |b|^2 - 2 a.b would be faster, but loses digits just where the minimum is taken
    for image in image_shifts(cell, radii[-1]).astype(float):
        squared = ((wrapped[:, None, :] - (wrapped + image @ cell)[None, :, :]) ** 2).sum(axis=2)
        if not image.any():
            np.fill_diagonal(squared, np.inf)
        nearest = min(nearest, float(squared.min(initial=np.inf)))
        for i, radius in enumerate(radii):
            inside = squared < radius * radius
            if inside.any():
                counts[i] += inside @ one_hot
    return counts.astype(int), math.sqrt(nearest) if nearest < radii[-1] ** 2 else math.inf


def nearest_distances(atoms: Atoms, cutoff: float = 4.0) -> NDArray[np.float64]:
    """Return the distance of every atom to its nearest neighbour, Angstrom; ``inf`` beyond ``cutoff``."""
    i, j, _, distance = neighbour_pairs(atoms, cutoff)
    nearest = np.full(len(atoms), np.inf)
    np.minimum.at(nearest, i, distance)
    np.minimum.at(nearest, j, distance)
    return nearest


def face_distances(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distances between opposite faces of a cell, Angstrom, shape (3,)."""
    return np.asarray(1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0))


def image_shifts(cell: NDArray[np.float64], cutoff: float) -> NDArray[np.int_]:
    """Return the lattice translations, as integers, that a search within ``cutoff`` has to visit.

    Valid for atoms wrapped into the cell: the distance between opposite faces bounds the images needed.
    """
    counts = np.ceil(cutoff / face_distances(cell)).astype(int)
    return np.array(list(itertools.product(*(range(-n, n + 1) for n in counts))))


def _dense_pairs(
    positions: NDArray[np.float64], cell: NDArray[np.float64], cutoff: float
) -> tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.float64], NDArray[np.float64]]:
    fractional = positions @ np.linalg.inv(cell)
    wrap = np.floor(fractional)
    wrapped = (fractional - wrap) @ cell
    difference = wrapped[None] - wrapped[:, None]  # [i, j] = r_j - r_i
    found: list[list[np.ndarray]] = []
    for image in image_shifts(cell, cutoff):
        squared = np.einsum("ijk,ijk->ij", vectors := difference + image @ cell, vectors)
        i, j = np.nonzero(squared < cutoff * cutoff)
        keep = (i < j) if not _half_space(image[None])[0] else (i <= j)
        i, j = i[keep], j[keep]
        shift = (image - wrap[j] + wrap[i]) @ cell  # back to the unwrapped positions
        found.append([i, j, shift, np.sqrt(squared[i, j])])
    i, j, shift, distance = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return i, j, shift, distance


def _half_space(image: np.ndarray) -> NDArray[np.bool_]:
    """Return which of the integer translations are the positive one of the pair (n, -n)."""
    a, b, c = image.T
    return (a > 0) | ((a == 0) & (b > 0)) | ((a == 0) & (b == 0) & (c > 0))
