"""From the description of a system to an ordered, periodic cell.

A name stands for, in this order: an entry of the library, a file, a composition. Partial occupancies of entries and
CIF files are ordered by their Ewald energy; the mixed sites of a solid solution are filled at random (the crystal is
quenched), its lithium by the Ewald energy.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from ops.errors import InputError
from ops.seeds import derive_seed
from ops.structures.argyrodite import disordered_argyrodite, is_argyrodite, ordered_argyrodite
from ops.structures.check import check_cell
from ops.structures.disorder import DisorderedCell, from_cif, from_entry
from ops.structures.library import Entry, cell_from_entry, load_entry
from ops.structures.order import order_cells
from ops.structures.read import PartialOccupancyError, file_format, read_structure
from ops.structures.settings import SystemSettings
from ops.structures.solution import Solution, find_solution
from ops.structures.supercell import near_cubic

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
    own_seed = derive_seed(seed, "build", system.name)
    return _finished(_build(system, _source(system, base_dir), own_seed), system, own_seed)


def build_ensemble(
    system: SystemSettings, base_dir: Path, seed: int, count: int, size: tuple[int, int] | None = None
) -> list[Atoms]:
    """Return several cells of one system: its distinct arrangements, best first, as far as there are any.

    Parameters
    ----------
    system, base_dir, seed
        As for :func:`build_cell`.
    count : int
        Cells wanted; an ordered structure gives one.
    size : tuple of int, optional
        Smallest and largest number of atoms: a near-cubic supercell takes the place of ``system.supercell``.
    """
    own_seed = derive_seed(seed, "build", system.name)
    source = _source(system, base_dir)
    parent = _disordered(source)
    if isinstance(source, Entry) and is_argyrodite(source):
        if size is not None:
            system = system.model_copy(update={"supercell": _cubic_repeat(*size)})
        cells = [_build(system, source, derive_seed(own_seed, k) if k else own_seed) for k in range(count)]
        cells = [one for k, one in enumerate(cells) if not any(_same_cell(one, other) for other in cells[:k])]
    elif parent is None:
        cells = [_build(system, source, own_seed)]
        if size is not None:
            cells = [_resized(cells[0], size)]
    else:
        matrix = np.diag(system.supercell)
        if size is not None:
            matrix = near_cubic(parent.cell, sum(parent.amounts().values()), *size)
        cells = order_cells(parent, matrix, count, own_seed, random=isinstance(source, Solution))
    return [_finished(cell, system, own_seed) for cell in cells]


def _build(system: SystemSettings, source: Entry | Path | Solution, seed: int) -> Atoms:
    parent = _disordered(source)
    if isinstance(source, Entry) and is_argyrodite(source):
        return _argyrodite(source, system, seed)
    if system.site_disorder is not None and not isinstance(source, Solution):
        kind = "a file" if isinstance(source, Path) else source.name
        raise InputError(f"{system.name}: site_disorder needs an argyrodite (Li6PS5Cl, Li6PS5Br, Li6PS5I), not {kind}")
    if parent is not None:
        matrix = np.diag(system.supercell)
        return order_cells(parent, matrix, 1, seed, random=isinstance(source, Solution))[0]
    atoms = read_structure(source) if isinstance(source, Path) else cell_from_entry(cast("Entry", source))
    return atoms.repeat(system.supercell)


def _disordered(source: Entry | Path | Solution) -> DisorderedCell | None:
    """Return the partly occupied cell that must be ordered, or None where the source is ordered."""
    if isinstance(source, Solution):
        return source.parent
    if isinstance(source, Entry):
        return None if source.ordered or is_argyrodite(source) else from_entry(source)
    try:
        read_structure(source)
    except PartialOccupancyError:
        return from_cif(source)
    return None


def _resized(atoms: Atoms, size: tuple[int, int]) -> Atoms:
    from ase.build import make_supercell

    large = make_supercell(atoms, near_cubic(atoms.cell.array, len(atoms), *size), wrap=True)
    large.info = dict(atoms.info)
    return large


def _same_cell(first: Atoms, second: Atoms) -> bool:
    return np.array_equal(first.numbers, second.numbers) and np.array_equal(first.positions, second.positions)


def _cubic_repeat(smallest: int, largest: int) -> tuple[int, int, int]:
    """Return the most even repetition of the 52-atom argyrodite cell with a number of atoms in the range."""
    most = max(1, largest // 52)
    options = [
        (c / a, (c, b, a)) for a in range(1, most + 1) for b in range(a, most + 1) for c in range(b, most + 1)
        if smallest <= 52 * a * b * c <= largest
    ]
    if not options:
        raise InputError(f"no repetition of the 52-atom argyrodite cell has {smallest} to {largest} atoms")
    return min(options)[1]


def _finished(atoms: Atoms, system: SystemSettings, seed: int) -> Atoms:
    """Return the cell, checked, with its provenance."""
    problems = check_cell(atoms)
    if problems:
        raise InputError(f"{system.name}: " + "; ".join(problems))
    atoms.info.update(
        system=system.name, composition=atoms.get_chemical_formula("hill"), seed=seed,
        supercell="x".join(map(str, system.supercell)),
    )
    return atoms


def write_cells(systems: list[SystemSettings], base_dir: Path, seed: int, path: Path) -> None:
    """Build the cell of every system and write them, one frame each, as extxyz."""
    from ops.structures.extxyz import write_frames

    write_frames(path, [build_cell(system, base_dir, seed) for system in systems])


def _source(system: SystemSettings, base_dir: Path) -> Entry | Path | Solution:
    """Return the library entry, file or solid solution that a name stands for."""
    structure = system.structure
    try:
        return load_entry(structure)
    except InputError as unknown:
        path = Path(structure).expanduser()
        path = path if path.is_absolute() else base_dir / path
        if path.is_file() or file_format(path) is not None or "/" in structure:
            return path
        try:
            return find_solution(structure, system.site_disorder)
        except InputError as error:
            raise InputError(f"{unknown}; nor is it a structure file; as a composition: {error}") from error


def _argyrodite(entry: Entry, system: SystemSettings, seed: int) -> Atoms:
    if system.site_disorder is None and not entry.name.endswith("_disordered"):
        return ordered_argyrodite(entry.system).repeat(system.supercell)
    return disordered_argyrodite(
        entry.system, system.site_disorder, system.supercell, np.random.default_rng(seed)
    )
