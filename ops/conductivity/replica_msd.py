"""MSD of each replica and the statistics of its hops, measured before a line is fitted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dpa_sse.ops.conductivity.correlation import fourth_moments, log_lags, msd_tensor, steps_of_means
from dpa_sse.ops.conductivity.diffusive_regime import latest_start
from dpa_sse.ops.conductivity.gls import Curve, combine, fit_line, overlap_table

_GROUP_SPANS = 40


@dataclass(frozen=True)
class HopStatistics:
    """Scatter between time blocks of one run, and how many ions hop at a time.

    Attributes
    ----------
    block_slopes : numpy.ndarray or None
        (B,), slope of the MSD in each time block, A^2/ps; None where blocks have too few frames.
    scatter : float or None
        Observed over expected scatter of those slopes.
    group : float
        See ``group_size``.
    """

    block_slopes: np.ndarray | None
    scatter: float | None
    group: float


@dataclass(frozen=True)
class ReplicaMsd:
    """Mean squared displacement of one mobile species in one run.

    Attributes
    ----------
    components : numpy.ndarray
        (6, L + 1), A^2, at lags 0 .. L frames: xx, yy, zz, xy, xz, yz.
    fourth : tuple
        (lags in frames, <r^2>, <r^4>), (K,) each.
    hops : HopStatistics or None
        None where no line will be fitted.
    """

    n_ions: int
    n_frames: int
    dt_ps: float
    components: np.ndarray
    fourth: tuple[np.ndarray, np.ndarray, np.ndarray]
    hops: HopStatistics | None = None

    @property
    def msd(self) -> np.ndarray:
        """Total MSD, (L + 1,), A^2."""
        return self.components[:3].sum(axis=0)

    @property
    def length_ps(self) -> float:
        """Length of the run."""
        return (self.n_frames - 1) * self.dt_ps


def measure_replica(series: np.ndarray, dt_ps: float, max_lag: int | None = None) -> ReplicaMsd:
    """Return the MSD of displacements (M, 3, T) float32, A, up to ``max_lag`` frames (half of the run by default)."""
    last = series.shape[2] // 2 if max_lag is None else max_lag
    lags = log_lags(1, last, 1.25)
    second, fourth = fourth_moments(series, lags)
    return ReplicaMsd(len(series), series.shape[2], dt_ps, msd_tensor(series, last), (lags, second, fourth))


def add_hop_statistics(replica: ReplicaMsd, series: np.ndarray, hop_A: float) -> ReplicaMsd:
    """Return the replica with the statistics of its hops, from its displacements (M, 3, T) float32, A."""
    slopes, scatter = block_scatter(replica, series, hop_A) or (None, None)
    return dataclasses.replace(replica, hops=HopStatistics(slopes, scatter, group_size(series, hop_A)))


def mean_msd(replicas: Sequence[ReplicaMsd]) -> np.ndarray:
    """Return the MSD averaged over replicas up to half of the shortest one, A^2."""
    last = min(one.n_frames for one in replicas) // 2
    return np.average([one.msd[: last + 1] for one in replicas], axis=0, weights=[one.n_ions for one in replicas])


def fourth_rate(replica: ReplicaMsd, hop_A: float) -> float:
    """Return the growth of the fourth cumulant of |dr| (A^4/ps): Var|dr|^2 = (2/d) MSD^2 + rate t.

    Taken where the MSD is between a half and two squared hops: there hops dominate and statistics are good.
    """
    lags, second, fourth = replica.fourth
    near = np.flatnonzero((second > 0.4 * hop_A**2) & (second < 2 * hop_A**2))
    if len(near) == 0:
        near = np.array([len(lags) - 1])
    excess = fourth[near] - (5 / 3) * second[near] ** 2
    return float(max(0.0, np.median(excess / (lags[near] * replica.dt_ps))))


def make_curve(replicas: Sequence[ReplicaMsd], hop_A: float, given_ps: float | None) -> Curve:
    """Return the averaged MSD on log-spaced lags from the earliest possible start to twice the latest one, and at T/2.

    No fit uses the last point: it shows whether the MSD keeps following the line, see ``estimate.late_slope_test``.
    """
    msd, dt_ps = mean_msd(replicas), replicas[0].dt_ps
    latest = round(latest_start(min(one.length_ps for one in replicas), len(replicas)) / dt_ps)
    above = np.flatnonzero(msd[: 2 * latest + 1] > 0.5 * hop_A**2)
    first = max(1, int(above[0])) if len(above) else max(1, latest)
    if given_ps:
        first = max(1, round(given_ps / dt_ps))
    lags = log_lags(max(1, min(first, latest)), min(2 * latest, len(msd) - 1))
    lags = np.unique(np.append(lags, len(msd) - 1))
    rates = [fourth_rate(one, hop_A) for one in replicas]
    return combine(
        [one.msd[lags] for one in replicas], [one.n_frames for one in replicas], [one.n_ions for one in replicas],
        lags, dt_ps, float(np.mean(rates)),
    )


def block_scatter(replica: ReplicaMsd, series: np.ndarray, hop_A: float) -> tuple[np.ndarray, float] | None:
    """Return the slope of the MSD in each of 5 to 20 time blocks, (B,), and observed over expected scatter of them.

    A block is about eight times the first possible start long. Each is fitted with the weights of a generalised least
    squares line on lags up to half of it; the model covariance, which takes ions as independent, gives the expected
    scatter. Concerted hops make the ratio larger than one. None for too short blocks.
    """
    from dpa_sse.ops.conductivity import kernels

    frames = replica.n_frames
    above = np.flatnonzero(replica.msd[: frames // 8 + 1] > 0.5 * hop_A**2)
    first = max(1, int(above[0])) if len(above) else max(1, frames // 40)
    count = int(np.clip(frames // (8 * first), 5, 20))
    size = frames // count
    lags = log_lags(max(1, min(first, size // 4)), size // 2, 1.15)
    if len(lags) < 4:
        return None
    edges = np.linspace(0, frames - int(lags[-1]), count + 1).astype(np.int64)
    table = overlap_table(lags, frames, int(np.diff(edges).min())) / replica.n_ions
    curve = Curve(lags, lags * replica.dt_ps, replica.msd[lags], table, replica.dt_ps, fourth_rate(replica, hop_A))
    line = fit_line(curve)
    slopes = kernels.block_msd(series, lags, edges, np.maximum(1, lags // 8)) @ line.weights
    return slopes, float(slopes.std(ddof=1)) / line.sigma


def group_size(series: np.ndarray, hop_A: float) -> float:
    """Return how many ions hop at a time: variance over mean of the number of hops in short times, at least one.

    A hop is a displacement by more than half its length between the means over successive fortieths of the run. With
    independent ions their number has the variance of a Poisson process; groups of K ions multiply it by K.
    """
    n_ions, _, n_frames = series.shape
    size = max(3, n_frames // _GROUP_SPANS)
    if n_frames // size < 5:
        return 1.0
    hops = (np.linalg.norm(steps_of_means(series, size), axis=1) > 0.5 * hop_A).sum(axis=0)
    return float(np.clip(hops.var(ddof=1) / max(hops.mean(), 1e-12), 1.0, n_ions))
