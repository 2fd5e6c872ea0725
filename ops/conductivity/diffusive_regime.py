"""Where diffusion starts: an average over possible starts, weighted by how straight the MSD is from there on.

A single start that is barely acceptable biases the slope, and a safely late one wastes most of the run. Every candidate
start therefore gets a generalised least squares line and a test for curvature (an added relaxation exp(-t / start));
starts are averaged with weights exp(-z^2) / sigma, where z is the curvature in standard errors, scaled by the observed
scatter. The spread between starts enters the error. This is model averaging over data cuts (Jay and Neil, Phys. Rev. D
103, 114502 (2021)) with a directed test in place of the total chi square, which is blind to slow curvature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dpa_sse.ops.conductivity.gls import Curve, Line, curvature, fit_line
from dpa_sse.ops.results.conductivity import PlateauPoint

STEP = 1.3
_MAX_POINTS = 30
_STRAIGHT = 2.0


@dataclass(frozen=True)
class DiffusiveFit:
    """The line through the diffusive part of an MSD, averaged over starts.

    Attributes
    ----------
    start_ps : float
        Weighted mean of the starts.
    collective_ps : float
        Start for collective quantities, to which ions that relax in their cages contribute less: half of ``start_ps``,
        at least 2.2 times the first candidate.
    line : Line
        Averaged line; ``weights`` act on all points of the curve and give the slope.
    spread : float
        Standard deviation of the slope between starts, A^2/ps.
    window : tuple of float
        First and last time with a weight, ps.
    straight : bool
        False if the MSD is still curved (two sigma) from every candidate on.
    plateau : tuple of PlateauPoint
        Every candidate start, for the plateau plot.
    """

    start_ps: float
    collective_ps: float
    line: Line
    spread: float
    window: tuple[float, float]
    straight: bool
    plateau: tuple[PlateauPoint, ...] = ()


def latest_start(length_ps: float, n_runs: int) -> float:
    """Return the latest start to try, ps: an eighth of a run, up to a quarter with four replicas or more.

    Fits end at twice that time: a single run still holds four windows of the longest lag.
    """
    return length_ps / 8 * min(2.0, float(np.sqrt(n_runs)))


def needed_margin(n_runs: int) -> float:
    """Return how much later than the first candidate the latest start must be: 1.7, up to twice that for replicas."""
    return STEP**2 * min(2.0, float(np.sqrt(n_runs)))


def window_points(curve: Curve, start_ps: float, latest_ps: float) -> np.ndarray:
    """Return indices of the points used from a start: up to min(2 latest start, 20 start), at most 30 of them."""
    last = min(2 * latest_ps, 20 * start_ps)
    inside = np.flatnonzero((curve.times >= start_ps * (1 - 1e-9)) & (curve.times <= last * (1 + 1e-9)))
    if len(inside) > _MAX_POINTS:
        inside = inside[np.unique(np.rint(np.linspace(0, len(inside) - 1, _MAX_POINTS)).astype(int))]
    return inside


def candidates(curve: Curve, latest_ps: float, hop_A: float) -> np.ndarray:
    """Return candidate start times (ps): 1.3^k apart, MSD above half a squared hop, before the latest start.

    The lower bound is that of He et al., npj Comput. Mater. 4, 18 (2018).
    """
    above = np.flatnonzero(curve.values > 0.5 * hop_A**2)
    if len(above) == 0:
        return np.array([])
    first, last = float(curve.times[above[0]]), latest_ps
    if first >= last:
        return np.array([])
    return first * STEP ** np.arange(int(np.floor(np.log(last / first) / np.log(STEP) + 1e-9)) + 1)


@dataclass(frozen=True)
class _Candidate:
    """The fit from one start."""

    start_ps: float
    line: Line
    bend: float  # downward curvature, in standard errors
    points: np.ndarray


def find_diffusive_fit(
    curve: Curve, latest_ps: float, hop_A: float, scatter: float, margin: float, given_ps: float | None = None
) -> DiffusiveFit | None:
    """Return the fit averaged over starts, or that from the given start; None if there is no candidate.

    Parameters
    ----------
    curve : Curve
        MSD on log-spaced lags up to twice the latest start.
    latest_ps : float
        Latest start, see ``latest_start``.
    hop_A : float
        Distance between sites.
    scatter : float
        Observed over expected scatter of the slope, at least one.
    margin : float
        See ``needed_margin``; a smaller one does not show that the MSD has become straight.
    given_ps : float, optional
        A start chosen by the user.
    """
    times = np.array([given_ps]) if given_ps else candidates(curve, latest_ps, hop_A)
    if not given_ps and (len(times) == 0 or margin * times[0] > latest_ps):
        return None
    fits: list[_Candidate] = []
    for time in times:
        points = window_points(curve, float(time), latest_ps)
        if len(points) >= 5:
            part = curve.part(points)
            line = fit_line(part)
            fits.append(_Candidate(float(time), line, max(0.0, -curvature(part, line)) / scatter, points))
    if not fits:
        return None
    bends = np.array([one.bend for one in fits])
    relative = np.array([one.line.sigma / max(one.line.slope, 1e-3 * one.line.sigma) for one in fits])
    logs = -(bends**2) - np.log(relative)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    return _average(curve, fits, weights, latest_ps, scatter)


def _average(
    curve: Curve, fits: list[_Candidate], weights: np.ndarray, latest_ps: float, scatter: float
) -> DiffusiveFit:
    """Combine the lines from all starts."""
    lines = [one.line for one in fits]
    total = np.zeros(len(curve.times))
    for weight, one in zip(weights, fits, strict=True):
        total[one.points] += weight * one.line.weights
    slopes = np.array([line.slope for line in lines])
    slope = float(weights @ slopes)
    line = Line(
        slope,
        float(weights @ [one.intercept for one in lines]),
        float(np.sqrt(weights @ [one.sigma**2 for one in lines])),
        float(weights @ [one.chi2_red for one in lines]),
        total,
        np.asarray(sum(w * one.covariance for w, one in zip(weights, lines, strict=True))),
    )
    used = np.flatnonzero(total)
    start = float(weights @ [one.start_ps for one in fits])
    return DiffusiveFit(
        start_ps=start,
        collective_ps=min(max(0.5 * start, STEP**3 * fits[0].start_ps), latest_ps),
        line=line,
        spread=float(np.sqrt(weights @ (slopes - slope) ** 2)),
        window=(float(curve.times[used[0]]), float(curve.times[used[-1]])),
        straight=any(one.bend < _STRAIGHT for one in fits),
        plateau=tuple(
            PlateauPoint(
                start_ps=one.start_ps, D_cm2_s=one.line.slope / 6e4, sigma_cm2_s=one.line.sigma * scatter / 6e4,
                chi2_red=one.line.chi2_red, curvature_sigma=one.bend, weight=float(weight),
            )
            for weight, one in zip(weights, fits, strict=True)
        ),
    )
