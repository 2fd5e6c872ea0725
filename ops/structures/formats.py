"""Readers of POSCAR and LAMMPS data files: elements are taken from where the format names them, or not at all."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.structures.elements import element_of_label, element_of_type

if TYPE_CHECKING:
    from ase import Atoms

MASS_TOLERANCE, ISOTOPE_TOLERANCE = 0.3, 1.5  # atomic mass units
CLEARLY_NEARER = 0.1  # than to the second nearest element: 58.8 may be nickel or cobalt
NOT_ANGSTROM = ("lj", "si", "cgs", "electron", "micro", "nano")


def plain_text(path: Path) -> str:
    """Return the text of a file without byte order mark, with line ends as on Unix."""
    raw = path.read_bytes()
    text = raw.decode("utf-16") if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else raw.decode("utf-8-sig", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_poscar(path: Path, notes: list[str]) -> list[Atoms]:
    """Return the structure of a POSCAR; its elements are those of line 6, of a POTCAR beside it, or of line 1.

    Raises
    ------
    ValueError
        Elements are not named, names and counts or counts and positions differ, or numbers are malformed.
    """
    from ase.io.vasp import read_vasp

    lines = plain_text(path).split("\n")
    if len(lines) < 7:
        raise ValueError("the file ends before its first atom")
    named = not _integers(lines[5])
    counts = _integers(re.split("[!#]", lines[6 if named else 5])[0])
    if not counts or min(counts) < 0 or not sum(counts):
        number = 7 if named else 6
        raise ValueError(f"line {number} is not a list of numbers of atoms: {lines[number - 1].strip()!r}")
    words = re.split("[!#]", lines[5])[0].split() if named else _names_elsewhere(path, lines[0], len(counts), notes)
    if len(words) != len(counts):
        raise ValueError(f"{len(words)} element names for {len(counts)} numbers of atoms")
    elements = [re.split("[_/.]", word)[0] for word in words]  # Li_sv, and Na_pv/6a2f546d of VASP with HDF5
    unknown = [element for element in elements if element_of_type(element) != element]
    if unknown:
        meant = {symbol for element in unknown if (symbol := element_of_type(element))}
        hint = f" (write {' '.join(sorted(meant))})" if meant else ""
        raise ValueError(f"{', '.join(unknown)} in line 6 is not an element symbol{hint}")
    rest = lines[7 if named else 6 :]
    selective = rest[:1] != [] and rest[0].strip()[:1].lower() == "s"
    rows = rest[2 if selective else 1 :][: sum(counts)]
    found = next((k for k, row in enumerate(rows) if len(row.split()) < 3), len(rows))
    if found < sum(counts):
        raise ValueError(f"numbers are missing: {found} positions for {sum(counts)} atoms")
    if not rest[1 if selective else 0].strip():
        raise ValueError("the line Direct or Cartesian is empty")
    head = [lines[0], *lines[1:5], " ".join(map(str, elements)), " ".join(map(str, counts))]
    mode = rest[: 2 if selective else 1]
    return [read_vasp(io.StringIO("\n".join([*head, *mode, *rows]) + "\n"))]


def _integers(line: str) -> list[int]:
    """Return the integers of a line, none if it starts with anything else."""
    words = re.split("[!#]", line)[0].split()
    return [int(word) for word in words] if words and all(re.fullmatch(r"-?\d+", word) for word in words) else []


def _names_elsewhere(path: Path, comment: str, count: int, notes: list[str]) -> list[str]:
    """Return the elements of a POSCAR without a line of names (VASP 4)."""
    potcar = path.parent / "POTCAR"
    if potcar.is_file():
        titles = re.findall(r"TITEL\s*=\s*\S+\s+(\S+)", potcar.read_text(encoding="utf-8", errors="replace"))
        if len(titles) == count:
            notes.append("elements from POTCAR")
            return titles
    words = comment.split()
    if len(words) == count and all(element_of_type(word) == word for word in words):
        notes.append("elements from the first line, which holds nothing else")
        return words
    raise ValueError(
        "no line with element names (VASP 4), so the elements are unknown: add it above the numbers of atoms"
    )


def read_lammps_data(path: Path, notes: list[str]) -> list[Atoms]:
    """Return the structure of a LAMMPS data file (Angstrom); elements follow from its masses and type labels.

    Raises
    ------
    ValueError
        Neither names the elements, they contradict each other, or the file is malformed.
    """
    from ase.io.lammpsdata import read_lammps_data as read

    text = plain_text(path)
    units = re.search(r"units\s*=\s*(\w+)", text.split("\n", 1)[0])
    if units and units[1] in NOT_ANGSTROM:
        raise ValueError(f"units {units[1]}: lengths are not in Angstrom; convert the file to metal or real units")
    numbers = _numbers_of_types(text)
    bare = re.sub(r"^[ \t]*Masses.*\n\s*\n(?:[ \t]*\S.*\n?)+", "", text, flags=re.MULTILINE)
    try:
        return [read(io.StringIO(bare), Z_of_type=numbers, units="metal", read_image_flags=False)]
    except KeyError as error:
        raise ValueError(f"atom type {error} has no mass and no label") from error
    except UnboundLocalError as error:
        raise ValueError("no Atoms section") from error
    except (ValueError, RuntimeError) as error:
        if "atom_style" in str(error):
            raise ValueError("the atom style is not given: add it after `Atoms`, e.g. `Atoms # charge`") from error
        raise


def _section(text: str, name: str) -> list[list[str]]:
    """Return the words of the rows of a section; what follows # is the last word."""
    found = re.search(rf"^[ \t]*{name}[ \t]*(?:#.*)?\n\s*\n((?:[ \t]*\S.*\n?)+)", text, re.MULTILINE)
    rows = []
    for line in found[1].splitlines() if found else []:
        own, _, comment = line.partition("#")
        rows.append([*own.split(), *comment.split()[:1]])
    return [row for row in rows if len(row) >= 2]


def _second_distance(mass: float) -> float:
    """Return how far a mass is from that of the second nearest element."""
    from ase.data import atomic_masses

    return float(np.sort(np.abs(atomic_masses[1:] - mass))[1])


def _numbers_of_types(text: str) -> dict[int, int]:
    """Return the atomic number of every atom type."""
    from ase.data import atomic_masses, atomic_numbers

    labels = {row[1]: int(row[0]) for row in _section(text, r"Atom\s+Type\s+Labels") if row[0].isdigit()}
    named: dict[int, tuple[str, str]] = {}
    for label, kind in labels.items():
        if element := element_of_type(label):
            named[kind] = label, element
    masses = _section(text, "Masses")
    if not masses and not labels:
        raise ValueError("no Masses section, so the elements of the atom types are unknown")
    if not masses and len(named) < len(labels):
        unknown = ", ".join(label for label, kind in labels.items() if kind not in named)
        raise ValueError(f"no Masses section, and the type labels {unknown} are not element symbols")
    numbers = {kind: atomic_numbers[element] for kind, (_, element) in named.items()}
    for row in masses:
        kind = labels.get(row[0], int(row[0]) if row[0].isdigit() else -1)
        if kind < 0:
            raise ValueError(f"the mass of {row[0]!r} belongs to no atom type")
        mass = float(row[1])
        comment = (element_of_type(row[2]) or element_of_label(row[2])) if len(row) > 2 else None
        stated = named[kind][1] if kind in named else comment
        own = float(atomic_masses[atomic_numbers[stated]]) if stated else np.inf
        nearest = int(np.argmin(np.abs(atomic_masses[1:] - mass))) + 1
        if abs(own - mass) <= ISOTOPE_TOLERANCE and stated:
            nearest = atomic_numbers[stated]
        elif not abs(atomic_masses[nearest] - mass) <= MASS_TOLERANCE:
            raise ValueError(f"no element has the mass {mass:g}")
        elif not stated and _second_distance(mass) < abs(atomic_masses[nearest] - mass) + CLEARLY_NEARER:
            raise ValueError(f"the mass {mass:g} is that of several elements: name the types (Atom Type Labels)")
        elif stated:
            raise ValueError(f"atom type {kind} is named {stated}, but has the mass {mass:g} ({stated}: {own:.4g})")
        numbers[kind] = nearest
    return numbers
