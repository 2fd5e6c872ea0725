"""The elements of DCD and XTC files, from a structure file or a LAMMPS data file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from dpa_sse.ops.conductivity.readers.packed import open_text
from dpa_sse.ops.conductivity.readers.species import element_of, elements_of, is_element, map_types
from dpa_sse.ops.conductivity.settings import SourceOptions
from dpa_sse.ops.core.errors import InputError

_TYPE_COLUMN = {
    "atomic": 1, "charge": 1, "sphere": 1, "dipole": 1, "spin": 1, "full": 2, "molecular": 2, "bond": 2, "angle": 2,
}
_SECTION = re.compile(r"[A-Z][A-Za-z/]*(?: [A-Z][a-z]*)*\s*(?:#\s*(\S+))?\s*$")
_MASS_TOLERANCE = 0.1


def read_elements(path: Path, options: SourceOptions, n_atoms: int) -> tuple[list[str], np.ndarray | None]:
    """Return the element of each atom and the cell (None if unknown) of a DCD or XTC file.

    They come from the ``topology`` option, or from as many ``elements`` as there are atoms.

    Raises
    ------
    InputError
        There is no such option, the file cannot be read, or the number of atoms differs.
    """
    if options.topology is None:
        if options.elements and len(options.elements) == n_atoms:
            return map_types(range(1, n_atoms + 1), options, path), None
        raise InputError(
            f"{path}: the file has no elements; give a structure file with --topology, or {n_atoms} --elements, one "
            "for each atom"
        )
    topology = Path(options.topology)
    if not topology.is_file():
        raise InputError(f"--topology {topology}: no such file")
    data = _data_lines(topology)
    symbols, cell = (_from_data(topology, data, options), None) if data else _from_structure(topology)
    if len(symbols) != n_atoms:
        raise InputError(f"{path}: {n_atoms} atoms, but {len(symbols)} in {options.topology}")
    return symbols, cell


def _from_structure(topology: Path) -> tuple[list[str], np.ndarray]:
    """Return symbols and cell of a structure file that ASE reads."""
    from ase.io import read

    try:
        atoms = read(topology)
    except Exception as error:  # a foreign reader raises anything
        raise InputError(f"--topology {topology}: cannot be read as a structure ({error})") from error
    if isinstance(atoms, list):
        raise InputError(f"--topology {topology}: not a single structure")
    symbols = list(atoms.get_chemical_symbols())
    if "X" in symbols:
        raise InputError(f"--topology {topology}: atoms without an element")
    return symbols, np.array(atoms.cell)


def _data_lines(path: Path) -> list[str]:
    """Return the lines of a LAMMPS data file, none for another kind of file."""
    with open_text(path) as stream:
        head = [stream.readline() for _ in range(40)]
        if not any(re.match(r"\s*\d+\s+atoms\s*(#.*)?$", line) for line in head):
            return []
        return [*head, *stream]


def _from_data(path: Path, lines: list[str], options: SourceOptions) -> list[str]:
    """Return the element of each atom, by id, of a LAMMPS data file."""
    sections: dict[str, list[list[str]]] = {}
    style, name = "", ""
    for line in lines[1:]:
        match = _SECTION.match(line)
        if match:
            name = line.split("#")[0].strip()
            style = match[1] or "" if name == "Atoms" else style
            sections[name] = []
        elif name and line.split("#")[0].split():
            sections[name].append(line.split("#")[0].split())
    column = _TYPE_COLUMN.get(style)
    if column is None:
        raise InputError(f"--topology {path}: the style of its atoms is not in the file, as in `Atoms # atomic`")
    try:
        rows = sorted(sections["Atoms"], key=lambda row: int(row[0]))
        kinds = [row[column] for row in rows]
        labels = {row[0]: row[1] for row in sections.get("Atom Type Labels", [])}
        masses = {row[0]: float(row[1]) for row in sections.get("Masses", [])}
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(f"--topology {path}: damaged LAMMPS data file") from error
    if options.elements and all(kind.isdigit() for kind in kinds):
        return map_types([int(kind) for kind in kinds], options, path)
    known = {kind: _element(kind, labels, masses) for kind in set(kinds)}
    unclear = sorted(kind for kind, found in known.items() if found is None)
    if unclear:
        raise InputError(
            f"--topology {path}: the element of atom type {unclear[0]} is unclear; give the elements of the types "
            "with --elements, e.g. Li,P,S"
        )
    return elements_of([known[kind] or kind for kind in kinds], options, path, [])


def _element(kind: str, labels: dict[str, str], masses: dict[str, float]) -> str | None:
    """Return the element of a type by its label or its mass."""
    from ase.data import atomic_masses, chemical_symbols

    label = labels.get(kind, kind if not kind.isdigit() else "")
    mass = masses.get(kind, masses.get(label))
    name = element_of(label) if label else None
    if mass is None:
        return name
    near = [symbol for symbol, one in zip(chemical_symbols, atomic_masses, strict=False)
            if is_element(symbol) and abs(one - mass) < _MASS_TOLERANCE]
    by_mass = near[0] if len(near) == 1 else None
    return by_mass if name is None or name == by_mass or by_mass is None else None
