"""Search for arrangements of low energy in large cells: a start without contacts, then compiled annealing.

Import this module inside functions: numba takes half a second to load.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numba import njit

MOVES_PER_SITE, MOST_MOVES = 200, 1_000_000
CHUNK = 100_000
HOT_EV, COLD_EV = 3.0, 0.05
KEEP_AFTER = 0.7  # of the moves: later arrangements are candidates, too


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        return njit(cache=True)(function)
    except RuntimeError:  # read-only code and no home folder
        return njit(function)


def apart(contacts: np.ndarray, sites: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Return up to ``number`` of the sites, no two in contact: those with fewest free neighbours first, else by lot.

    Parameters
    ----------
    contacts : ndarray, shape (n, n)
        Nonzero where two sites are too close.
    sites : ndarray of int
        The sites to choose from.
    number : int
        How many are wanted.
    rng : numpy.random.Generator
        For ties.
    """
    near = contacts[np.ix_(sites, sites)] > 0
    degree = near.sum(axis=1).astype(float)
    free = np.ones(len(sites), bool)
    lot = rng.random(len(sites))
    chosen: list[int] = []
    while len(chosen) < number and free.any():
        one = int(np.argmin(np.where(free, degree + lot, np.inf)))
        chosen.append(one)
        removed = near[one] & free
        removed[one] = True
        free &= ~removed
        degree -= near[:, removed].sum(axis=1)
    return sites[np.array(chosen, int)]


@_compiled
def _sweep(
    state: np.ndarray, charge: np.ndarray, ewald: np.ndarray, close: np.ndarray, potential: np.ndarray,
    contact: np.ndarray, first: np.ndarray, second: np.ndarray, chance: np.ndarray, temperature: np.ndarray,
    kept: np.ndarray, number: int, keep_from: int,
) -> int:
    """Exchange pairs of sites by the Metropolis rule, in place; store accepted states from ``keep_from`` on in turn."""
    for step in range(len(first)):
        a, b = first[step], second[step]
        if state[a] == state[b]:
            continue
        dq = charge[state[b]] - charge[state[a]]
        do = (1.0 if state[b] > 0 else 0.0) - (1.0 if state[a] > 0 else 0.0)
        change = dq * (potential[a] - potential[b]) + do * (contact[a] - contact[b])
        change += dq * dq * (ewald[a, a] + ewald[b, b] - 2 * ewald[a, b])
        change += do * do * (close[a, a] + close[b, b] - 2 * close[a, b])
        warm = temperature[step]
        if change < -1e-9 or (warm > 0 and chance[step] < math.exp(-change / warm)):
            for i in range(len(potential)):
                potential[i] += 2 * dq * (ewald[a, i] - ewald[b, i])
            if do != 0:
                for i in range(len(contact)):
                    contact[i] += 2 * do * (close[a, i] - close[b, i])
            state[a], state[b] = state[b], state[a]
            if step >= keep_from:
                kept[number % len(kept)] = state
                number += 1
    return number


def anneal(
    state: np.ndarray, charge: np.ndarray, ewald: np.ndarray, close: np.ndarray, groups: list[np.ndarray],
    rng: np.random.Generator, keep: int,
) -> Iterator[np.ndarray]:
    """Yield the last accepted arrangements of one annealing, the final one last.

    Parameters
    ----------
    state : ndarray of int, shape (n,)
        Species number of every site; 0 is empty. Changed in place.
    charge : ndarray
        Charge of every species, e.
    ewald, close : ndarray, shape (n, n)
        Energies of pairs of sites, eV; symmetric.
    groups : list of ndarray of int
        Sites between which species may be exchanged.
    rng : numpy.random.Generator
        Draws the moves.
    keep : int
        Number of arrangements to keep besides the final one.
    """
    sites = np.concatenate(groups)
    size = np.repeat([len(group) for group in groups], [len(group) for group in groups])
    start = np.repeat(np.cumsum([0, *(len(group) for group in groups[:-1])]), [len(group) for group in groups])
    moves = int(np.clip(MOVES_PER_SITE * len(sites), 2000, MOST_MOVES))
    temperature = np.concatenate([np.geomspace(HOT_EV, COLD_EV, moves), np.zeros(moves // 4)])
    potential = 2 * ewald @ charge[state]
    contact = 2 * close @ (state > 0).astype(float)
    kept = np.zeros((keep, len(state)), state.dtype)
    number = 0
    for begin in range(0, len(temperature), CHUNK):
        part = temperature[begin : begin + CHUNK]
        one = rng.integers(len(sites), size=len(part))
        other = start[one] + rng.integers(size[one])
        number = _sweep(
            state, charge, ewald, close, potential, contact, sites[one], sites[other], rng.random(len(part)), part,
            kept, number, int(KEEP_AFTER * moves) - begin,
        )
    yield from kept[: min(number, keep)]
    yield state.copy()
