"""Reader of CP2K inputs and restart files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.structures.elements import element_of_label, element_of_type
from dpa_sse.ops.structures.formats import plain_text

if TYPE_CHECKING:
    from ase import Atoms

BOHR_A = 0.529177210903
_LENGTHS = {"ANGSTROM": 1.0, "BOHR": BOHR_A, "NM": 10.0, "PM": 0.01}
_SECTIONS = re.compile(r"^\s*&(\w+)(.*)$")
READ = ("CELL", "COORD", "TOPOLOGY")
DEEPEST = 10  # files that include files


def read_cp2k(path: Path, notes: list[str]) -> list[Atoms]:
    """Return the structure of a CP2K input or restart file.

    The sections CELL (A, B, C or ABC and ALPHA_BETA_GAMMA, with units) and COORD (SCALED, UNIT) of SUBSYS are read,
    and SUBSYS/TOPOLOGY/COORD_FILE_NAME with an xyz file next to the input; @SET and @INCLUDE are followed. ASE's own
    reader is for restart files only.

    Raises
    ------
    ValueError
        A section or number is missing or malformed.
    """
    from ase import Atoms
    from ase.geometry.cell import cellpar_to_cell

    lines = _lines(path)
    sections = _sections(lines)
    cell_lines = {line[0].upper(): line[1:] for line in sections.get("CELL", []) if line}
    for section in ("CELL", "TOPOLOGY"):
        for line in sections.get(section, []):
            if line[0].upper() == "MULTIPLE_UNIT_CELL" and line[1:] != ["1", "1", "1"]:
                raise ValueError(f"MULTIPLE_UNIT_CELL {' '.join(line[1:])} is not supported: write out the whole cell")
    if {"A", "B", "C"} <= set(cell_lines):
        cell = np.array([_with_unit(cell_lines[key]) for key in "ABC"])
    elif "ABC" in cell_lines:
        given = cell_lines.get("ALPHA_BETA_GAMMA", cell_lines.get("ANGLES", ["90", "90", "90"]))
        angles = [float(word) for word in given if word[0] != "["]
        cell = np.asarray(cellpar_to_cell([*_with_unit(cell_lines["ABC"]), *angles]))
    else:
        raise ValueError("no CELL section with A, B, C or ABC")
    if cell_lines.get("PERIODIC", ["XYZ"])[0].upper() != "XYZ":
        raise ValueError("PERIODIC in CELL is not XYZ")
    symbols, positions = _coordinates(path, sections, _kinds(lines), notes)
    scaled = any(line and line[0].upper() == "SCALED" and (line[1:2] or ["T"])[0].upper() in ("T", ".TRUE.", "TRUE")
                 for line in sections.get("COORD", []))
    if scaled:
        return [Atoms(symbols, scaled_positions=positions, cell=cell, pbc=True)]
    return [Atoms(symbols, positions=positions, cell=cell, pbc=True)]


def _lines(path: Path, known: dict[str, str] | None = None, depth: int = 0) -> list[str]:
    """Return the lines of an input without comments, with variables and included files put in."""
    variables = {} if known is None else known
    if depth > DEEPEST:
        raise ValueError(f"@INCLUDE of {path.name}: files include each other")
    result: list[str] = []
    for raw in plain_text(path).split("\n"):
        line = re.split(r"[#!]", raw, maxsplit=1)[0].strip()
        if "$" in line:
            line = re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda found: _value(variables, found[1] or found[2]), line)
        words = line.split(maxsplit=2)
        keyword = words[0].upper() if words else ""
        if keyword == "@SET" and len(words) > 1:
            variables[words[1].upper()] = words[2] if len(words) > 2 else ""
        elif keyword in ("@INCLUDE", "@XCTYPE") and len(words) > 1:
            file = path.parent / words[1].strip("'\"")
            if not file.is_file():
                raise ValueError(f"the included file {words[1]} is not there")
            result += _lines(file, variables, depth + 1)
        elif keyword.startswith("@"):
            raise ValueError(f"{keyword} is not supported: give a restart file, in which CP2K has carried it out")
        elif line:
            result.append(line)
    return result


def _value(variables: dict[str, str], name: str) -> str:
    if name.upper() not in variables:
        raise ValueError(f"the variable {name} is not set")
    return variables[name.upper()]


def _coordinates(
    path: Path, sections: dict[str, list[list[str]]], kinds: dict[str, str], notes: list[str]
) -> tuple[list[str], np.ndarray]:
    """Return elements and positions (Angstrom, or fractional) of the COORD section or of the xyz file it names."""
    keywords = ("SCALED", "UNIT")
    lines = [line for line in sections.get("COORD", []) if line[0].upper() not in keywords]
    units = [line[1].upper() for line in sections.get("COORD", []) if line[0].upper() == "UNIT" and line[1:]]
    if not lines:
        topology = {line[0].upper(): line[1] for line in sections.get("TOPOLOGY", []) if line[1:]}
        if "COORD_FILE_NAME" not in topology:
            raise ValueError("no COORD section")
        file = path.parent / Path(topology["COORD_FILE_NAME"]).name
        if not file.is_file():
            raise ValueError(f"no COORD section, and {file.name} is not next to the file")
        if topology.get("COORD_FILE_FORMAT", topology.get("COORDINATE", "XYZ")).upper() != "XYZ":
            raise ValueError(f"{file.name}: only COORD_FILE_FORMAT XYZ is supported")
        rows = plain_text(file).split("\n")
        if not rows[0].strip().isdigit():
            raise ValueError(f"{file.name}: the first line is not a number of atoms")
        lines = [line.split() for line in rows[2:] if line.strip()][: int(rows[0])]
        if len(lines) != int(rows[0]):
            raise ValueError(f"{file.name}: {len(lines)} positions for {int(rows[0])} atoms")
        notes.append(f"positions from {file.name}")
    unit = units[0].strip("[]") if units else "ANGSTROM"
    if unit not in _LENGTHS:
        raise ValueError(f"unknown unit of length {unit}")
    short = [line for line in lines if len(line) < 4]
    if short:
        raise ValueError(f"numbers are missing: {' '.join(short[0])!r} is not a name and three coordinates")
    symbols = [_element(line[0], kinds) for line in lines]
    positions = np.array([[float(word) for word in line[1:4]] for line in lines])
    return symbols, positions * _LENGTHS[unit]


def _element(name: str, kinds: dict[str, str]) -> str:
    """Return the element of a kind: of its KIND section, else of its name."""
    text = kinds.get(name.upper(), name)
    single = text.upper() if len(text) == 1 else text  # CP2K does not distinguish capital and small letters
    found = element_of_type(single) or element_of_label(text)
    if found is None:
        raise ValueError(f"unknown element {text!r}: give ELEMENT in its KIND section")
    return found


def _kinds(lines: list[str]) -> dict[str, str]:
    """Return the element of every KIND that names one."""
    found: dict[str, str] = {}
    kind = None
    for line in lines:
        words = line.split()
        if words[0].upper() == "&KIND" and words[1:]:
            kind = words[1].upper()
        elif words[0].upper().startswith("&"):
            kind = kind if not words[0].upper().startswith("&END") else None
        elif kind and words[0].upper() == "ELEMENT" and words[1:]:
            found[kind] = words[1]
    return found


def _sections(lines: list[str]) -> dict[str, list[list[str]]]:
    """Return the words of the lines of CELL, COORD and TOPOLOGY."""
    found: dict[str, list[list[str]]] = {}
    stack: list[str] = []
    for line in lines:
        section = _SECTIONS.match(line)
        if section and section[1].upper() == "END":
            stack = stack[:-1]
        elif section:
            stack.append(section[1].upper())
            if stack[-1] in ("COORD", "CELL") and stack[-1] in found:
                raise ValueError(f"several {stack[-1]} sections; only one structure is supported")
            if stack[-1] in READ:
                found.setdefault(stack[-1], [])
        elif stack and stack[-1] in READ:
            found[stack[-1]].append(line.split())
    return found


def _with_unit(words: list[str]) -> list[float]:
    """Return three numbers in Angstrom; CP2K writes their unit as [bohr] before or after the keyword."""
    unit = next((word.strip("[]").upper() for word in words if word.startswith("[")), "ANGSTROM")
    if unit not in _LENGTHS:
        raise ValueError(f"unknown unit of length {unit.lower()}")
    numbers = [float(word) * _LENGTHS[unit] for word in words if not word.startswith("[")]
    if len(numbers) != 3:
        raise ValueError("a lattice vector needs three numbers")
    return numbers
