"""Argyrodites Li6PS5X (X = Cl, Br, I): S/X exchange between 4a and 4c, and lithium on one site per 48h doublet.

Setting: P on 4b, S on 16e, X on 4a and the free S on 4c of F-43m in the ordered crystal (papers that call the
free-anion site 4d use the inverted setting). Lithium sits on 48h at half occupancy: 24 pairs of sites 1.9 A
apart per cell, across the 24g saddle, of which one is occupied.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.library import Entry, Site, cell_from_entry, expand_site, lattice_of, load_entry
from dpa_sse.ops.structures.neighbour_list import neighbour_pairs

if TYPE_CHECKING:
    from ase import Atoms

FAMILY = ("Li6PS5Cl", "Li6PS5Br", "Li6PS5I")
PRIMITIVE_TO_CUBIC = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
CUTOFF_A = 7.5  # below the cubic lattice constant minus the doublet: no site meets its own image
SCREENING_A = 4.0
COULOMB_EV_A = 14.3996
CONTACT_A = 2.5
COLDEST_EV = 0.02
TIE_EV = 1e-7  # energies closer than this are equal up to rounding
CHARGE = {"Li": 1.0, "S": -2.0, "Cl": -1.0, "Br": -1.0, "I": -1.0}


def is_argyrodite(entry: Entry) -> bool:
    """Return whether an entry is an argyrodite with exchangeable anions."""
    return entry.system in FAMILY


def ordered_argyrodite(system: str) -> Atoms:
    """Return the conventional 52-atom cell with ordered anions and the relaxed 48h ordering of lithium."""
    primitive = cell_from_entry(load_entry(f"{system}_48h_ordered"))
    edge = math.sqrt(2.0) * primitive.cell.lengths()[0]
    return _cubic_from_primitive(primitive, edge)


def disordered_argyrodite(
    system: str, fraction: float | None, repeat: tuple[int, int, int], rng: np.random.Generator,
    coldest_eV: float = COLDEST_EV,
) -> Atoms:
    """Return a supercell with exchanged anions and a low-energy choice of lithium sites.

    Parameters
    ----------
    system : str
        Li6PS5Cl, Li6PS5Br or Li6PS5I.
    fraction : float or None
        Share of the 4c sites that hold the halide; None for the refined share of the library entry.
    repeat : tuple of int
        Repetitions of the cubic cell.
    rng : numpy.random.Generator
        Chooses the exchanged sites, and drives the search for the lithium sites.
    coldest_eV : float
        Thermal energy at which the search for the lithium sites ends; a larger one also finds arrangements of higher
        energy.

    Returns
    -------
    Atoms
        Order Li, P, S (16e), free S, halide. ``info["site_disorder"]`` is the actual share, the one closest to
        ``fraction`` that the number of sites allows; ``info["site_disorder_target"]`` is ``fraction`` if they differ.
    """
    entry = load_entry(f"{system}_disordered")
    halide = next(site.element for site in entry.sites if site.element in ("Cl", "Br", "I"))
    if fraction is None:
        fraction = sum(s.occupancy for s in entry.sites if s.element == halide and s.wyckoff == "4c")
    cell, _ = lattice_of(entry)
    sites = {site.wyckoff: site for site in entry.sites}
    fixed = {key: _repeated(sites[key], entry, cell, repeat) for key in ("4b", "16e", "4a", "4c")}
    pairs = _doublets(sites["48h"], entry, cell, repeat)
    count = len(fixed["4c"])
    exchanged = math.floor(fraction * count + 0.5)
    out_of_4a, into_4c = (np.isin(np.arange(count), rng.permutation(count)[:exchanged]) for _ in range(2))
    free_s = np.concatenate([fixed["4c"][~into_4c], fixed["4a"][out_of_4a]])
    halides = np.concatenate([fixed["4a"][~out_of_4a], fixed["4c"][into_4c]])
    big = cell * np.asarray(repeat)[:, None]
    anions = (np.concatenate([free_s, halides]), [CHARGE["S"]] * len(free_s) + [CHARGE[halide]] * len(halides))
    lithium = choose_lithium(pairs, anions, big, rng, coldest_eV)

    from ase import Atoms

    groups = [("Li", lithium), ("P", fixed["4b"]), ("S", fixed["16e"]), ("S", free_s), (halide, halides)]
    symbols = [element for element, positions in groups for _ in positions]
    atoms = Atoms(symbols, positions=np.concatenate([p for _, p in groups]), cell=big, pbc=True)
    atoms.wrap()
    atoms.info.update(structure=entry.name, lattice="experiment", site_disorder=exchanged / count)
    if abs(fraction - exchanged / count) > 1e-6:
        atoms.info["site_disorder_target"] = fraction
    return atoms


def choose_lithium(
    pairs: np.ndarray, anions: tuple[np.ndarray, list[float]], cell: np.ndarray, rng: np.random.Generator,
    coldest_eV: float = COLDEST_EV,
) -> np.ndarray:
    """Return one position of each doublet, found by simulated annealing of a screened point-charge energy.

    The energy is the screened Coulomb sum over lithium and the exchangeable anions (the PS4 tetrahedra are
    the same for both sites of a doublet, by symmetry) plus a steep repulsion between lithium atoms
    closer than 2.5 A. It ranks arrangements; it is not a physical energy.

    Parameters
    ----------
    pairs : ndarray, shape (n, 2, 3)
        The two positions of each doublet, Angstrom.
    anions : tuple of (ndarray of shape (m, 3), list of m charges)
        Free sulfur and halides.
    cell : ndarray, shape (3, 3)
        Lattice vectors, Angstrom.
    rng : numpy.random.Generator
        Random numbers.
    coldest_eV : float
        Thermal energy at the end of the annealing.

    Returns
    -------
    ndarray, shape (n, 3)
        Chosen positions.
    """
    site_energy, neighbours, energies = _interactions(pairs.reshape(-1, 3), anions, cell)
    sweeps = int(np.clip(60_000 // len(pairs), 15, 60))
    best, best_energy = None, math.inf
    for _ in range(3 if coldest_eV <= COLDEST_EV else 1):
        chosen, energy = _anneal(site_energy, neighbours, energies, sweeps, rng, coldest_eV)
        if energy < best_energy - TIE_EV:
            best, best_energy = chosen, energy
    if best is None:
        raise InputError("no arrangement of lithium found")
    return pairs[np.arange(len(pairs)), best]


def _interactions(
    positions: np.ndarray, anions: tuple[np.ndarray, list[float]], cell: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Return the anion energy of every site, and for every site its neighbours and the pair energies."""
    from ase import Atoms

    sites = len(positions)
    charges = np.array([1.0] * sites + anions[1])
    points = np.concatenate([positions, anions[0]])
    cluster = Atoms(numbers=np.ones(len(points), int), positions=points, cell=cell, pbc=True)
    i, j, _, distance = neighbour_pairs(cluster, CUTOFF_A)
    energy = COULOMB_EV_A * charges[i] * charges[j] * np.exp(-distance / SCREENING_A) / distance
    both = (i < sites) & (j < sites)
    energy[both] += (CONTACT_A / distance[both]) ** 12
    both &= i // 2 != j // 2  # the two sites of a doublet are never occupied together
    mixed = (i < sites) & (j >= sites)
    site_energy = np.bincount(i[mixed], energy[mixed], minlength=sites)
    first, second = np.concatenate([i[both], j[both]]), np.concatenate([j[both], i[both]])
    order = np.argsort(first, kind="stable")
    edges = np.searchsorted(first[order], np.arange(1, sites))
    doubled = np.concatenate([energy[both], energy[both]])
    return site_energy, np.split(second[order], edges), np.split(doubled[order], edges)


def _anneal(
    site_energy: np.ndarray, neighbours: list[np.ndarray], energies: list[np.ndarray], sweeps: int,
    rng: np.random.Generator, coldest_eV: float,
) -> tuple[np.ndarray, float]:
    """Return the choice (0 or 1) per doublet and its energy, eV, after cooling from 1 eV to ``coldest_eV``."""
    count = len(site_energy) // 2
    chosen = rng.integers(0, 2, count)
    field = site_energy.copy()  # energy of lithium on each site in the field of all others
    for doublet in range(count):
        site = 2 * doublet + chosen[doublet]
        np.add.at(field, neighbours[site], energies[site])
    quench = 5 if coldest_eV <= COLDEST_EV else 0
    temperatures = [*np.geomspace(1.0, coldest_eV, sweeps), *[0.0] * quench]
    for temperature in temperatures:
        draws = rng.random(count)
        for doublet, draw in zip(rng.permutation(count).tolist(), draws.tolist(), strict=True):
            old = 2 * doublet + int(chosen[doublet])
            gain = float(field[old ^ 1] - field[old])
            if gain < -TIE_EV or (temperature > 0 and draw < math.exp(-gain / temperature)):
                np.subtract.at(field, neighbours[old], energies[old])
                np.add.at(field, neighbours[old ^ 1], energies[old ^ 1])
                chosen[doublet] ^= 1
    occupied = 2 * np.arange(count) + chosen
    return chosen, float((field[occupied] + site_energy[occupied]).sum() / 2)


def _repeated(site: Site, entry: Entry, cell: np.ndarray, repeat: tuple[int, int, int]) -> np.ndarray:
    return _repeat(expand_site(site.position, entry.hall_number, cell) @ cell, cell, repeat)


def _repeat(positions: np.ndarray, cell: np.ndarray, repeat: tuple[int, int, int]) -> np.ndarray:
    """Return positions of shape (n, ...) repeated along the lattice vectors, cell by cell."""
    shifts = np.indices(repeat).reshape(3, -1).T @ cell
    moved = positions[None] + shifts.reshape(-1, *[1] * (positions.ndim - 1), 3)
    return moved.reshape(-1, *positions.shape[1:])


def _doublets(site: Site, entry: Entry, cell: np.ndarray, repeat: tuple[int, int, int]) -> np.ndarray:
    """Return the two positions of every doublet, shape (n, 2, 3): each site with its nearest neighbour."""
    fractional = expand_site(site.position, entry.hall_number, cell)
    difference = fractional[None] - fractional[:, None]
    difference -= np.rint(difference)
    distance = np.linalg.norm(difference @ cell, axis=-1)
    np.fill_diagonal(distance, np.inf)
    partner = distance.argmin(axis=1)
    if not np.array_equal(partner[partner], np.arange(len(partner))):
        raise InputError(f"{entry.name}: the 48h sites do not form pairs")
    first = np.flatnonzero(np.arange(len(partner)) < partner)
    start = fractional[first]
    pairs = np.stack([start, start + difference[first, partner[first]]], axis=1) @ cell
    return _repeat(pairs, cell, repeat)


def _cubic_from_primitive(primitive: Atoms, edge: float) -> Atoms:
    """Return the cubic cell, axes along x, y, z, of a face-centred primitive cell with 60 degree angles."""
    from ase import Atoms

    # the entry has its free sulfur on 4d; inverted, the same crystal has it on 4c like all other argyrodites here
    fractional = -primitive.get_scaled_positions() @ np.linalg.inv(PRIMITIVE_TO_CUBIC)
    centring = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    positions = (fractional[:, None] + centring[None]).reshape(-1, 3) % 1.0
    symbols = [symbol for symbol in primitive.get_chemical_symbols() for _ in centring]
    atoms = Atoms(symbols, scaled_positions=positions, cell=np.eye(3) * edge, pbc=True)
    atoms.info.update(primitive.info, site_disorder=0.0, configurations="read")
    return atoms
