"""From the description of a system to an ordered, periodic cell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ops.errors import InputError
from ops.seeds import derive_seed
from ops.structures.argyrodite import disordered_argyrodite, is_argyrodite, ordered_argyrodite
from ops.structures.library import Entry, cell_from_entry, load_entry
from ops.structures.read import file_format, read_structure
from ops.structures.settings import SystemSettings

if TYPE_CHECKING:
    from ase import Atoms


def build_cell(system: SystemSettings, base_dir: Path, seed: int) -> Atoms:
    """Return the cell of a system.

    Parameters
    ----------
    system : SystemSettings
        Library name or file, supercell, anion disorder of argyrodites.
    base_dir : Path
        Relative file names start here (the folder of the configuration file).
    seed : int
        Seed of the project; used where sites are drawn.

    Returns
    -------
    Atoms
        ``info``: system, structure, lattice, composition, supercell, seed; for argyrodites site_disorder.

    Raises
    ------
    InputError
        Unknown name, unsound file, or a request that the structure can not meet.
    """
    source = _source(system.structure, base_dir)
    own_seed = derive_seed(seed, "build", system.name)
    if isinstance(source, Path):
        if system.site_disorder is not None:
            raise InputError(f"{system.name}: site_disorder works with the argyrodites of the library, not with a file")
        atoms = read_structure(source).repeat(system.supercell)
    elif is_argyrodite(source):
        atoms = _argyrodite(source, system, own_seed)
    elif system.site_disorder is not None:
        raise InputError(f"{system.name}: site_disorder needs an argyrodite (Li6PS5Cl, Li6PS5Br, Li6PS5I)")
    else:
        atoms = cell_from_entry(source).repeat(system.supercell)
    atoms.info.update(
        system=system.name, composition=atoms.get_chemical_formula("hill"), seed=own_seed,
        supercell="x".join(map(str, system.supercell)),
    )
    return atoms


def write_cells(systems: list[SystemSettings], base_dir: Path, seed: int, path: Path) -> None:
    """Build the cell of every system and write them, one frame each, as extxyz."""
    from ops.structures.extxyz import write_frames

    write_frames(path, [build_cell(system, base_dir, seed) for system in systems])


def _source(structure: str, base_dir: Path) -> Entry | Path:
    """Return the library entry or the file that a name stands for; the library comes first."""
    try:
        return load_entry(structure)
    except InputError as unknown:
        path = Path(structure).expanduser()
        path = path if path.is_absolute() else base_dir / path
        if path.is_file() or file_format(path) is not None or "/" in structure:
            return path
        raise InputError(f"{unknown}; nor is it a structure file") from unknown


def _argyrodite(entry: Entry, system: SystemSettings, seed: int) -> Atoms:
    if system.site_disorder is None and not entry.name.endswith("_disordered"):
        return ordered_argyrodite(entry.system).repeat(system.supercell)
    return disordered_argyrodite(
        entry.system, system.site_disorder, system.supercell, np.random.default_rng(seed)
    )
