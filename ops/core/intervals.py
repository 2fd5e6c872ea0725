"""Intervals of means over correlated values, from blocks that are independent of each other.

The blocks are whole trajectories: frames of one trajectory resemble each other, so the scatter of single frames makes
intervals far too narrow. With the handful of trajectories of a test set, resampling them (the percentile bootstrap over
blocks) still gives intervals that are too narrow. Here the standard error over blocks is multiplied by the quantile of
Student's t for their number, on a logarithmic scale, because errors are positive and skewed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCKS_OF_ONE = 5
"""A single trajectory is cut into this many consecutive blocks."""
MIN_BLOCKS = 1.9
"""Effective number of blocks that a difference needs."""
MIN_TRAJECTORIES = 2.5
"""The same for a mean of errors: with two, the interval would span decades."""


def mean_with_interval(
    sums: Sequence[float] | NDArray[Any], weights: Sequence[float] | NDArray[Any]
) -> tuple[float, tuple[float, float] | None]:
    """Return a weighted mean of positive values, and its 95 % interval over blocks.

    Parameters
    ----------
    sums : sequence of float
        Sum of the values in each block.
    weights : sequence of float
        Number of values in each block.

    Returns
    -------
    tuple of float and tuple, or None
        The mean of all values; None for the interval of fewer than three blocks, or of a mean that is not positive.
    """
    from scipy.stats import t

    total, count = np.asarray(sums, float), np.asarray(weights, float)
    mean = float(total.sum() / count.sum())
    blocks = _effective_blocks(count)
    if blocks < MIN_TRAJECTORIES or mean <= 0:
        return mean, None
    error = _error(total - mean * count, count)
    factor = float(np.exp(t.ppf(0.975, blocks - 1) * error / mean))
    return mean, (mean / factor, mean * factor)


def difference_with_interval(
    first: Sequence[float], second: Sequence[float], weights: Sequence[float]
) -> tuple[float, tuple[float, float] | None]:
    """Return the difference of two weighted means over the same blocks, and its 95 % interval.

    Parameters
    ----------
    first, second : sequence of float
        Sums in each block; a pair belongs to the same frames, so that what makes a trajectory hard for both cancels.
    weights : sequence of float
        Number of values in each block.
    """
    from scipy.stats import t

    change, count = np.asarray(first, float) - np.asarray(second, float), np.asarray(weights, float)
    mean = float(change.sum() / count.sum())
    blocks = _effective_blocks(count)
    if blocks < MIN_BLOCKS:
        return mean, None
    half = float(t.ppf(0.975, blocks - 1)) * _error(change - mean * count, count)
    return mean, (mean - half, mean + half)


def blocks_of(names: Sequence[str]) -> NDArray[np.int_]:
    """Return the number of the block of each value: one block for each name, or parts of a single one."""
    known = {name: number for number, name in enumerate(dict.fromkeys(names))}
    if len(known) > 1:
        return np.array([known[name] for name in names])
    parts = min(BLOCKS_OF_ONE, len(names) // 2)
    return np.arange(len(names)) * max(1, parts) // max(1, len(names))


def _error(residuals: NDArray[np.float64], count: NDArray[np.float64]) -> float:
    """Return the standard error of a ratio of sums over blocks."""
    blocks = _effective_blocks(count)
    return float(np.sqrt(blocks / (blocks - 1) * (residuals**2).sum()) / count.sum())


def _effective_blocks(count: NDArray[np.float64]) -> float:
    """Return the number of equally long blocks that determine a mean as well: one long block counts as one."""
    return float(count.sum() ** 2 / (count**2).sum()) if len(count) else 0.0
