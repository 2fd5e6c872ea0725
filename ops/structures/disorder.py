"""Cells with partly occupied or shared sites, before they are ordered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.library import Entry, expand_site, lattice_of

if TYPE_CHECKING:
    from ase import Atoms

OXIDATION_STATES = {
    "Li": 1, "Na": 1, "K": 1, "Mg": 2, "Zn": 2, "B": 3, "Al": 3, "Ga": 3, "In": 3, "As": 3, "Sb": 3, "Si": 4, "Ge": 4,
    "Sn": 4, "Zr": 4, "Ti": 4, "P": 5, "O": -2, "S": -2, "Se": -2, "F": -1, "Cl": -1, "Br": -1, "I": -1,
}


@dataclass(frozen=True)
class DisorderedCell:
    """Sites and the elements that may occupy them.

    ``cell`` (3, 3) and ``positions`` (n, 3) in Angstrom; ``orbit`` (n) numbers the groups of equivalent sites;
    ``occupancy[k]`` maps the elements of orbit k to their shares, the rest up to 1 is empty; ``notes`` are of
    the reader.
    """

    cell: np.ndarray
    positions: np.ndarray
    orbit: np.ndarray
    occupancy: tuple[Mapping[str, float], ...]
    name: str
    notes: str = ""

    def __post_init__(self) -> None:
        for shares in self.occupancy:
            total = sum(shares.values())
            if total > 1.0 + 1e-3 or min(shares.values(), default=0.0) < 0.0:
                listed = " + ".join(f"{element} {share:.3g}" for element, share in shares.items())
                raise InputError(
                    f"{self.name}: the occupancies of a site must add up to between 0 and 1, found {listed}"
                )

    def repeat(self, matrix: np.ndarray) -> DisorderedCell:
        """Return the supercell with lattice vectors ``matrix @ cell``."""
        from ase import Atoms
        from ase.build import make_supercell

        carrier = Atoms(np.ones(len(self.orbit), int), positions=self.positions, cell=self.cell, pbc=True)
        carrier.set_tags(self.orbit)
        large = make_supercell(carrier, matrix, wrap=True)
        return replace(self, cell=large.cell.array, positions=large.positions, orbit=large.get_tags())

    def join(self, orbits: Sequence[int]) -> DisorderedCell:
        """Merge several orbits into one with their mean shares: atoms may be exchanged between them."""
        if len(orbits) < 2:
            return self
        sites = np.array([(self.orbit == k).sum() for k in orbits])
        elements = sorted({element for k in orbits for element in self.occupancy[k]})
        shares = {e: float(sites @ [self.occupancy[k].get(e, 0.0) for k in orbits] / sites.sum()) for e in elements}
        occupancy = [{} if k in orbits else dict(one) for k, one in enumerate(self.occupancy)]
        occupancy[orbits[0]] = shares
        orbit = np.where(np.isin(self.orbit, orbits), orbits[0], self.orbit)
        return replace(self, orbit=orbit, occupancy=tuple(occupancy))

    def amounts(self) -> dict[str, float]:
        """Return the mean number of atoms of each element in the cell."""
        total: dict[str, float] = {}
        for k, shares in enumerate(self.occupancy):
            sites = int((self.orbit == k).sum())
            for element, share in shares.items():
                total[element] = total.get(element, 0.0) + share * sites
        return total


def from_entry(entry: Entry) -> DisorderedCell:
    """Return a library entry with its partial occupancies."""
    cell, _ = lattice_of(entry)
    shared: dict[tuple[float, float, float], dict[str, float]] = {}
    for site in entry.sites:
        shares = shared.setdefault(site.position, {})
        shares[site.element] = shares.get(site.element, 0.0) + site.occupancy
    images = [expand_site(position, entry.hall_number, cell) @ cell for position in shared]
    orbit = np.repeat(np.arange(len(images)), [len(group) for group in images])
    return DisorderedCell(cell, np.concatenate(images), orbit, tuple(shared.values()), entry.name)


def from_atoms(atoms: Atoms, replaced: Mapping[str, Mapping[str, float]], name: str) -> DisorderedCell:
    """Return an ordered cell in which elements are replaced by mixtures.

    Parameters
    ----------
    atoms : Atoms
        The parent.
    replaced : mapping
        For each element of the parent, the shares of the elements on its sites.
    name : str
        For messages and provenance.
    """
    elements = sorted(set(atoms.get_chemical_symbols()))
    orbit = np.array([elements.index(symbol) for symbol in atoms.get_chemical_symbols()])
    occupancy = tuple(dict(replaced.get(element, {element: 1.0})) for element in elements)
    return DisorderedCell(atoms.cell.array.copy(), atoms.positions.copy(), orbit, occupancy, name)


def from_cif(path: Path) -> DisorderedCell:
    """Return the cell of a CIF with its occupancies; each crystallographic site is an orbit.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    from dpa_sse.ops.structures.read import cif_cell

    found = cif_cell(path)
    return DisorderedCell(
        found.cell, found.positions, found.orbit, tuple(found.shares), path.name, "; ".join(found.notes)
    )


def oxidation_states(amounts: Mapping[str, float], name: str) -> dict[str, int]:
    """Return the oxidation state of every element: the usual one; As and Sb are +5 if only that is neutral.

    Raises
    ------
    InputError
        An element has no known state, or no choice makes the composition neutral within 3 % of the cations.
    """
    unknown = sorted(set(amounts) - set(OXIDATION_STATES))
    if unknown:
        raise InputError(f"{name}: no oxidation state known for {', '.join(unknown)}")
    best: tuple[float, dict[str, int]] | None = None
    for pentavalent in (False, True):
        states = {element: OXIDATION_STATES[element] for element in amounts}
        if pentavalent:
            states.update({element: 5 for element in ("As", "Sb") if element in states})
        charge = sum(amount * states[element] for element, amount in amounts.items())
        if best is None or abs(charge) < abs(best[0]) - 1e-9:
            best = (charge, states)
    assert best is not None  # noqa: S101 - the loop ran
    charge, states = best
    positive = sum(amount * states[element] for element, amount in amounts.items() if states[element] > 0)
    if abs(charge) > 0.03 * max(positive, 1.0):
        formula = " ".join(f"{element}{amount:g}" for element, amount in amounts.items())
        raise InputError(f"{name}: charge imbalance, {charge:+.3g} for {formula}")
    return states
