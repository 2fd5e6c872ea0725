"""Rounding that makes cells the same text on every machine.

The last bits of a matrix product, a cube root or an inverse depend on the processor (its vector instructions and linear
algebra library). Numbers rounded to 1e-8 Angstrom do not, and no physics is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

DECIMALS = 8  # of Angstrom


def round_cell(atoms: Atoms) -> Atoms:
    """Round positions and lattice vectors of a cell to 1e-8 Angstrom, in place; return it."""
    atoms.set_cell(np.round(atoms.cell.array, DECIMALS) + 0.0)  # + 0.0: no negative zeros
    atoms.positions = np.round(atoms.positions, DECIMALS) + 0.0
    return atoms
