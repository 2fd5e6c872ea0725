"""Build the ordered, periodic cell of a system.

A name is looked up as an entry of the library, then as a file, then as a composition. Partial occupancies of entries
and CIF files are ordered by their Ewald energy; in a solid solution the mixed sites are filled at random (the crystal
is quenched), and lithium by the Ewald energy.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.structures.argyrodite import COLDEST_EV, disordered_argyrodite, is_argyrodite, ordered_argyrodite
from dpa_sse.ops.structures.check import check_cell
from dpa_sse.ops.structures.composition import MOBILE
from dpa_sse.ops.structures.disorder import DisorderedCell, from_cif, from_entry
from dpa_sse.ops.structures.library import Entry, cell_from_entry, load_entry
from dpa_sse.ops.structures.neighbour_list import neighbour_pairs
from dpa_sse.ops.structures.order import order_cells
from dpa_sse.ops.structures.rank import rank_by_ewald
from dpa_sse.ops.structures.read import PartialOccupancyError, file_format, read_structure
from dpa_sse.ops.structures.rounding import round_cell
from dpa_sse.ops.structures.series import base_name
from dpa_sse.ops.structures.settings import SystemSettings
from dpa_sse.ops.structures.solution import Solution, find_solution
from dpa_sse.ops.structures.supercell import near_cubic, wide_enough

if TYPE_CHECKING:
    from ase import Atoms

WARMEST_EV = 1.0
FAR_A = 9.0  # pairs of shared sites of one kind in an argyrodite are 7.1 A apart
POOL = 6
"""Cells among which each other arrangement of the framework is looked for."""
MOST_ATOMS = 100_000
OPERATIONS = {
    "read": "cell", "all": "ordering of lowest Ewald energy", "search": "ordering of low Ewald energy",
    "random": "random mixing", "sqs": "quasi-random mixing", "exchange": "site exchange",
}


def build_cell(system: SystemSettings, base_dir: Path, seed: int) -> Atoms:
    """Return the cell of a system.

    Parameters
    ----------
    system : SystemSettings
        Library name, file or composition, supercell, anion disorder of argyrodites.
    base_dir : Path
        Folder of the configuration file, to which file names are relative.
    seed : int
        Seed of the project, for sites that are drawn at random.

    Returns
    -------
    Atoms
        ``info``: system, structure and parent (the entry or file), operation (what was done to it), seed,
        composition, supercell, lattice; for argyrodites site_disorder.

    Raises
    ------
    InputError
        Unknown name, invalid file, or a request that the structure cannot meet.
    """
    arrangement = system.arrangement or 0
    ensemble = build_ensemble(system, base_dir, seed, max(system.count, arrangement + 1))
    if arrangement >= len(ensemble):
        raise InputError(
            f"{system.name}: only {len(ensemble)} of {system.count} distinct arrangements were found: use a larger "
            "supercell or a smaller count"
        )
    return ensemble[arrangement]


def build_arrangements(system: SystemSettings, base_dir: Path, seed: int, wanted: int) -> list[Atoms]:
    """Return the cell of a system and up to ``wanted - 1`` other arrangements of its atoms, best first.

    The first one is that of :func:`build_cell`. The others differ in the sites of the framework where it is disordered,
    not only in those of the lithium, which moves anyway. An ordered structure has a single one, and so has a system
    that is itself one of several arrangements (``count``).
    """
    cell = build_cell(system, base_dir, seed)
    if wanted == 1 or system.arrangement is not None:
        return [cell]
    pool = build_ensemble(system, base_dir, seed, POOL * wanted)
    kept = [cell]
    for without in (MOBILE, None):  # lithium alone counts only where the framework has too few arrangements
        for other in pool:
            alike = (_same_arrangement(_framework(other, without), _framework(one, without)) for one in kept)
            if len(kept) < wanted and not any(alike):
                kept.append(other)
    return kept


def count_arrangements(system: SystemSettings, base_dir: Path, seed: int, wanted: int) -> int:
    """Return how many cells :func:`build_arrangements` returns; where there are enough, a short search shows it."""
    if wanted == 1 or system.arrangement is not None:
        return 1
    if len(build_ensemble(system, base_dir, seed, wanted)) == wanted:
        return wanted
    return len(build_arrangements(system, base_dir, seed, wanted))


def _same_arrangement(first: Atoms, second: Atoms) -> bool:
    """Return whether two cells are equivalent: by distances of pairs, and by space group where these do not tell."""
    return _equivalent(first, second, FAR_A) and _space_group(first) == _space_group(second)


def _space_group(atoms: Atoms) -> str | None:
    import spglib

    return spglib.get_spacegroup((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=0.01)


def _framework(atoms: Atoms, without: str | None) -> Atoms:
    return atoms if without is None else atoms[[symbol != without for symbol in atoms.symbols]]


def build_ensemble(
    system: SystemSettings, base_dir: Path, seed: int, count: int, size: tuple[int, int] | None = None
) -> list[Atoms]:
    """Return several cells of one system: its distinct arrangements, best first.

    Parameters
    ----------
    system, base_dir, seed
        As for :func:`build_cell`.
    count : int
        Cells wanted; fewer are returned if there are no more, one for an ordered structure.
    size : tuple of int, optional
        Smallest and largest number of atoms, instead of ``system.atoms``.
    """
    own_seed = derive_seed(seed, "build", base_name(system.name) if system.count > 1 else system.name)
    if size is not None:
        system = system.model_copy(update={"atoms": size})
    source = _source(system, base_dir)
    if isinstance(source, Entry) and is_argyrodite(source) and system.mixing == "sqs":
        source = find_solution(source.system, _site_disorder(source, system))
    if isinstance(source, Entry) and is_argyrodite(source):
        cells = _argyrodites(source, system, own_seed, count)
    else:
        cells = _ordered(source, system, own_seed, count)
    return [_finished(cell, system, own_seed) for cell in cells]


def _ordered(source: Entry | Path | Solution, system: SystemSettings, seed: int, count: int) -> list[Atoms]:
    """Return the cells of anything but a library argyrodite."""
    if system.site_disorder is not None and not isinstance(source, Solution):
        kind = "a file" if isinstance(source, Path) else source.name
        raise InputError(f"{system.name}: site_disorder needs an argyrodite (Li6PS5Cl, Li6PS5Br, Li6PS5I), not {kind}")
    parent = _disordered(source)
    if parent is not None:
        matrix = _matrix(system, parent.cell, sum(parent.amounts().values()))
        return order_cells(
            parent, matrix, count, seed,
            mode="sqs" if system.mixing == "sqs" else "random" if isinstance(source, Solution) else "lowest",
            target=source.target if isinstance(source, Solution) else None, contact_A=system.contact_A,
        )
    if system.mixing == "sqs":
        raise InputError(f"{system.name}: `mixing: sqs` needs mixed sites, {system.structure} is an ordered structure")
    atoms = read_structure(source) if isinstance(source, Path) else cell_from_entry(cast("Entry", source))
    return [_repeated(atoms, _matrix(system, atoms.cell.array, len(atoms)))]


def _disordered(source: Entry | Path | Solution) -> DisorderedCell | None:
    """Return the partly occupied cell that must be ordered, or None if the source is ordered."""
    if isinstance(source, Solution):
        return source.parent
    if isinstance(source, Entry):
        return None if source.ordered else from_entry(source)
    try:
        read_structure(source)
    except PartialOccupancyError:
        return from_cif(source)
    return None


def _matrix(system: SystemSettings, cell: np.ndarray, atoms_in_cell: float) -> np.ndarray:
    """Return the supercell matrix of a system: by atoms, by width, or by repetitions."""
    if system.atoms is not None:
        return near_cubic(cell, atoms_in_cell, *system.atoms, orthogonal=system.orthogonal)
    if system.min_edge_A is not None:
        return wide_enough(cell, atoms_in_cell, system.min_edge_A, orthogonal=system.orthogonal)
    _check_size(system, atoms_in_cell)
    return np.diag(system.supercell)


def _check_size(system: SystemSettings, atoms_in_cell: float) -> None:
    """Refuse supercells that would exhaust the memory."""
    atoms = atoms_in_cell * math.prod(system.supercell)
    if atoms > MOST_ATOMS:
        raise InputError(f"{system.name}: the supercell would hold {atoms:.3g} atoms, more than {MOST_ATOMS}")


def _repeated(atoms: Atoms, matrix: np.ndarray) -> Atoms:
    if not (matrix - np.diag(np.diag(matrix))).any():
        return atoms.repeat(tuple(np.diag(matrix).tolist()))

    from ase.build import make_supercell  # needs scipy

    large = make_supercell(atoms, matrix, wrap=True)
    large.info = dict(atoms.info)
    return large


def _argyrodites(entry: Entry, system: SystemSettings, seed: int, count: int) -> list[Atoms]:
    """Return distinct cells of an argyrodite: the best ones, then, if these are few, some of higher energy."""
    kept: list[Atoms] = []
    drawn = system.site_disorder is not None or entry.name.endswith("_disordered")
    for attempt in range(4 * count if drawn else 1):
        own_seed = derive_seed(seed, attempt) if attempt else seed
        late = max(0, attempt - count + 1)  # the ground states repeat: end the search at a higher temperature
        cell = _argyrodite(entry, system, own_seed, COLDEST_EV * (WARMEST_EV / COLDEST_EV) ** (late / (3 * count)))
        if not any(_equivalent(cell, other) for other in kept):
            kept.append(cell)
        if len(kept) == count:
            break
    return rank_by_ewald(kept)


def _equivalent(first: Atoms, second: Atoms, within_A: float = 6.0) -> bool:
    if first.get_chemical_formula() != second.get_chemical_formula():
        return False
    if np.array_equal(first.numbers, second.numbers) and np.allclose(first.positions, second.positions, atol=1e-9):
        return True
    # sorted distances of all pairs, by kind: equal for equivalent cells, and practically never for others
    (kinds, distances), (other_kinds, other_distances) = (_pair_distances(one, within_A) for one in (first, second))
    return np.array_equal(kinds, other_kinds) and np.allclose(distances, other_distances, atol=1e-4)


def _pair_distances(atoms: Atoms, within_A: float) -> tuple[np.ndarray, np.ndarray]:
    i, j, _, distance = neighbour_pairs(atoms, within_A)
    kind = np.minimum(atoms.numbers[i], atoms.numbers[j]) * 1000 + np.maximum(atoms.numbers[i], atoms.numbers[j])
    order = np.lexsort([distance, kind])
    return kind[order], distance[order]


def _cubic_repeat(system: SystemSettings, edge_A: float) -> tuple[int, int, int]:
    """Return the repetition of the 52-atom argyrodite cell of a system, as even as possible."""
    if system.atoms is None:
        if system.min_edge_A is None:
            _check_size(system, 52)
            return system.supercell
        least = math.ceil(system.min_edge_A / edge_A - 1e-9)
        return least, least, least
    smallest, largest = system.atoms
    most = max(1, largest // 52)
    options = [
        (c / a, (c, b, a)) for a in range(1, most + 1) for b in range(a, most + 1) for c in range(b, most + 1)
        if smallest <= 52 * a * b * c <= largest
    ]
    if not options:
        raise InputError(f"no repetition of the 52-atom argyrodite cell has {smallest} to {largest} atoms")
    return min(options)[1]


def _finished(atoms: Atoms, system: SystemSettings, seed: int) -> Atoms:
    """Check a cell and add its provenance."""
    problems = check_cell(round_cell(atoms))
    if problems:
        raise InputError(f"{system.name}: " + "; ".join(problems))
    done = atoms.info.get("configurations", "exchange" if "site_disorder" in atoms.info else "read")
    atoms.info.update(
        system=system.name, composition=atoms.get_chemical_formula("hill"), seed=seed,
        parent=atoms.info.get("structure", system.structure), operation=OPERATIONS[done],
        supercell="x".join(map(str, system.supercell)) if system.atoms is None and system.min_edge_A is None
        else f"{len(atoms)} atoms",
    )
    return atoms


def write_cells(systems: list[SystemSettings], base_dir: Path, seed: int, path: Path) -> None:
    """Build the cell of every system and write them, one frame each, as extxyz."""
    from dpa_sse.ops.structures.extxyz import write_frames

    write_frames(path, [build_cell(system, base_dir, seed) for system in systems])


def _source(system: SystemSettings, base_dir: Path) -> Entry | Path | Solution:
    """Look up a name: library entry, file, or composition."""
    structure = system.structure
    if "{" in structure:
        raise InputError(
            f"{structure!r} has variable amounts in braces: give their values with `series` (--series x=0,0.5,1)"
        )
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
            raise InputError(f"{unknown}; not a structure file either; as a composition: {error}") from error


def _argyrodite(entry: Entry, system: SystemSettings, seed: int, coldest_eV: float) -> Atoms:
    repeat = _cubic_repeat(system, entry.lattice[0] * (math.sqrt(2.0) if entry.name.endswith("_ordered") else 1.0))
    if system.site_disorder is None and not entry.name.endswith("_disordered"):
        return ordered_argyrodite(entry.system).repeat(repeat)
    return disordered_argyrodite(entry.system, system.site_disorder, repeat, np.random.default_rng(seed), coldest_eV)


def _site_disorder(entry: Entry, system: SystemSettings) -> float | None:
    """Return the share of 4c sites with halide: as requested, that of the refined entry, or zero."""
    if system.site_disorder is not None or not entry.name.endswith("_disordered"):
        return system.site_disorder or 0.0
    return sum(site.occupancy for site in entry.sites if site.wyckoff == "4c" and site.element != "S")
