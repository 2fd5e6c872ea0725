"""The neighbours of every site of a library entry, as text."""

from __future__ import annotations

import numpy as np

from dpa_sse.ops.structures.density import density_g_cm3
from dpa_sse.ops.structures.disorder import OXIDATION_STATES
from dpa_sse.ops.structures.library import Entry, expand_site, lattice_of
from dpa_sse.ops.structures.neighbour_list import neighbour_pairs
from dpa_sse.ops.structures.picture import entry_atoms

SHELL = 1.25  # largest distance of a neighbour over that of the nearest one of its kind of charge
SEARCH_A = 4.5
SAME_A = 0.005


def describe_neighbours(entry: Entry) -> list[str]:
    """Return one line for each site: number, element and distances (Angstrom) of the first shell, and the density.

    The shell holds the atoms of opposite charge (in a metal all atoms) that are at most 1.25 times as far as the
    nearest one. Partly occupied sites count as full.
    """
    atoms = entry_atoms(entry)
    symbols = atoms.get_chemical_symbols()
    sign = np.array([OXIDATION_STATES.get(symbol, 0) > 0 for symbol in symbols])
    alone = len(set(sign.tolist())) == 1
    i, j, _, distance = neighbour_pairs(atoms, SEARCH_A)
    lines = []
    first = 0
    for site, images in _distinct_sites(entry):
        ends = np.concatenate([distance[i == first], distance[j == first]])
        others = np.concatenate([j[i == first], i[j == first]])
        kept = np.ones(len(ends), bool) if alone else sign[others] != sign[first]
        shell = kept & (ends <= SHELL * ends[kept].min(initial=SEARCH_A))
        found = [
            _shell(element, ends[shell & np.array([symbols[k] == element for k in others])])
            for element in sorted({symbols[k] for k in others[shell]})
        ]
        lines.append(f"neighbours   {site:8s} " + ", ".join(found))
        first += images
    lattice = " x ".join(f"{length:.3f}" for length in atoms.cell.lengths())
    return [*lines, f"as built     {lattice} A, {density_g_cm3(_amounts(entry), atoms.get_volume()):.3f} g/cm3"]


def _amounts(entry: Entry) -> dict[str, float]:
    """Return the mean number of atoms of each element in the cell."""
    cell, _ = lattice_of(entry)
    amounts: dict[str, float] = {}
    for site in entry.sites:
        images = len(expand_site(site.position, entry.hall_number, cell))
        amounts[site.element] = amounts.get(site.element, 0.0) + site.occupancy * images
    return amounts


def _distinct_sites(entry: Entry) -> list[tuple[str, int]]:
    """Return name and number of images of each position, shared ones once, in the order of :func:`entry_atoms`."""
    cell, _ = lattice_of(entry)
    names: dict[tuple[float, float, float], str] = {}
    for site in entry.sites:
        names[site.position] = f"{names[site.position]}/{site.element}" if site.position in names else site.element
    return [
        (f"{name} {next(s.wyckoff for s in entry.sites if s.position == position)}",
         len(expand_site(position, entry.hall_number, cell)))
        for position, name in names.items()
    ]


def _shell(element: str, distances: np.ndarray) -> str:
    near, far = distances.min(), distances.max()
    span = f"{near:.2f}" if far - near < SAME_A else f"{near:.2f}-{far:.2f}"
    return f"{len(distances)} {element} at {span} A"
