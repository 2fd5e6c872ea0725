"""Distances between atoms under periodic boundary conditions: the one neighbour search of the structure steps."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

DENSE_LIMIT = 600  # atoms; above, ASE's linear-scaling search (it needs scipy: half a second of import)


def neighbour_pairs(atoms: Atoms, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
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


def nearest_distances(atoms: Atoms, cutoff: float = 4.0) -> np.ndarray:
    """Return the distance of every atom to its nearest neighbour, Angstrom; ``inf`` beyond ``cutoff``."""
    i, j, _, distance = neighbour_pairs(atoms, cutoff)
    nearest = np.full(len(atoms), np.inf)
    np.minimum.at(nearest, i, distance)
    np.minimum.at(nearest, j, distance)
    return nearest


def image_shifts(cell: np.ndarray, cutoff: float) -> np.ndarray:
    """Return the lattice translations, as integers, that a search within ``cutoff`` has to visit.

    Valid for atoms wrapped into the cell: the distance between opposite faces bounds the images needed.
    """
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    counts = np.ceil(cutoff / heights).astype(int)
    return np.array(list(itertools.product(*(range(-n, n + 1) for n in counts))))


def _dense_pairs(
    positions: np.ndarray, cell: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
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


def _half_space(image: np.ndarray) -> np.ndarray:
    """Return which of the integer translations are the positive one of the pair (n, -n)."""
    a, b, c = image.T
    return (a > 0) | ((a == 0) & (b > 0)) | ((a == 0) & (b == 0) & (c > 0))
