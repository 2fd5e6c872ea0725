"""Reader of a user's structure (CIF, POSCAR, extxyz, CP2K, LAMMPS data); an invalid one is refused with one line."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.check import check_cell
from dpa_sse.ops.structures.formats import read_cp2k, read_lammps_data

if TYPE_CHECKING:
    from ase import Atoms

FORMATS = {
    ".cif": "cif", ".vasp": "vasp", ".poscar": "vasp", ".extxyz": "extxyz", ".xyz": "extxyz", ".inp": "cp2k",
    ".restart": "cp2k", ".data": "lammps-data", ".lmp": "lammps-data", ".lammps": "lammps-data",
}

MOST_OCCUPIED = 1.01  # sums of rounded occupancies are a little above 1
_PYTHON = re.compile("could not convert|invalid literal|inhomogeneous|unpack")
OWN_READERS = {"cp2k": read_cp2k, "lammps-data": read_lammps_data}


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

    kind = file_format(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if kind is None:
        known = ", ".join(sorted({*FORMATS, "POSCAR*", "CONTCAR*"}))
        raise InputError(f"{path}: unknown structure format (known: {known})")
    if not path.stat().st_size:
        raise InputError(f"{path}: the file is empty")
    found = _read(path, kind)
    if len(found) != 1:
        raise InputError(f"{path}: holds {len(found)} structures; exactly one is needed")
    partial = partial_occupancies(found[0])
    if partial:
        _check_occupancies(path, found[0])
        raise PartialOccupancyError(f"{path}: partly occupied sites ({partial})")
    source = found[0]
    vectors = source.cell.array
    if np.linalg.det(vectors) < 0:
        vectors = vectors[[1, 0, 2]]  # the same crystal; VASP refuses left-handed lattice vectors
    atoms = Atoms(source.numbers, positions=source.positions, cell=vectors, pbc=source.pbc)
    problems = check_cell(atoms)
    if problems:
        raise InputError(f"{path}: " + "; ".join(problems))
    atoms.info["structure"] = path.name
    return atoms


def partial_occupancies(atoms: Atoms) -> str:
    """Return a short text on the partly occupied sites that ASE found in a CIF; empty if there are none."""
    occupancy: dict[Any, dict[str, float]] = atoms.info.get("occupancy", {})
    found = {
        " + ".join(f"{element} {share:.3g}" for element, share in sorted(site.items()))
        for site in occupancy.values()
        if len(site) > 1 or any(abs(share - 1.0) > 1e-3 for share in site.values())
    }
    return ", ".join(sorted(found))


def _check_occupancies(path: Path, atoms: Atoms) -> None:
    """Refuse impossible occupancies: below 0, or more than 1 on one site."""
    for site in atoms.info["occupancy"].values():
        if min(site.values()) < 0 or sum(site.values()) > MOST_OCCUPIED:
            listed = " + ".join(f"{element} {share:.3g}" for element, share in site.items())
            raise InputError(f"{path}: the occupancies of a site must add up to between 0 and 1, found {listed}")


def _read(path: Path, kind: str) -> list[Atoms]:
    from ase.io import read

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if kind in OWN_READERS:
                return OWN_READERS[kind](path)
            return list(read(path, index=":", format=kind))
    except Exception as error:  # ASE's readers raise anything
        raise InputError(f"{path}: not readable as {kind}: {_reason(error, kind)}") from error


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
