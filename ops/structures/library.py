"""The library of electrolytes: one YAML file per structure in ``configs/structures``.

YAML rather than CIF, since a CIF has no standard place for the source, the confidence, the experimental lattice in the
same setting and the checks of an entry. The space group is given by its Hall number, which defines setting and origin
uniquely.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.resources import configs_folder
from dpa_sse.ops.core.suggest import did_you_mean, question

if TYPE_CHECKING:
    from ase import Atoms

SAME_SITE_A = 0.05  # images of a site closer than this are the same atom


@dataclass(frozen=True)
class Site:
    """One Wyckoff site: element, fractional coordinates, occupancy."""

    element: str
    position: tuple[float, float, float]
    occupancy: float = 1.0
    wyckoff: str = ""
    label: str = ""


ABBREVIATIONS = {
    "LGPS": ("Li10GeP2S12",), "LSIPS": ("Li10SiP2S12",), "LSNPS": ("Li10SnP2S12",),
    "LSPS": ("Li10SnP2S12", "Li10SiP2S12"), "LPSC": ("Li6PS5Cl",), "LPSCL": ("Li6PS5Cl",), "LPSBR": ("Li6PS5Br",),
    "LPSB": ("Li6PS5Br",), "LPSI": ("Li6PS5I",), "LPS": ("Li3PS4", "Li7P3S11"), "LBS": ("Li3BS3", "Li2B2S5"),
}
"""What the field's short names may mean; they are only suggested, since papers differ."""


@dataclass(frozen=True)
class Entry:
    """One structure of the library; lattices are (a, b, c, alpha, beta, gamma) in Angstrom and degrees."""

    name: str
    system: str
    formula: str
    tier: str
    primary: bool
    space_group: str
    space_group_number: int
    hall_number: int
    lattice: tuple[float, ...]
    sites: tuple[Site, ...]
    experimental_lattice: tuple[float, ...] | None = None
    experimental_lattice_trusted: bool = True
    confidence: str = ""
    data: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def ordered(self) -> bool:
        """Whether every site is fully occupied by one element."""
        return all(site.occupancy == 1.0 for site in self.sites)

    @property
    def experimental_lattice_used(self) -> bool:
        """Whether cells use the experimental lattice: there is one, and it is trusted."""
        return self.experimental_lattice is not None and self.experimental_lattice_trusted


def structures_dir() -> Path:
    """Return the folder of the library."""
    return configs_folder("structures")


def names() -> list[str]:
    """Return the names of all library entries, sorted."""
    return sorted(path.stem for path in structures_dir().glob("*.yaml"))


def load_entry(name: str) -> Entry:
    """Return the library entry ``name``.

    The name of a system with several polymorphs (``Li3PS4``) gives its primary one (``Li3PS4_beta_b``).

    Raises
    ------
    InputError
        There is no such entry; the message suggests similar ones.
    """
    known = names()
    if name in known:
        return _read_entry(structures_dir() / f"{name}.yaml")
    for variant in (other for other in known if other.startswith(f"{name}_")):
        entry = _read_entry(structures_dir() / f"{variant}.yaml")
        if entry.system == name and entry.primary:
            return entry
    meant = ABBREVIATIONS.get(name.upper().replace("-", ""), ()) or _polymorphs(name, known)
    hint = question(*meant) or did_you_mean(name, known, most=3, cutoff=0.5)
    raise InputError(f"no structure {name!r} in the library{hint} (`dpa-sse structures list` shows all)")


def find_entry(name: str) -> Entry | None:
    """Return the library entry ``name``, as :func:`load_entry` does; None if there is none."""
    try:
        return load_entry(name)
    except InputError:
        return None


def _polymorphs(name: str, known: Sequence[str]) -> list[str]:
    """Return the entries of the longest formula in ``name``, those that share most of its other words first.

    ``beta-Li3PS4`` means one of the polymorphs ``Li3PS4_beta_b`` and ``Li3PS4_beta_c``, rather than ``Li3SbS4``.
    """
    formulas = {entry.partition("_")[0] for entry in known}
    words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]
    found = max((word for word in words if word in formulas), key=len, default=None)
    if found is None:
        return []
    others = {word.lower() for word in words if word != found}
    entries = [entry for entry in known if entry.partition("_")[0] == found]
    shared = {entry: len(others & set(entry.lower().split("_"))) for entry in entries}
    best = max(shared.values())
    return [entry for entry in entries if shared[entry] == best][:3]


def cell_from_entry(entry: Entry, *, use_experimental_lattice: bool = True) -> Atoms:
    """Return the conventional cell of an ordered entry.

    Parameters
    ----------
    entry : Entry
        Every site fully occupied.
    use_experimental_lattice : bool
        Use the experimental lattice, if the entry has a trusted one, with the same fractional coordinates except that
        covalent bonds keep their lengths (see `keep_bonds`). PBE lattices of layered and molecular sulfides are up to
        5 % too large.

    Returns
    -------
    Atoms
        Periodic cell; ``info`` holds system, structure and lattice (experiment or calculated).

    Raises
    ------
    InputError
        The entry has partly occupied sites.
    """
    if not entry.ordered:
        raise InputError(f"{entry.name} has partly occupied sites; it must be ordered first")
    return _cell_from_entry(entry, use_experimental_lattice).copy()


@functools.lru_cache(maxsize=64)
def _cell_from_entry(entry: Entry, use_experimental_lattice: bool) -> Atoms:
    """Return the cell, which takes up to a second for a large one, and the same ones are asked for again and again."""
    from ase import Atoms

    cell, origin = lattice_of(entry, use_experimental_lattice=use_experimental_lattice)
    symbols: list[str] = []
    positions = []
    for site in entry.sites:
        images = expand_site(site.position, entry.hall_number, cell)
        positions.append(images)
        symbols += [site.element] * len(images)
    atoms = Atoms(symbols, scaled_positions=np.concatenate(positions), cell=cell, pbc=True)
    if use_experimental_lattice and entry.experimental_lattice_used:
        from dpa_sse.ops.structures.bonds import keep_bonds

        calculated, _ = lattice_of(entry, use_experimental_lattice=False)
        reference = Atoms(symbols, scaled_positions=np.concatenate(positions), cell=calculated, pbc=True)
        atoms = keep_bonds(atoms, reference)
    atoms.info.update(system=entry.system, structure=entry.name, lattice=origin)
    return atoms


def lattice_of(entry: Entry, *, use_experimental_lattice: bool = True) -> tuple[np.ndarray, str]:
    """Return the lattice vectors (rows, Angstrom, shape (3, 3)) and their origin."""
    from ase.geometry.cell import cellpar_to_cell

    if use_experimental_lattice and entry.experimental_lattice and entry.experimental_lattice_used:
        return np.asarray(cellpar_to_cell(entry.experimental_lattice)), "experiment"
    kind = (entry.data.get("source") or {}).get("kind", "experimental lattice")
    return np.asarray(cellpar_to_cell(entry.lattice)), "experiment" if "experimental lattice" in kind else "calculated"


def expand_site(position: tuple[float, float, float], hall_number: int, cell: np.ndarray) -> np.ndarray:
    """Return all symmetry images of a site.

    Parameters
    ----------
    position : tuple of float
        Fractional coordinates.
    hall_number : int
        1 to 530, as in spglib.
    cell : ndarray, shape (3, 3)
        Lattice vectors, Angstrom; images closer than 0.05 A are one atom.

    Returns
    -------
    ndarray, shape (n, 3)
        Fractional coordinates in [0, 1), in the order of the symmetry operations.
    """
    rotations, translations = _operations(hall_number)
    images = (rotations @ np.asarray(position, float) + translations) % 1.0
    difference = images[:, None] - images[None]
    difference -= np.rint(difference)
    same = np.linalg.norm(difference @ cell, axis=-1) < SAME_SITE_A
    first = np.argmax(same, axis=1) == np.arange(len(images))  # no earlier image is the same atom
    kept = images[first]
    kept[np.isclose(kept, 1.0, atol=1e-9)] = 0.0
    return kept


@functools.cache
def _operations(hall_number: int) -> tuple[np.ndarray, np.ndarray]:
    import spglib

    operations = spglib.get_symmetry_from_database(hall_number)
    if operations is None:
        raise InputError(f"no space group with Hall number {hall_number} (1 to 530)")
    return operations["rotations"], operations["translations"]


def _read_entry(path: Path) -> Entry:
    data = _load_yaml(path)
    group = data["space_group"]
    experiment = data.get("experimental_lattice")
    sites = tuple(
        Site(site["element"], (site["x"], site["y"], site["z"]), float(site.get("occupancy", 1.0)),
             site.get("wyckoff", ""), site.get("label", ""))
        for site in data["sites"]
    )
    return Entry(
        name=data["name"], system=data["system"], formula=data["formula"], tier=data["tier"],
        primary=bool(data["primary"]), space_group=group["symbol"], space_group_number=group["number"],
        hall_number=group["hall_number"], lattice=_parameters(data["lattice"]), sites=sites,
        experimental_lattice=_parameters(experiment) if experiment else None,
        experimental_lattice_trusted=not experiment or experiment.get("confidence") != "low",
        confidence=data.get("confidence", ""), data=data,
    )


def _parameters(lattice: dict[str, Any]) -> tuple[float, ...]:
    return tuple(float(lattice[key]) for key in ("a", "b", "c", "alpha", "beta", "gamma"))


def _load_yaml(path: Path) -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with path.open(encoding="utf-8") as stream:
        data: dict[str, Any] = yaml.load(stream, Loader=loader)  # noqa: S506 - a safe loader
    return data
