"""Special quasi-random structures: mixed sites with the pair statistics of an infinite random crystal.

A seeded annealing of the pair statistics (Zunger et al., PRL 65, 353 (1990), pairs only). pymatgen does not include a
generator: its transformations call the programs mcsqs or enumlib, or the package icet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.structures.neighbour_list import neighbour_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

REACH = 2.05  # shells up to this multiple of the shortest distance between mixed sites (four shells of fcc)
SHELL_A = 0.1  # distances that agree within this are one shell


@dataclass(frozen=True)
class PairStatistics:
    """Pairs of mixed sites: ``i``, ``j`` (site numbers), ``shell`` (class of distance and sublattices), its weight.

    ``target`` (n_shells, n_species, n_species) is the share of each pair of species in a random crystal.
    """

    i: np.ndarray
    j: np.ndarray
    shell: np.ndarray
    weight: np.ndarray
    target: np.ndarray

    def deviation(self, state: np.ndarray) -> float:
        """Return the weighted root mean square difference between the shares of pairs and those of a random crystal."""
        shells, species, _ = self.target.shape
        code = (self.shell * species + state[self.i]) * species + state[self.j]
        share = np.bincount(code, minlength=self.target.size).reshape(self.target.shape).astype(float)
        share = (share + share.transpose(0, 2, 1)) / 2
        share /= np.bincount(self.shell, minlength=shells)[:, None, None]
        return math.sqrt(float(self.weight @ ((share - self.target) ** 2).sum(axis=(1, 2))))


def pair_statistics(
    positions: np.ndarray, cell: np.ndarray, orbit: np.ndarray, groups: Sequence[int], state: np.ndarray
) -> PairStatistics | None:
    """Return the pairs between the sites of some orbits, None if there are none.

    Parameters
    ----------
    positions, cell : ndarray, shapes (n, 3) and (3, 3)
        Sites and lattice vectors, Angstrom.
    orbit : ndarray of int, shape (n,)
        Orbit (sublattice) of each site.
    groups : sequence of int
        The mixed orbits.
    state : ndarray of int, shape (n,)
        Species of each site, which define the shares on the orbits.
    """
    from ase import Atoms

    sites = np.flatnonzero(np.isin(orbit, list(groups)))
    if len(sites) < 2:
        return None
    carrier = Atoms(np.ones(len(sites), int), positions=positions[sites], cell=cell, pbc=True)
    shortest = _shortest(carrier)
    a, b, _, distance = neighbour_pairs(carrier, REACH * shortest)
    i, j = sites[a], sites[b]
    low, high = np.minimum(orbit[i], orbit[j]), np.maximum(orbit[i], orbit[j])
    kinds = np.stack([low, high, np.rint(distance / SHELL_A).astype(int)], axis=1)
    kinds, shell = np.unique(kinds, axis=0, return_inverse=True)
    shell = shell.reshape(-1)
    species = int(state.max()) + 1
    shares = {k: np.bincount(state[orbit == k], minlength=species) / (orbit == k).sum() for k in groups}
    outer = np.array([np.outer(shares[one], shares[two]) for one, two, _ in kinds.tolist()])
    # near shells matter most: the weight falls as the inverse cube of the distance
    weight = np.bincount(shell) * (np.maximum(kinds[:, 2] * SHELL_A, shortest) / shortest) ** -3.0
    return PairStatistics(i, j, shell, weight / weight.sum(), (outer + outer.transpose(0, 2, 1)) / 2)


def quasi_random(
    statistics: PairStatistics, orbit: np.ndarray, groups: Sequence[int], state: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the arrangement with the smallest deviation that a seeded annealing by exchanges finds.

    Parameters
    ----------
    statistics : PairStatistics
        Of the mixed sites.
    orbit, groups, state
        As for :func:`pair_statistics`; ``state`` is the initial arrangement and is not changed.
    rng : numpy.random.Generator
        Random numbers.
    """
    state = state.copy()
    free = [np.flatnonzero(orbit == k) for k in groups]
    sizes = np.array([len(group) for group in free])
    moves = int(np.clip(60 * sizes.sum(), 600, 4000))
    here = statistics.deviation(state)
    best, best_state = here, state.copy()
    for temperature in np.geomspace(0.03, 3e-4, moves):
        group = free[int(rng.choice(len(free), p=sizes / sizes.sum()))]
        a, b = rng.choice(group, 2, replace=False)
        if state[a] == state[b]:
            continue
        state[a], state[b] = state[b], state[a]
        there = statistics.deviation(state)
        if there < here or rng.random() < math.exp((here - there) / temperature):
            here = there
            if here < best - 1e-12:
                best, best_state = here, state.copy()
        else:
            state[a], state[b] = state[b], state[a]
    return best_state


def _shortest(carrier: object) -> float:
    """Return the shortest distance between sites, images of one site included."""
    cutoff = 4.0
    while not len(distance := neighbour_pairs(carrier, cutoff)[3]):  # type: ignore[arg-type]
        cutoff *= 1.5
    return float(distance.min())
