"""Intervals of slopes, ratios and means of correlated series and of frames of trajectories."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dpa_sse.ops.core.intervals import blocks_of, mean_with_interval
from dpa_sse.ops.results.self_check import ErrorEstimate
from dpa_sse.ops.validation.gates.base import Array, Value
from dpa_sse.ops.validation.verdict import overall_estimate


def value_of(estimate: ErrorEstimate, more: str = "") -> Value:
    """Return a mean with its interval."""
    return Value(estimate.mean, estimate.ci95, estimate.n, more)


def mean_value(values: Array, blocks: Sequence[str], more: str = "") -> Value:
    """Return the mean over frames with an interval that allows for frames of one trajectory being alike."""
    estimate = overall_estimate(values.tolist(), list(blocks))
    assert estimate is not None  # noqa: S101  (callers have values)
    return value_of(estimate, more)


def correlation_time(series: Array) -> float:
    """Return the integrated autocorrelation time of a series in steps, at least one half.

    The sum over lags ends at the first that is not positive (Geyer's initial positive sequence, of pairs).
    """
    x = series - series.mean()
    variance = float((x**2).mean())
    if variance == 0 or len(x) < 4:
        return 0.5
    tau = 0.5
    for lag in range(1, len(x) // 2, 2):
        pair = sum(float((x[: len(x) - k] * x[k:]).sum()) / len(x) / variance for k in (lag, lag + 1))
        if pair <= 0:
            break
        tau += pair
    return max(tau, 0.5)


def slope_with_interval(time: Array, series: Array) -> tuple[float, float]:
    """Return the slope of a line through a correlated series, and half of its 95 % interval.

    The error of ordinary least squares is widened by the correlation time of the residuals, with Student's t for the
    number of independent values.
    """
    from scipy.stats import t

    x = time - time.mean()
    slope = float((x * series).sum() / (x**2).sum())
    rest = series - series.mean() - slope * x
    tau = correlation_time(rest)
    independent = max(3.5, len(rest) / (2 * tau))
    error = float(np.sqrt((rest**2).sum() / (len(rest) - 2) * 2 * tau / (x**2).sum()))
    return slope, float(t.ppf(0.975, independent - 2)) * error


def ratio_over_runs(
    own: Array, other: Array, runs: Sequence[str], parts: Sequence[str] = (), more: str = "", fewest: int = 2,
    together: int = 1,
) -> Value:
    """Return sum(own) / sum(other) with its 95 % interval over runs: the ratio estimator of stratified clusters.

    Linearised about the ratio (Cochran, Sampling Techniques, 1977, chapter 6), the variance of each part is that of the
    sums over its runs; Student's t has the degrees of freedom of Satterthwaite (Biometrics Bull. 2, 110 (1946)).

    Parameters
    ----------
    own, other : ndarray, shape (n,)
        Of frames.
    runs : sequence of str
        Trajectory of each frame: frames of one are alike.
    parts : sequence of str, optional
        Frames that were sampled in another way, each by the name of the way; all in one way by default.
    more : str
        What would make the interval narrower.
    fewest : int
        Runs that an interval needs, in each part.
    together : int
        Ratios whose intervals are to hold all at once (Bonferroni).
    """
    from scipy.stats import t

    ratio = float(own.sum() / other.sum())
    rest = (own - ratio * other) / other.sum()
    variances, freedom = [], []
    names = list(parts) or [""] * len(own)
    for part in dict.fromkeys(names):
        chosen = np.array([one == part for one in names])
        sums: dict[str, float] = {}
        for run, value in zip(np.array(runs)[chosen], rest[chosen], strict=True):
            sums[run] = sums.get(run, 0.0) + float(value)
        count = len(sums)
        if count < fewest:
            where = f" {part}" if part else ""
            lacking = f"{count} run{'s' * (count > 1)}{where}: {more} ({fewest} at least)"
            return _without_interval(own, other, runs, ratio, lacking)
        variances.append(count * float(np.var(list(sums.values()), ddof=1)))
        freedom.append(count - 1)
    total = sum(variances)
    number = len({*zip(names, runs, strict=True)})
    if not total:
        return Value(ratio, (ratio, ratio), number, more)
    effective = total**2 / sum(one**2 / own_freedom for one, own_freedom in zip(variances, freedom, strict=True))
    half = float(t.ppf(1 - 0.025 / together, effective)) * float(np.sqrt(total))
    return Value(ratio, (ratio - half, ratio + half), number, more)


def _without_interval(own: Array, other: Array, runs: Sequence[str], ratio: float, lacking: str) -> Value:
    """Return a ratio with its range over the runs, or over parts of a single one."""
    index = blocks_of(list(runs))
    above, below = np.bincount(index, own), np.bincount(index, other)
    each = above[below != 0] / below[below != 0]
    spread = (float(each.min()), float(each.max())) if len(each) else None
    return Value(ratio, None, len(set(runs)), lacking=lacking, spread=spread)


FEWEST = 3
"""Trajectories that the interval of a mean error needs."""


def mean_over_runs(sums: Array, counts: Array, runs: Sequence[str], more: str) -> Value:
    """Return a mean of positive values with its interval over trajectories; without one where there are too few.

    Parameters
    ----------
    sums, counts : ndarray, shape (n,)
        Sum and number of the values of each frame.
    runs : sequence of str
        Trajectory of each frame.
    more : str
        What would make the interval narrower.
    """
    index, number = blocks_of(list(runs)), len(set(runs))
    above, below = np.bincount(index, sums), np.bincount(index, counts)
    mean, interval = mean_with_interval(above, below)
    if mean == 0 and number >= FEWEST:
        return Value(0.0, (0.0, 0.0), number, more)
    if interval is not None and number >= FEWEST:
        return Value(mean, interval, number, more)
    each = above / below
    runs_word = "trajectory" if number == 1 else "trajectories"
    lacking = f"{number} held-out {runs_word}: {more} ({FEWEST} of similar length at least)"
    return Value(mean, None, number, more, lacking=lacking, spread=(float(each.min()), float(each.max())))
