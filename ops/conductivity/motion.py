"""How the ions move: non-Gaussian parameter, van Hove functions, displacement histogram, density maps, jumps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dpa_sse.ops.conductivity.correlation import steps_of_means
from dpa_sse.ops.conductivity.displacements import Displacements

_WINDOWS = 60_000
_PAIRS = 400_000  # per lag time
_SPAN_PS = 0.5
_MAPS = ((0, 1), (0, 2), (1, 2))


@dataclass(frozen=True)
class IonMotion:
    """Distributions of one mobile species in one run.

    Attributes
    ----------
    times_ps : numpy.ndarray
        (K,) lag times of the van Hove functions.
    radii_A : numpy.ndarray
        (B,) centres of the bins of the self part; ``distinct_radii_A`` those of the distinct part.
    self_part : numpy.ndarray
        (K, B) 4 pi r^2 G_s(r, t), 1/A, normalised to one.
    distinct_part : numpy.ndarray
        (K, B') G_d(r, t) over the mean density; tends to one at large r.
    net_A : numpy.ndarray
        (M,) net displacement of each ion over the run, vibrations averaged out.
    moved_fraction : float
        Share of ions with a net displacement above one hop.
    maps : dict
        "xy", "xz", "yz" -> (G, G) probability of finding a mobile ion, projected along the third cell vector, in
        reduced coordinates; mean one.
    jumps_A : numpy.ndarray
        (J, 3) jump vectors, A, see :func:`jump_vectors`.
    """

    times_ps: np.ndarray
    radii_A: np.ndarray
    self_part: np.ndarray
    distinct_radii_A: np.ndarray
    distinct_part: np.ndarray
    net_A: np.ndarray
    moved_fraction: float
    maps: dict[str, np.ndarray]
    jumps_A: np.ndarray


def non_gaussian(second: np.ndarray, fourth: np.ndarray) -> np.ndarray:
    """Return alpha_2 = 3 <r^4> / (5 <r^2>^2) - 1 (Rahman, Phys. Rev. 136, A405 (1964)); zero for Gaussian motion."""
    return 3 * fourth / (5 * np.maximum(second, 1e-30) ** 2) - 1


def ion_motion(displacements: Displacements, species: str, hop_A: float, n_times: int = 16) -> IonMotion:
    """Return the distributions of one mobile species.

    Parameters
    ----------
    displacements : Displacements
    species : str
    hop_A : float
        Distance between sites.
    n_times : int
        Number of lag times, log-spaced from one frame to a quarter of the run.
    """
    series = displacements.of(species)
    last = max(2, displacements.n_frames // 4)
    lags = np.unique(np.rint(np.geomspace(1, last, n_times)).astype(np.int64))
    edges = np.arange(0.0, 4.0 * hop_A + 1e-9, 0.1)
    net = net_displacements(series)
    radii, distinct = distinct_part(displacements, species, lags)
    return IonMotion(
        times_ps=lags * displacements.dt_ps,
        radii_A=0.5 * (edges[1:] + edges[:-1]),
        self_part=self_part(series, lags, edges),
        distinct_radii_A=radii,
        distinct_part=distinct,
        net_A=net,
        moved_fraction=float((net > hop_A).mean()),
        maps=density_maps(displacements, species),
        jumps_A=jump_vectors(series, displacements.dt_ps, hop_A),
    )


def net_displacements(series: np.ndarray) -> np.ndarray:
    """Return |displacement| of each ion between the means of the first and last twentieth of a run, (M,), A."""
    part = max(1, series.shape[2] // 20)
    shift = series[:, :, -part:].mean(axis=2) - series[:, :, :part].mean(axis=2)
    return np.linalg.norm(shift, axis=1)


def jump_vectors(series: np.ndarray, dt_ps: float, hop_A: float) -> np.ndarray:
    """Return the displacements by more than half a hop between the means over successive spans of time, (J, 3), A.

    A span is half a picosecond, which averages vibrations out (a period is about 0.1 ps), or three frames if they are
    further apart. A jump that falls inside a span is split over the two adjacent differences, and the larger one
    counts.

    Parameters
    ----------
    series : numpy.ndarray
        (M, 3, T), A, displacement of each ion.
    dt_ps : float
        Time between frames.
    hop_A : float
        Distance between sites.
    """
    span = max(3, round(_SPAN_PS / dt_ps))
    if series.shape[2] // span < 2:
        return np.zeros((0, 3))
    moves = steps_of_means(series, span).transpose(0, 2, 1).reshape(-1, 3)
    return moves[np.linalg.norm(moves, axis=1) > 0.5 * hop_A]


def rose(jumps_A: np.ndarray, axes: tuple[int, int], bins: int = 36) -> tuple[np.ndarray, np.ndarray]:
    """Return directions (radians, centres of the bins) and the share of the jumps in a plane of Cartesian axes.

    Each jump counts with the fraction of its squared length in the plane. Bins are centred on the axes, which jumps
    often follow.
    """
    edges = np.linspace(-np.pi, np.pi, bins + 1) - np.pi / bins
    x, y = jumps_A[:, axes[0]], jumps_A[:, axes[1]]
    weights = (x**2 + y**2) / np.maximum((jumps_A**2).sum(axis=1), 1e-30)
    angles = np.arctan2(y, x)
    counts, _ = np.histogram(np.where(angles < edges[-1], angles, angles - 2 * np.pi), edges, weights=weights)
    return 0.5 * (edges[1:] + edges[:-1]), counts / max(len(jumps_A), 1)


def self_part(series: np.ndarray, lags: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return 4 pi r^2 G_s(r, t) in 1/A, (K, bins), normalised over all distances, also those beyond the last edge."""
    result = []
    for lag in lags:
        stride = max(1, (series.shape[2] - lag) * series.shape[0] // _WINDOWS)
        moves = series[:, :, lag::stride][:, :, : -(-(series.shape[2] - lag) // stride)]
        start = series[:, :, : series.shape[2] - lag : stride]
        distances = np.sqrt(((moves[:, :, : start.shape[2]] - start) ** 2).sum(axis=1)).ravel()
        counts, _ = np.histogram(distances, edges)
        result.append(counts / (distances.size * np.diff(edges)))
    return np.array(result)


def distinct_part(displacements: Displacements, species: str, lags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return radii (A) and G_d(r, t) / density for pairs of different ions, from some origins, (K, bins)."""
    symbols = np.array(displacements.symbols)
    ions = np.flatnonzero(symbols == species)
    series = displacements.of(species)
    widths = displacements.volume_A3 / np.linalg.norm(
        np.cross(np.roll(displacements.cell, -1, axis=0), np.roll(displacements.cell, -2, axis=0)), axis=1
    )
    edges = np.arange(0.0, min(10.0, 0.5 * widths.min()), 0.25)
    if len(ions) < 2 or len(edges) < 2:
        return np.array([]), np.zeros((len(lags), 0))
    start = displacements.first[ions] @ displacements.cell
    inverse = np.linalg.inv(displacements.cell)
    origins = int(np.clip(_PAIRS // len(ions) ** 2, 1, 50))
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    ideal = shells * (len(ions) - 1) / displacements.volume_A3
    result = []
    for lag in lags:
        histogram = np.zeros(len(edges) - 1)
        frames = np.linspace(0, displacements.n_frames - 1 - lag, origins).astype(int)
        for frame in frames:
            here, there = start + series[:, :, frame], start + series[:, :, frame + lag]
            delta = (there[None] - here[:, None]) @ inverse
            delta -= np.rint(delta)
            distances = np.sqrt(((delta @ displacements.cell) ** 2).sum(axis=2))
            np.fill_diagonal(distances, np.inf)
            histogram += np.histogram(distances, edges)[0]
        result.append(histogram / (len(frames) * len(ions) * ideal))
    return 0.5 * (edges[1:] + edges[:-1]), np.array(result)


def density_maps(displacements: Displacements, species: str, bins: int = 60) -> dict[str, np.ndarray]:
    """Return projected densities of the mobile ions in reduced coordinates, mean one, from the sampled frames."""
    ions = np.flatnonzero(np.array(displacements.symbols) == species)
    reduced = (displacements.first[ions] + displacements.samples[:, ions]).reshape(-1, 3) % 1.0
    maps = {}
    for i, j in _MAPS:
        counts, _, _ = np.histogram2d(reduced[:, i], reduced[:, j], bins=bins, range=((0, 1), (0, 1)))
        maps["xyz"[i] + "xyz"[j]] = counts / max(counts.mean(), 1e-30)
    return maps
