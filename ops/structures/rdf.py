"""Radial distribution functions and coordination numbers of a trajectory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.structures.neighbour_list import face_distances, near_pairs

MIN_DIP = 0.7
"""A shell is over where g has fallen below this share of its maximum."""
BLOCK = 200_000
"""Distances that are computed at once."""
REACH_A = 0.3
"""A minimum is the smallest value within this distance."""


@dataclass(frozen=True)
class Snapshot:
    """One frame: rows of the cell (Angstrom, shape (3, 3)), elements, and positions (Angstrom, shape (n, 3))."""

    cell: NDArray[np.float64]
    symbols: Sequence[str]
    positions: NDArray[np.float64]


@dataclass(frozen=True)
class RadialDistribution:
    """g(r) from one element to another, and how many neighbours there are.

    Attributes
    ----------
    r_A : ndarray, shape (n,)
        Middle of each bin, Angstrom.
    g : ndarray, shape (n,)
        One for an ideal gas of the same density.
    neighbours : ndarray, shape (n,)
        Mean number of neighbours up to the end of each bin.
    """

    r_A: NDArray[np.float64]
    g: NDArray[np.float64]
    neighbours: NDArray[np.float64]

    @property
    def first_shell(self) -> tuple[float, float, float] | None:
        """Position of the first maximum, end of its shell (Angstrom), and neighbours in it; None without a shell.

        The maximum is the highest value before g, smoothed over three bins, falls below ``MIN_DIP`` of it for the first
        time; the shell ends at the next value that is the smallest within ``REACH_A`` on both sides.
        """
        smooth = np.convolve(np.pad(self.g, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
        above = np.flatnonzero(smooth >= 1.0)
        if not len(above):
            return None
        start = int(above[0])
        fallen = np.flatnonzero(smooth[start:] < MIN_DIP * np.maximum.accumulate(smooth[start:]))
        if not len(fallen):
            return None
        after = start + int(fallen[0])
        peak = start + int(np.argmax(self.g[start:after]))
        reach = max(1, round(REACH_A / (self.r_A[1] - self.r_A[0])))
        for k in range(after, len(smooth) - reach):
            if smooth[k] <= smooth[max(0, k - reach) : k + reach + 1].min():
                return float(self.r_A[peak]), float(self.r_A[k]), float(self.neighbours[k])
        return None


def radial_distributions(
    frames: Iterable[Snapshot], pairs: Sequence[tuple[str, str]], cutoff_A: float, bin_A: float = 0.05
) -> dict[tuple[str, str], RadialDistribution]:
    """Return g(r) of each pair of elements, averaged over frames.

    Parameters
    ----------
    frames : iterable of Snapshot
        Periodic in all directions; all of the same atoms.
    pairs : sequence of (str, str)
        Centre and neighbour; pairs with an element that does not occur are left out.
    cutoff_A : float
        Largest distance; beyond half the width of the cell, the copies of the cell are seen.
    bin_A : float
        Width of the bins.

    Returns
    -------
    dict
        By pair; empty without frames.
    """
    edges = bin_A * np.arange(int(cutoff_A / bin_A + 1e-9) + 1)
    counts = {pair: np.zeros(len(edges) - 1) for pair in pairs}
    density = dict.fromkeys(pairs, 0.0)
    number: dict[str, int] = {}
    n_frames = 0
    for frame in frames:
        symbols = np.asarray(frame.symbols)
        number = {str(one): int((symbols == one).sum()) for one in np.unique(symbols)}
        distances = _distances(frame, symbols, pairs, float(edges[-1]))
        volume = float(abs(np.linalg.det(frame.cell)))
        n_frames += 1
        for first, second in pairs:
            bins = (distances[first, second] / bin_A).astype(int)
            counts[first, second] += np.bincount(bins[bins < len(edges) - 1], minlength=len(edges) - 1)
            density[first, second] += number.get(second, 0) / volume
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    result = {}
    for first, second in pairs:
        if not n_frames or not number.get(first) or not number.get(second):
            continue
        per_atom = counts[first, second] / n_frames / number[first]
        g = per_atom / shells / (density[first, second] / n_frames)
        result[first, second] = RadialDistribution((edges[1:] + edges[:-1]) / 2, g, np.cumsum(per_atom))
    return result


def _distances(
    frame: Snapshot, symbols: NDArray[np.str_], pairs: Sequence[tuple[str, str]], cutoff: float
) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Return the distances below the cutoff from each atom of the first element to those of the second.

    A cell that is thick enough for one image of each pair takes plain products of blocks, ten times faster than a
    neighbour list of all elements.
    """
    if face_distances(frame.cell).min() <= 2 * cutoff:
        i, j, distance = near_pairs(frame.cell, frame.positions, cutoff)
        return {
            (first, second): distance[(symbols[i] == first) & (symbols[j] == second)] for first, second in pairs
        }
    fractional = frame.positions @ np.linalg.inv(frame.cell)
    found = {}
    for first, second in pairs:
        centres, others = fractional[symbols == first], fractional[symbols == second]
        rows = max(1, BLOCK // max(1, len(others)))
        parts = [np.zeros(0)]
        for start in range(0, len(centres), rows):
            shift = others[None] - centres[start : start + rows, None]
            squares = np.square((shift - np.rint(shift)) @ frame.cell).sum(axis=-1)
            if first == second:  # an atom is not its own neighbour
                own = np.arange(len(squares))
                squares[own, start + own] = np.inf
            parts.append(np.sqrt(squares[squares < cutoff * cutoff]))
        found[first, second] = np.concatenate(parts)
    return found
