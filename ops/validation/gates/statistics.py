"""Intervals of slopes, ratios and means of correlated series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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


def slope_through_zero(own: Array, other: Array, blocks: Sequence[str], seed: int = 0) -> Value:
    """Return the slope of ``own`` against ``other`` through zero: the regression of frames, with a bootstrap interval.

    Parameters
    ----------
    own, other : ndarray, shape (n, ...)
        Forces of frames.
    blocks : sequence of str
        Trajectory of each frame; trajectories are drawn, or frames where there are fewer than eight.
    seed : int
    """
    axes = tuple(range(1, own.ndim))
    cross, square = (own * other).sum(axis=axes), (other**2).sum(axis=axes)
    names = list(dict.fromkeys(blocks))
    if len(names) >= 8:
        index = np.array([names.index(name) for name in blocks])
        cross, square = (np.bincount(index, values) for values in (cross, square))
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(cross), (2000, len(cross)))
    slopes = cross[drawn].sum(axis=1) / square[drawn].sum(axis=1)
    low, high = np.percentile(slopes, [2.5, 97.5])
    value = float(cross.sum() / square.sum())
    # few values: the percentile interval is too narrow by about sqrt(n/(n-1)) times t over its normal value
    from scipy.stats import t

    wider = float(t.ppf(0.975, len(cross) - 1) / 1.96 * np.sqrt(len(cross) / (len(cross) - 1))) if len(cross) > 1 else 1
    return Value(value, (value - wider * (value - low), value + wider * (high - value)), len(cross))
