"""Several arrangements of the atoms of one composition: the mean of their slopes, and what their spread means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dpa_sse.ops.conductivity.gls import Curve, Line
from dpa_sse.ops.conductivity.replica_msd import ReplicaMsd


@dataclass(frozen=True)
class ArrangementSpread:
    """Mean slope of the arrangements, what their spread means for it, and what to say about it.

    Attributes
    ----------
    slope : float
        A^2/ps; each arrangement counts the same.
    error : float
        Relative standard error of the mean.
    half : float
        Half width of the 95 % interval of ln D.
    """

    slope: float
    error: float
    half: float
    text: str


def arrangement_spread(
    replicas: Sequence[ReplicaMsd], curve: Curve, line: Line, arrangements: Sequence[str]
) -> ArrangementSpread:
    """Return the error of the mean over arrangements from their spread (Student t): they are the independent samples.

    The spread contains the error of each single D, too.
    """
    from scipy.stats import t as student

    slopes = np.array(_slopes_by_arrangement(replicas, curve, line, arrangements))
    count = len(slopes)
    mean = max(float(slopes.mean()), 1e-3 * line.sigma)
    deviation = float(slopes.std(ddof=1)) / mean
    error = deviation / float(np.sqrt(count))
    half = float(student.ppf(0.975, count - 1)) * error
    text = f"mean of {count} arrangements of the atoms, whose D scatter by {deviation:.0%}"
    return ArrangementSpread(mean, error, half, text + ("; 4 or more give a narrower interval" if count < 4 else ""))


def _slopes_by_arrangement(
    replicas: Sequence[ReplicaMsd], curve: Curve, line: Line, arrangements: Sequence[str]
) -> list[float]:
    """Return the mean slope of the replicas of each arrangement, A^2/ps."""
    slopes: dict[str, list[float]] = {}
    for one, name in zip(replicas, arrangements, strict=True):
        slopes.setdefault(name, []).append(float(line.weights @ one.msd[curve.lags]))
    return [float(np.mean(found)) for found in slopes.values()]
