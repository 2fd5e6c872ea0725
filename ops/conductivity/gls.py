"""Slope of a mean squared displacement by generalised least squares, with a calibrated error.

Overlapping windows make neighbouring points of an MSD curve almost copies of each other, so an ordinary regression
claims an error that is a hundred times too small. The fit uses the covariance of all points for Brownian motion plus
white noise (Bullerjahn, von Buelow, Hummer, J. Chem. Phys. 153, 024116 (2020)), to which the fourth cumulant of rare
large hops (compound Poisson process) is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_DIMENSIONS = 3
_TABLE_FRAMES = 20_000


@dataclass(frozen=True)
class Curve:
    """One or several replicas of an MSD, averaged, with what the covariance needs.

    Attributes
    ----------
    lags : numpy.ndarray
        (K,) lags in frames; ``times`` in ps.
    values : numpy.ndarray
        (K,) weighted mean of the MSD of the replicas, A^2.
    table : numpy.ndarray
        (4, K, K) parameter-free sums of the covariance (``kernels.overlap_sums``), averaged over replicas and ions.
    fourth_rate : float
        Growth of the fourth cumulant of |dr| by hops, A^4/ps.
    """

    lags: np.ndarray
    times: np.ndarray
    values: np.ndarray
    table: np.ndarray
    dt_ps: float
    fourth_rate: float = 0.0

    def part(self, select: np.ndarray) -> Curve:
        """Return the curve at some of its points."""
        return Curve(
            self.lags[select], self.times[select], self.values[select], self.table[:, select][:, :, select],
            self.dt_ps, self.fourth_rate,
        )


@dataclass(frozen=True)
class Line:
    """A fitted straight line a + b t.

    Attributes
    ----------
    slope, intercept : float
        A^2/ps and A^2.
    sigma : float
        Standard error of the slope by the model covariance.
    chi2_red : float
        Reduced chi square; above one the model misses some correlation.
    weights : numpy.ndarray
        (K,), slope = weights . values.
    """

    slope: float
    intercept: float
    sigma: float
    chi2_red: float
    weights: np.ndarray
    covariance: np.ndarray

    @property
    def birge_sigma(self) -> float:
        """Standard error scaled by the Birge factor sqrt(max(1, chi2_red))."""
        return self.sigma * float(np.sqrt(max(1.0, self.chi2_red)))


def overlap_table(lags: np.ndarray, n_frames: int, origins: int | None = None) -> np.ndarray:
    """Return ``kernels.overlap_sums`` in units of one frame, (4, K, K).

    Very long runs are counted on a coarser time grid: the sums are smooth on the scale of the shortest lag.

    Parameters
    ----------
    lags : numpy.ndarray
        (K,), frames.
    n_frames : int
        Length of the run.
    origins : int, optional
        Number of windows at every lag; all that fit into the run by default.
    """
    from dpa_sse.ops.conductivity import kernels

    coarse = max(1, min(n_frames // _TABLE_FRAMES, int(lags[0]) // 20))
    grid = np.maximum(1, np.rint(lags / coarse)).astype(np.int64)
    counts = n_frames // coarse - grid if origins is None else np.full(len(grid), max(1, origins // coarse))
    table = kernels.overlap_sums(grid, counts.astype(np.int64))
    table[0] *= coarse**2
    table[1] *= coarse
    table[3] *= coarse
    return table


def combine(
    values: Sequence[np.ndarray], n_frames: Sequence[int], n_series: Sequence[int], lags: np.ndarray, dt_ps: float,
    fourth_rate: float = 0.0,
) -> Curve:
    """Average the MSD of replicas with weights ions x frames and add up their covariance sums.

    Parameters
    ----------
    values : sequence of numpy.ndarray
        MSD of each replica at ``lags``, (K,), A^2.
    n_frames, n_series : sequence of int
        Frames and independent series (ions; 1 for a collective quantity) of each replica.
    lags : numpy.ndarray
        (K,), frames.
    dt_ps : float
        Time between frames.
    fourth_rate : float
        See ``Curve``.
    """
    weights = np.array([count * frames for count, frames in zip(n_series, n_frames, strict=True)], dtype=float)
    weights /= weights.sum()
    tables: dict[int, np.ndarray] = {frames: overlap_table(lags, frames) for frames in set(n_frames)}
    table = sum(w**2 / count * tables[frames] for w, count, frames in zip(weights, n_series, n_frames, strict=True))
    mean = sum(w * y for w, y in zip(weights, values, strict=True))
    return Curve(lags, lags * dt_ps, np.asarray(mean), np.asarray(table), dt_ps, fourth_rate)


def covariance(curve: Curve, slope: float, intercept: float) -> np.ndarray:
    """Return the covariance (K, K) of the MSD points for a slope (A^2/ps) and intercept (A^2).

    Cov(y_m, y_n) = 1/(N K_m K_n) sum_{s,t} [2 d c_st^2 + kappa dt ov_st], c_st = (b dt/d) ov_st + u^2 E_st.
    """
    step = slope * curve.dt_ps / _DIMENSIONS
    noise = max(intercept, 0.0) / (2 * _DIMENSIONS)
    a, b, c, d = curve.table
    brownian = 2 * _DIMENSIONS * (step**2 * a + 2 * step * noise * b + noise**2 * c)
    return brownian + max(curve.fourth_rate, 0.0) * curve.dt_ps * d


def fit_line(curve: Curve, iterations: int = 3) -> Line:
    """Fit a + b t to a curve; the covariance follows the fitted slope and intercept.

    Returns
    -------
    Line
        The slope may be negative; the covariance then uses the smallest slope that the data allow.
    """
    times, values = curve.times, curve.values
    design = np.column_stack([np.ones_like(times), times])
    floor = max(0.02 * float(values.mean() / times.mean()), 1e-12)
    slope, intercept = np.polyfit(times, values, 1)[[0, 1]]
    for _ in range(iterations):
        matrix = covariance(curve, max(float(slope), floor), float(intercept))
        matrix[np.diag_indices_from(matrix)] *= 1 + 1e-10
        solved = np.linalg.solve(matrix, np.column_stack([design, values]))
        parameters = np.linalg.inv(design.T @ solved[:, :2])
        intercept, slope = parameters @ (design.T @ solved[:, 2])
    weights = (parameters @ solved[:, :2].T)[1]
    residual = values - design @ np.array([intercept, slope])
    chi2 = float(residual @ np.linalg.solve(matrix, residual)) / max(1, len(times) - 2)
    return Line(float(slope), float(intercept), float(np.sqrt(parameters[1, 1])), chi2, weights, parameters)


def curvature(curve: Curve, line: Line) -> float:
    """Return the amplitude of an added relaxation exp(-t / t_first), in standard errors.

    Negative when the MSD bends downwards, as it does while ions still relax in their cages.
    """
    times = curve.times
    design = np.column_stack([np.ones_like(times), times, np.exp(1 - times / times[0])])
    matrix = covariance(curve, max(line.slope, 0.02 * float(curve.values.mean() / times.mean()), 1e-12), line.intercept)
    matrix[np.diag_indices_from(matrix)] *= 1 + 1e-10
    solved = np.linalg.solve(matrix, np.column_stack([design, curve.values]))
    parameters = np.linalg.inv(design.T @ solved[:, :3])
    amplitude = parameters[2] @ (design.T @ solved[:, 3])
    return float(amplitude / np.sqrt(parameters[2, 2]))
