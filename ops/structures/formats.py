"""Readers of CP2K inputs and LAMMPS data files; the other formats are left to ASE."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

BOHR_A = 0.529177210903
_LENGTHS = {"ANGSTROM": 1.0, "BOHR": BOHR_A, "NM": 10.0, "PM": 0.01}
_SECTIONS = re.compile(r"^\s*&(\w+)(.*)$")


def read_cp2k(path: Path) -> list[Atoms]:
    """Return the structure of a CP2K input or restart file.

    The sections CELL (A, B, C or ABC and ALPHA_BETA_GAMMA, with units) and COORD (SCALED, UNIT) of SUBSYS are read,
    and SUBSYS/TOPOLOGY/COORD_FILE_NAME with an xyz file next to the input. ASE's own reader is for restart files only.

    Raises
    ------
    ValueError
        A section or number is missing or malformed.
    """
    from ase import Atoms
    from ase.geometry.cell import cellpar_to_cell

    sections = _sections(path)
    cell_lines = {line[0].upper(): line[1:] for line in sections.get("CELL", []) if line}
    if {"A", "B", "C"} <= set(cell_lines):
        cell = np.array([_with_unit(cell_lines[key]) for key in "ABC"])
    elif "ABC" in cell_lines:
        angles = [float(word) for word in cell_lines.get("ALPHA_BETA_GAMMA", ["90", "90", "90"]) if word[0] != "["]
        cell = np.asarray(cellpar_to_cell([*_with_unit(cell_lines["ABC"]), *angles]))
    else:
        raise ValueError("no CELL section with A, B, C or ABC")
    if cell_lines.get("PERIODIC", ["XYZ"])[0].upper() != "XYZ":
        raise ValueError("PERIODIC in CELL is not XYZ")
    kinds = _kinds(path)
    symbols, positions = _coordinates(path, sections, kinds)
    scaled = any(line and line[0].upper() == "SCALED" and (line[1:2] or ["T"])[0].upper() in ("T", ".TRUE.", "TRUE")
                 for line in sections.get("COORD", []))
    if scaled:
        return [Atoms(symbols, scaled_positions=positions, cell=cell, pbc=True)]
    return [Atoms(symbols, positions=positions, cell=cell, pbc=True)]


def read_lammps_data(path: Path) -> list[Atoms]:
    """Return the structure of a LAMMPS data file (metal units); elements follow from its masses or type labels.

    Raises
    ------
    ValueError
        Neither is given (ASE would take type 1 for hydrogen), or a mass does not match any element.
    """
    from ase.data import atomic_masses
    from ase.io import read

    text = path.read_text(encoding="utf-8", errors="replace")
    masses = re.search(r"^\s*Masses.*?\n\s*\n((?:\s*\d+\s+\S+.*\n?)+)", text, re.MULTILINE)
    labels = "Atom Type Labels" in text
    if masses is None and not labels:
        raise ValueError("no Masses section, so the elements of the atom types are unknown")
    for line in masses[1].strip().splitlines() if masses and not labels else []:
        mass = float(line.split()[1])
        if np.abs(atomic_masses[1:] - mass).min() > 0.3:
            raise ValueError(f"no element has the mass {mass:g}")
    try:
        return list(read(path, index=":", format="lammps-data", units="metal", read_image_flags=False))
    except ValueError as error:
        if "atom_style" in str(error):
            raise ValueError("the atom style is not given: add it after `Atoms`, e.g. `Atoms # charge`") from error
        raise


def _coordinates(
    path: Path, sections: dict[str, list[list[str]]], kinds: dict[str, str]
) -> tuple[list[str], np.ndarray]:
    """Return elements and positions (Angstrom, or fractional) of the COORD section or of the xyz file it names."""
    lines = [line for line in sections.get("COORD", []) if line and line[0].upper() not in ("SCALED", "UNIT")]
    units = [line[1].upper() for line in sections.get("COORD", []) if line[:1] == ["UNIT"] and line[1:]]
    if not lines:
        named = next((line[1] for line in sections.get("TOPOLOGY", []) if line[0].upper() == "COORD_FILE_NAME"), None)
        if named is None:
            raise ValueError("no COORD section")
        file = path.parent / Path(named).name
        if not file.is_file():
            raise ValueError(f"no COORD section, and {file.name} is not next to the file")
        lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines()[2:] if line.strip()]
    symbols = [kinds.get(line[0].upper(), re.sub(r"[^A-Za-z].*$", "", line[0])) for line in lines]
    positions = np.array([[float(word) for word in line[1:4]] for line in lines])
    return symbols, positions * _LENGTHS[units[0].strip("[]") if units else "ANGSTROM"]


def _kinds(path: Path) -> dict[str, str]:
    """Return the element of every KIND that names one."""
    found: dict[str, str] = {}
    kind = None
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if words and words[0].upper() == "&KIND" and words[1:]:
            kind = words[1].upper()
        elif words and words[0].upper() == "&END":
            kind = None
        elif kind and words and words[0].upper() == "ELEMENT" and words[1:]:
            found[kind] = words[1]
    return found


def _sections(path: Path) -> dict[str, list[list[str]]]:
    """Return the words of the lines of CELL, COORD and TOPOLOGY, comments removed."""
    found: dict[str, list[list[str]]] = {}
    stack: list[str] = []
    for raw in path.read_text(encoding="utf-8", errors="replace").splitlines():
        line = re.split(r"[#!]", raw, maxsplit=1)[0].strip()
        section = _SECTIONS.match(line)
        if section and section[1].upper() == "END":
            stack = stack[:-1]
        elif section:
            stack.append(section[1].upper())
            if stack[-1] == "COORD" and stack[-1] in found:
                raise ValueError("several COORD sections; only one structure is supported")
            if stack[-1] in ("CELL", "COORD", "TOPOLOGY"):
                found.setdefault(stack[-1], [])
        elif stack and stack[-1] in ("CELL", "COORD", "TOPOLOGY") and line:
            found[stack[-1]].append(line.split())
    return found


def _with_unit(words: list[str]) -> list[float]:
    """Return three numbers in Angstrom; CP2K writes their unit as [bohr] before or after the keyword."""
    unit = next((word.strip("[]").upper() for word in words if word.startswith("[")), "ANGSTROM")
    numbers = [float(word) * _LENGTHS[unit] for word in words if not word.startswith("[")]
    if len(numbers) != 3:
        raise ValueError("a lattice vector needs three numbers")
    return numbers
