"""Which arrangements on the sites of a supercell are the same by symmetry."""

from __future__ import annotations

import itertools

import numpy as np

from ops.structures.disorder import DisorderedCell

TOLERANCE = 1e-3  # fractional
MOST_OPERATIONS = 4000


def site_permutations(parent: DisorderedCell, large: DisorderedCell, matrix: np.ndarray) -> np.ndarray:
    """Return the permutations of the sites of a supercell by the symmetry of its parent.

    Parameters
    ----------
    parent : DisorderedCell
        The cell whose space group, orbits being the kinds of atoms, is used.
    large : DisorderedCell
        The supercell ``matrix @ parent.cell``.
    matrix : ndarray of int, shape (3, 3)
        Supercell.

    Returns
    -------
    ndarray of int, shape (n_operations, n_sites)
        Row p: the site that each site goes to; distinct rows, the identity among them.
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
    found = [np.arange(len(sites))]
    shifts = _lattice_points(matrix)
    for rotation, translation in zip(rotations, translations, strict=True):
        turned = matrix @ rotation.T @ inverse
        if np.abs(turned - np.rint(turned)).max() > TOLERANCE:
            continue  # the supercell does not have this symmetry
        for shift in shifts:
            images = (sites @ np.rint(turned) + (translation + shift) @ inverse) % 1.0
            distance, index = tree.query(images % 1.0)
            if distance.max() < 10 * TOLERANCE and len(set(index.tolist())) == len(index):
                found.append(index)
        if len(found) > MOST_OPERATIONS:
            break
    return np.unique(np.array(found), axis=0)


def canonical(state: np.ndarray, permutations: np.ndarray) -> bytes:
    """Return a label that two arrangements share when a symmetry operation maps one to the other."""
    rows = np.ascontiguousarray(state[permutations].astype(np.uint8))
    return bytes(min(rows.view(f"V{rows.shape[1]}").ravel().tolist()))


def _lattice_points(matrix: np.ndarray) -> np.ndarray:
    """Return the translations of the small cell, as integers, that lie in the supercell."""
    reach = range(int(np.minimum(matrix, 0).sum()) - 1, int(np.maximum(matrix, 0).sum()) + 2)
    points = np.array(list(itertools.product(reach, repeat=3)))
    inside = points @ np.linalg.inv(matrix)
    return points[np.all((inside > -1e-8) & (inside < 1 - 1e-8), axis=1)]
