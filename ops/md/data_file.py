"""Data files of LAMMPS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import write_text

if TYPE_CHECKING:
    from ase import Atoms


def atomic_masses(type_map: Sequence[str]) -> list[float]:
    """Return the standard atomic masses of the elements in ``type_map``, g/mol.

    Raises
    ------
    InputError
        A name is not a chemical element.
    """
    from ase.data import atomic_masses as masses
    from ase.data import atomic_numbers

    unknown = [element for element in type_map if element not in atomic_numbers or element == "X"]
    if unknown:
        raise InputError(f"type_map contains names that are not chemical elements: {', '.join(map(repr, unknown))}")
    return [float(masses[atomic_numbers[element]]) for element in type_map]


def write_lammps_data(
    path: Path, atoms: Atoms, type_map: Sequence[str], *, triclinic: bool = False
) -> np.ndarray:
    """Write a LAMMPS data file (metal units, atom_style atomic) and return the rotation.

    LAMMPS requires the first cell vector along x and the second in the xy plane, so the cell is rotated, and
    a strongly tilted cell is replaced by an equivalent one with small tilts.

    Parameters
    ----------
    path : Path
    atoms : ase.Atoms
        Periodic in three directions.
    type_map : sequence of str
        LAMMPS type ``i + 1`` is ``type_map[i]``, including elements that this cell does not contain.
    triclinic : bool
        Write the tilt factors of an orthogonal cell, too: its angles may then change.

    Returns
    -------
    ndarray, shape (3, 3)
        ``vectors @ rotation`` turns vectors of ``atoms`` (forces, positions) into those of LAMMPS.

    Raises
    ------
    InputError
        An element is not in ``type_map``, or the cell is not periodic in three directions or is empty.
    """
    from ase.calculators.lammps import Prism

    symbols = atoms.get_chemical_symbols()
    missing = sorted(set(symbols) - set(type_map))
    if missing:
        raise InputError(f"elements {missing} of the cell are not in type_map {list(type_map)}")
    if not all(atoms.pbc) or not len(atoms) or abs(atoms.get_volume()) < 1e-3:
        raise InputError("a LAMMPS cell must be periodic in three directions and contain atoms")
    prism = Prism(atoms.cell.array, pbc=True, reduce_cell=True)
    positions = prism.vector_to_lammps(atoms.positions, wrap=True)
    lx, ly, lz, *tilts = prism.get_lammps_prism()
    lines = ["cell of the dpa-sse pipeline", "", f"{len(atoms)} atoms", f"{len(type_map)} atom types", ""]
    lines += [f"0 {length:.17g} {axis}lo {axis}hi" for axis, length in zip("xyz", (lx, ly, lz), strict=True)]
    if prism.is_skewed() or triclinic:
        lines.append(" ".join(f"{tilt:.17g}" for tilt in tilts) + " xy xz yz")
    lines += ["", "Masses", ""]
    lines += [f"{index} {mass:.10g}" for index, mass in enumerate(atomic_masses(type_map), 1)]
    lines += ["", "Atoms # atomic", ""]
    types = {element: index for index, element in enumerate(type_map, 1)}
    for index, (symbol, (x, y, z)) in enumerate(zip(symbols, positions, strict=True), 1):
        lines.append(f"{index} {types[symbol]} {x:.17g} {y:.17g} {z:.17g}")
    write_text(path, "\n".join(lines) + "\n")
    return prism.rot_mat
