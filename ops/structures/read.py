"""Reader of a user's structure (CIF, POSCAR, extxyz, CP2K, LAMMPS data); an invalid one is refused with one line."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.check import check_cell
from dpa_sse.ops.structures.cif import CifCell, read_cif
from dpa_sse.ops.structures.cp2k import read_cp2k
from dpa_sse.ops.structures.formats import read_lammps_data, read_poscar

if TYPE_CHECKING:
    from ase import Atoms

FORMATS = {
    ".cif": "cif", ".mcif": "cif", ".vasp": "vasp", ".poscar": "vasp", ".extxyz": "extxyz", ".xyz": "extxyz",
    ".inp": "cp2k", ".restart": "cp2k", ".data": "lammps-data", ".lmp": "lammps-data", ".lammps": "lammps-data",
}

_PYTHON = re.compile("could not convert|invalid literal|inhomogeneous|unpack")
OWN_READERS = {"cp2k": read_cp2k, "lammps-data": read_lammps_data, "vasp": read_poscar}


class PartialOccupancyError(InputError):
    """The file has partly occupied sites; it must be ordered first."""


def file_format(path: Path) -> str | None:
    """Return the format by the file name; None if it is not supported."""
    if path.name.upper().startswith(("POSCAR", "CONTCAR")):
        return "vasp"
    return FORMATS.get(path.suffix.lower())


def read_structure(path: Path) -> Atoms:
    """Return the one periodic, ordered cell that a file holds.

    Constraints, velocities, calculators and labels of the file are dropped; left-handed lattice vectors are made
    right-handed by exchanging the first two.

    Raises
    ------
    InputError
        The file is missing, empty, unreadable, has several structures or no periodic cell, or atoms overlap.
    PartialOccupancyError
        Partly occupied sites.
    """
    from ase import Atoms

    kind = _checked_format(path)
    if kind == "cif":
        found = cif_cell(path)
        if found.partial:
            raise PartialOccupancyError(f"{path}: partly occupied sites ({found.partial})")
        symbols = [next(iter(shares)) for shares in found.shares]
        atoms = Atoms([symbols[k] for k in found.orbit], positions=found.positions, cell=found.cell, pbc=True)
        notes = found.notes
    else:
        several, notes = _read(path, kind)
        if len(several) != 1:
            raise InputError(f"{path}: holds {len(several)} structures; exactly one is needed")
        source = several[0]
        vectors = source.cell.array
        if np.linalg.det(vectors) < 0:
            vectors = vectors[[1, 0, 2]]  # the same crystal; VASP refuses left-handed lattice vectors
        atoms = Atoms(source.numbers, positions=source.positions, cell=vectors, pbc=source.pbc)
    problems = check_cell(atoms)
    if problems:
        raise InputError(f"{path}: " + "; ".join([*problems, *notes]))
    atoms.info["structure"] = path.name
    if notes:
        atoms.info["notes"] = "; ".join(notes)
    return atoms


def cif_cell(path: Path) -> CifCell:
    """Return the sites of a CIF, partly occupied or not.

    Raises
    ------
    InputError
        The file is missing, empty or not readable; the reason in one line.
    """
    _checked_format(path)
    try:
        return read_cif(path)
    except ValueError as error:
        reason = str(error)
        kind = "" if reason.startswith("holds") else "not readable as cif: "
        raise InputError(f"{path}: {kind}{reason}") from error


def _checked_format(path: Path) -> str:
    """Return the format of an existing file that is not empty."""
    kind = file_format(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if kind is None:
        known = ", ".join(sorted({*FORMATS, "POSCAR*", "CONTCAR*"}))
        raise InputError(f"{path}: unknown structure format (known: {known})")
    if not path.stat().st_size:
        raise InputError(f"{path}: the file is empty")
    return kind


def _read(path: Path, kind: str) -> tuple[list[Atoms], list[str]]:
    """Return the structures of a file and the notes of its reader, warnings of libraries among them."""
    from ase.io import read

    notes: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if kind in OWN_READERS:
                several = OWN_READERS[kind](path, notes)
            else:
                several = list(read(path, index=":", format=kind))
    except Exception as error:  # ASE's readers raise anything
        raise InputError(f"{path}: not readable as {kind}: {_reason(error, kind)}") from error
    notes += [str(one.message).splitlines()[0] for one in caught if issubclass(one.category, UserWarning)]
    return several, notes


def _reason(error: Exception, kind: str) -> str:
    lines = str(error).strip().splitlines()
    if isinstance(error, KeyError):
        return f"unknown element or missing field {error}"
    if not lines or isinstance(error, AssertionError):
        return "the content does not follow the format"
    if kind in OWN_READERS and isinstance(error, ValueError) and not _PYTHON.search(lines[0]):
        return lines[0]
    if isinstance(error, (ValueError, IndexError)):
        return f"numbers are missing or malformed ({lines[0]})"
    return lines[0]
