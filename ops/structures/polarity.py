"""Dipole moments of slabs by formal charges: a polar termination is unstable unless its surface changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.disorder import oxidation_states

if TYPE_CHECKING:
    from ase import Atoms

POLAR = 0.01  # e/Angstrom


def slab_dipole(slab: Atoms, crystal: Atoms) -> float | None:
    """Return the dipole moment of a slab along z for each area, e/Angstrom; None if the charges are not known.

    Parameters
    ----------
    slab : Atoms
        Not cut by the border of the cell; its normal is z.
    crystal : Atoms
        The crystal it is cut from, which gives the formal charges; those of a metal are 0.
    """
    symbols = crystal.get_chemical_symbols()
    amounts = {element: float(symbols.count(element)) for element in set(symbols)}
    if len(amounts) == 1:
        return 0.0
    try:
        states = oxidation_states(amounts, "crystal")
    except InputError:
        return None
    charge = np.array([states[element] for element in slab.get_chemical_symbols()], float)
    if not len(charge) or abs(charge.sum()) > 1e-6:
        return None
    area = float(np.linalg.norm(np.cross(slab.cell.array[0], slab.cell.array[1])))
    return float(charge @ slab.positions[:, 2]) / area


def dipoles(atoms: Atoms, crystals: Sequence[Atoms]) -> list[float | None]:
    """Return the dipole moment of every part of a slab or interface, e/Angstrom."""
    part = atoms.arrays.get("part", np.zeros(len(atoms), int))
    return [slab_dipole(atoms[part == number], crystal) for number, crystal in enumerate(crystals)]


def polarity(atoms: Atoms, crystals: Sequence[Atoms]) -> float:
    """Return the sum of the sizes of the dipole moments, rounded so that equal terminations compare equal."""
    return round(sum(abs(one) for one in dipoles(atoms, crystals) if one is not None), 3)
