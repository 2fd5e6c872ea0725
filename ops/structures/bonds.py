"""Keep the shape of covalent units if a cell is given another lattice.

The calculated lattice of a molecular or layered sulfide is up to 5 % too large, and all of the excess is between its
molecules or layers. Fractional coordinates in the measured lattice would compress the bonds instead (P-S in P4S10 from
2.05 to 1.99 Angstrom, As-S in As2S3 from 2.27 to 2.21): here bond lengths and, more softly, bond angles are restored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.structures.neighbour_list import neighbour_pairs

if TYPE_CHECKING:
    from ase import Atoms

ANIONS = ("S", "O")
IONIC = ("Li", "S", "O", "Cl", "Br", "I")  # no covalent bonds among these
BOND_FACTOR = 1.2  # of the sum of the covalent radii
ANGLE_WEIGHT = 0.3  # of the distances across an angle, relative to a bond
ANCHOR_WEIGHT = 0.1  # of a displacement: nothing moves without need
STEPS = 40
CONVERGED_A = 1e-12


def keep_bonds(atoms: Atoms, reference: Atoms) -> Atoms:
    """Return a cell with the covalent bond lengths of a reference that has another lattice.

    Parameters
    ----------
    atoms : Atoms
        The cell with the new lattice and the fractional coordinates of the reference.
    reference : Atoms
        The same atoms in the same order, with the correct bonds.

    Returns
    -------
    Atoms
        Copy of ``atoms`` with positions that minimise sum (d - d0)^2 over bonds, 0.3^2 times the same over the
        distances between two neighbours of one atom, and 0.1^2 times the squared displacements (Gauss-Newton). The sum
        has the symmetry of the crystal, so the space group is kept.
    """
    i, j, images, wanted, weight = _springs(reference)
    result = atoms.copy()
    if not len(i):
        return result
    shift = images @ atoms.cell.array
    size = len(atoms)
    start = atoms.positions.copy()
    positions = start.copy()
    rows = np.arange(len(i))
    for _ in range(STEPS):
        vector = positions[j] + shift - positions[i]
        length = np.linalg.norm(vector, axis=1)
        jacobian = np.zeros((len(i), size, 3))
        slope = weight[:, None] * vector / length[:, None]
        jacobian[rows, j] += slope
        jacobian[rows, i] -= slope
        matrix = jacobian.reshape(len(i), -1)
        gradient = matrix.T @ (weight * (length - wanted)) + ANCHOR_WEIGHT**2 * (positions - start).ravel()
        step = np.linalg.solve(matrix.T @ matrix + ANCHOR_WEIGHT**2 * np.eye(3 * size), -gradient)
        positions = positions + step.reshape(size, 3)
        if np.abs(step).max() < CONVERGED_A:
            break
    result.positions = positions
    return result


def covalent_pairs(atoms: Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the covalent bonds: centre, anion, lattice translation of the anion (Angstrom), length (Angstrom)."""
    from ase.data import covalent_radii

    radii = covalent_radii[atoms.numbers]
    i, j, shift, distance = neighbour_pairs(atoms, 2 * BOND_FACTOR * float(radii.max()))
    symbols = np.array(atoms.get_chemical_symbols())
    centre, anion = ~np.isin(symbols, IONIC), np.isin(symbols, ANIONS)
    near = distance < BOND_FACTOR * (radii[i] + radii[j])
    forward, backward = near & centre[i] & anion[j], near & anion[i] & centre[j]
    return (
        np.concatenate([i[forward], j[backward]]), np.concatenate([j[forward], i[backward]]),
        np.concatenate([shift[forward], -shift[backward]]), np.concatenate([distance[forward], distance[backward]]),
    )


def _springs(reference: Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return bonds and distances across angles: i, j, image of j (integers), length, weight."""
    centre, anion, shift, length = covalent_pairs(reference)
    first, second = (
        np.array([(a, b) for a in range(len(centre)) for b in range(a + 1, len(centre)) if centre[a] == centre[b]], int)
        .reshape(-1, 2).T
    )
    across = shift[second] - shift[first]
    span = np.linalg.norm(reference.positions[anion[second]] + across - reference.positions[anion[first]], axis=1)
    images = np.concatenate([shift, across]) @ np.linalg.inv(reference.cell.array)
    return (
        np.concatenate([centre, anion[first]]), np.concatenate([anion, anion[second]]), np.rint(images),
        np.concatenate([length, span]), np.concatenate([np.ones(len(length)), np.full(len(span), ANGLE_WEIGHT)]),
    )
