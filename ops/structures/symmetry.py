"""Arrangements on the sites of a supercell that are equivalent by symmetry."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from dpa_sse.ops.structures.disorder import DisorderedCell

TOLERANCE = 1e-3  # fractional
MOST_ROWS = 4000  # above, the products of turns and shifts are not stored: 100 MB and more for a thousand sites


@dataclass(frozen=True)
class SitePermutations:
    """The symmetry of a supercell as permutations of its sites; each row gives the site that each site is mapped to.

    Every operation is one of ``turns`` (n_turns, n_sites), followed by one of ``shifts`` (n_shifts, n_sites), the
    translations of the small cell.
    """

    turns: np.ndarray
    shifts: np.ndarray

    @functools.cached_property
    def rows(self) -> np.ndarray | None:
        """All operations, shape (n_operations, n_sites), including the identity; None if there are too many."""
        if len(self.turns) * len(self.shifts) > MOST_ROWS:
            return None
        return np.unique(self.shifts[:, self.turns].reshape(-1, self.turns.shape[1]), axis=0)


def site_permutations(parent: DisorderedCell, large: DisorderedCell, matrix: np.ndarray) -> SitePermutations:
    """Return the permutations of the sites of a supercell by the space group of its parent.

    Parameters
    ----------
    parent : DisorderedCell
        The cell that defines the space group; its orbits are the kinds of atoms.
    large : DisorderedCell
        The supercell ``matrix @ parent.cell``.
    matrix : ndarray of int, shape (3, 3)
        Supercell.
    """
    import spglib
    from scipy.spatial import cKDTree

    fractional = parent.positions @ np.linalg.inv(parent.cell)
    kinds = (parent.orbit + 1).tolist()
    operations = spglib.get_symmetry((parent.cell.tolist(), fractional.tolist(), kinds), symprec=1e-3)
    rotations, translations = np.eye(3)[None], np.zeros((1, 3))
    if operations is not None:
        rotations, translations = operations["rotations"], operations["translations"]
    inverse = np.linalg.inv(matrix)
    sites = (large.positions @ np.linalg.inv(large.cell)) % 1.0
    tree = cKDTree(sites % 1.0, boxsize=1.0)

    def moved(images: np.ndarray) -> np.ndarray | None:
        distance, index = tree.query(images % 1.0)
        return index if distance.max() < 10 * TOLERANCE and len(set(index.tolist())) == len(index) else None

    turns = [np.arange(len(sites))]
    for rotation, translation in zip(rotations, translations, strict=True):
        turned = matrix @ rotation.T @ inverse
        if np.abs(turned - np.rint(turned)).max() > TOLERANCE:
            continue  # the supercell does not have this symmetry
        index = moved(sites @ np.rint(turned) + translation @ inverse)
        turns += [] if index is None else [index]
    shifts = [moved(sites + shift @ inverse) for shift in _lattice_points(matrix)]
    return SitePermutations(
        np.unique(np.array(turns), axis=0), np.array([index for index in shifts if index is not None])
    )


def canonical(state: np.ndarray, permutations: SitePermutations) -> bytes:
    """Return a label that two arrangements share if a symmetry operation maps one to the other.

    It is the first, in the order of the species numbers, of all images of the arrangement.
    """
    state = state.astype(np.uint8)
    if permutations.rows is not None:
        rows = np.ascontiguousarray(state[permutations.rows])
        return bytes(min(rows.view(f"V{rows.shape[1]}").ravel().tolist()))
    turns, images = permutations.turns, state[permutations.shifts]
    shift, turn = (part.ravel() for part in np.indices((len(images), len(turns))))
    for site in range(len(state)):  # site by site, only the images that are smallest so far are kept
        here = images[shift, turns[turn, site]]
        first = here == here.min()
        if not first.all():
            shift, turn = shift[first], turn[first]
    return images[shift[0], turns[turn[0]]].tobytes()


def _lattice_points(matrix: np.ndarray) -> np.ndarray:
    """Return the translations of the small cell, as integers, inside the supercell."""
    reach = range(int(np.minimum(matrix, 0).sum()) - 1, int(np.maximum(matrix, 0).sum()) + 2)
    points = np.array(list(itertools.product(reach, repeat=3)))
    inside = points @ np.linalg.inv(matrix)
    return points[np.all((inside > -1e-8) & (inside < 1 - 1e-8), axis=1)]
