"""What is read off each run before a line is fitted: averaged curve, scatter of time blocks, size of hopping groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dpa_sse.ops.conductivity.correlation import log_lags, steps_of_means
from dpa_sse.ops.conductivity.diffusive_regime import latest_start
from dpa_sse.ops.conductivity.gls import Curve, combine, fit_line, overlap_table

_GROUP_SPANS = 40


@dataclass
class Part:
    """One run of one mobile species.

    Attributes
    ----------
    msd : numpy.ndarray
        (L + 1,), A^2, at lags 0 .. L frames.
    components : numpy.ndarray
        (6, L + 1), A^2: xx, yy, zz, xy, xz, yz.
    fourth : tuple
        (lags in frames, <r^2>, <r^4>).
    scatter : tuple or None
        Observed over expected scatter between time blocks of this run, and the number of blocks.
    block_slopes : numpy.ndarray or None
        Slope of the MSD in each time block, A^2/ps.
    group : float or None
        How many ions hop at a time, see ``group_size``.
    """

    n_ions: int
    n_frames: int
    dt_ps: float
    components: np.ndarray
    fourth: tuple[np.ndarray, np.ndarray, np.ndarray]
    tracks: np.ndarray | None = None
    scatter: tuple[float, int] | None = None
    block_slopes: np.ndarray | None = None
    group: float | None = None

    @property
    def msd(self) -> np.ndarray:
        """Total MSD."""
        return self.components[:3].sum(axis=0)

    @property
    def length_ps(self) -> float:
        """Length of the run."""
        return (self.n_frames - 1) * self.dt_ps


def mean_msd(parts: Sequence[Part]) -> np.ndarray:
    """Return the MSD averaged over replicas up to half of the shortest one, A^2."""
    last = min(part.n_frames for part in parts) // 2
    return np.average([part.msd[: last + 1] for part in parts], axis=0, weights=[part.n_ions for part in parts])


def fourth_rate(part: Part, hop_A: float) -> float:
    """Return the growth of the fourth cumulant of |dr| (A^4/ps): Var|dr|^2 = (2/d) MSD^2 + rate t.

    Read off where the MSD is between a half and two squared hops, where hops dominate and statistics are good.
    """
    lags, second, fourth = part.fourth
    near = np.flatnonzero((second > 0.4 * hop_A**2) & (second < 2 * hop_A**2))
    if len(near) == 0:
        near = np.array([len(lags) - 1])
    excess = fourth[near] - (5 / 3) * second[near] ** 2
    return float(max(0.0, np.median(excess / (lags[near] * part.dt_ps))))


def make_curve(parts: Sequence[Part], hop_A: float, given_ps: float | None) -> Curve:
    """Return the averaged MSD on log-spaced lags from the earliest possible start to twice the latest one, and at T/2.

    The last point is used by no fit: it shows whether the line goes on, see ``estimate.bend``.
    """
    msd = mean_msd(parts)
    latest = round(latest_start(min(part.length_ps for part in parts), len(parts)) / parts[0].dt_ps)
    above = np.flatnonzero(msd[: 2 * latest + 1] > 0.5 * hop_A**2)
    first = max(1, int(above[0])) if len(above) else max(1, latest)
    if given_ps:
        first = max(1, round(given_ps / parts[0].dt_ps))
    lags = log_lags(max(1, min(first, latest)), min(2 * latest, len(msd) - 1))
    lags = np.unique(np.append(lags, len(msd) - 1))
    rates = [fourth_rate(part, hop_A) for part in parts]
    return combine(
        [part.msd[lags] for part in parts], [part.n_frames for part in parts], [part.n_ions for part in parts],
        lags, parts[0].dt_ps, float(np.mean(rates)),
    )


def block_scatter(part: Part, hop_A: float) -> tuple[float, int] | None:
    """Return observed over expected scatter of the slope between time blocks, and the number of blocks (5 to 20).

    A block is some eight times the first possible start long. Each is fitted with the weights of a generalised least
    squares line on lags up to half of it; the model covariance, which takes ions as independent, says how much the
    blocks should differ. Concerted hops make the ratio larger than one.
    """
    if part.tracks is None:
        return None
    from dpa_sse.ops.conductivity import kernels

    frames = part.n_frames
    above = np.flatnonzero(part.msd[: frames // 8 + 1] > 0.5 * hop_A**2)
    first = max(1, int(above[0])) if len(above) else max(1, frames // 40)
    count = int(np.clip(frames // (8 * first), 5, 20))
    size = frames // count
    lags = log_lags(max(1, min(first, size // 4)), size // 2, 1.15)
    if len(lags) < 4:
        return None
    edges = np.linspace(0, frames - int(lags[-1]), count + 1).astype(np.int64)
    table = overlap_table(lags, frames, int(np.diff(edges).min())) / part.n_ions
    curve = Curve(lags, lags * part.dt_ps, part.msd[lags], table, part.dt_ps, fourth_rate(part, hop_A))
    line = fit_line(curve)
    slopes = kernels.block_msd(part.tracks, lags, edges, np.maximum(1, lags // 8)) @ line.weights
    part.block_slopes = slopes
    return float(slopes.std(ddof=1)) / line.sigma, len(edges) - 1


def group_size(part: Part, hop_A: float) -> float | None:
    """Return how many ions hop at a time: variance over mean of the number of hops in short times, at least one.

    A hop is a displacement by more than half its length between the means over successive fortieths of the run. With
    independent ions their number has the variance of a Poisson process; groups of K ions multiply it by K.
    """
    if part.tracks is None:
        return None
    size = max(3, part.n_frames // _GROUP_SPANS)
    if part.n_frames // size < 5:
        return 1.0
    hops = (np.linalg.norm(steps_of_means(part.tracks, size), axis=1) > 0.5 * hop_A).sum(axis=0)
    return float(np.clip(hops.var(ddof=1) / max(hops.mean(), 1e-12), 1.0, part.n_ions))
