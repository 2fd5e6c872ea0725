"""Plausibility checks of a cell, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.errors import outside_type_map
from dpa_sse.ops.structures.neighbour_list import neighbour_pairs

if TYPE_CHECKING:
    from ase import Atoms

ON_TOP_A = 0.5
THINNEST_A = 1.0
BOND_FRACTION = 0.6  # of the sum of the covalent radii


def check_cell(atoms: Atoms, type_map: Sequence[str] | None = None) -> list[str]:
    """Return the problems of a cell, one sentence each; none if it is plausible.

    Parameters
    ----------
    atoms : Atoms
        The cell.
    type_map : sequence of str, optional
        Elements of the project.
    """
    if len(atoms) == 0:
        return ["the structure has no atoms"]
    problems = []
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell.array).all():
        return ["positions or cell contain NaN or infinite numbers"]
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        directions = " ".join("T" if one else "F" for one in atoms.pbc)
        needed = "three lattice vectors are needed" if atoms.cell.rank < 3 else f"pbc is {directions}, not T T T"
        return [f"not a periodic cell: {needed}"]
    missing = sorted(set(atoms.get_chemical_symbols()) - set(type_map)) if type_map is not None else []
    if missing:
        problems.append(outside_type_map(missing, type_map or []))
    if "X" in missing or 0 in atoms.numbers:
        problems.append("unknown element (X): the file does not name every atom")
    volume = atoms.get_volume() / len(atoms)
    if not 2.0 <= volume <= 500.0:
        problems.append(f"{volume:.3g} cubic Angstrom per atom: the lattice is not in Angstrom, or atoms are missing")
        return problems
    height = float((1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)).min())
    if height < THINNEST_A:
        problems.append(f"the cell is only {height:.2g} Angstrom thick: two lattice vectors are almost parallel")
        return problems
    return problems + close_pairs(atoms)


def close_pairs(atoms: Atoms) -> list[str]:
    """Return a sentence on the shortest contact if it is much shorter than a bond."""
    from ase.data import covalent_radii

    radii = covalent_radii[atoms.numbers]
    i, j, _, distance = neighbour_pairs(atoms, max(ON_TOP_A, 2 * BOND_FRACTION * float(radii.max())))
    if not len(distance):
        return []
    ratio = distance / (radii[i] + radii[j])
    worst = int(np.argmin(ratio))
    pair = f"atoms {i[worst]} ({atoms.symbols[i[worst]]}) and {j[worst]} ({atoms.symbols[j[worst]]})"
    if distance.min() < ON_TOP_A:
        worst = int(np.argmin(distance))
        pair = f"atoms {i[worst]} ({atoms.symbols[i[worst]]}) and {j[worst]} ({atoms.symbols[j[worst]]})"
        return [f"atoms on top of each other: {pair} are {distance[worst]:.2f} Angstrom apart"]
    if ratio[worst] < BOND_FRACTION:
        return [f"{pair} are only {distance[worst]:.2f} Angstrom apart"]
    return []
