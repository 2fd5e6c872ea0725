"""Mass density of a cell."""

from __future__ import annotations

from collections.abc import Mapping

G_CM3 = 1.66053907
"""Gram per cubic centimetre of one atomic mass unit per cubic Angstrom."""


def density_g_cm3(amounts: Mapping[str, float], volume_A3: float) -> float:
    """Return the density of a cell with these numbers of atoms of each element."""
    from ase.data import atomic_masses, atomic_numbers

    mass = sum(number * float(atomic_masses[atomic_numbers[element]]) for element, number in amounts.items())
    return G_CM3 * mass / volume_A3
