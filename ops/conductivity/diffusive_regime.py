"""Where diffusion begins: an average over possible starts, weighted by how straight the MSD is from each on.

A single start that is only just acceptable biases the slope, and one that is surely late wastes most of the run. So
every candidate start gets a generalised least squares line and a test for curvature (an added relaxation exp(-t /
start)); starts are averaged with weights exp(-z^2) / sigma, z being the curvature in standard errors, scaled by the
observed scatter. The spread between starts enters the error. This is model averaging over data cuts (Jay and Neil,
Phys. Rev. D 103, 114502 (2021)) with a directed test in place of the total chi square, which is blind to slow
curvature.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dpa_sse.ops.conductivity.gls import Curve, Line, curvature, fit_line

STEP = 1.3
_MAX_POINTS = 30
_STRAIGHT = 2.0


@dataclass
class Start:
    """The averaged fit.

    Attributes
    ----------
    start_ps : float
        Weighted mean of the starts.
    collective_ps : float
        Start for collective quantities, in which ions that relax in their cages weigh less: half of ``start_ps``, at
        least 2.2 times the first candidate.
    line : Line
        Averaged line; ``weights`` act on all points of the curve and give the slope.
    spread : float
        Standard deviation of the slope between starts, A^2/ps.
    window : tuple of float
        First and last time with a weight, ps.
    straight : bool
        False when the MSD is still curved (two sigma) from every candidate on.
    scan : list of dict
        Every candidate with D, sigma, chi2_red, curvature and weight (for the plateau plot).
    """

    start_ps: float
    collective_ps: float
    line: Line
    spread: float
    window: tuple[float, float]
    straight: bool
    scan: list[dict[str, Any]] = field(default_factory=list)


def latest_start(length_ps: float, n_runs: int) -> float:
    """Return the latest start that is tried, ps: an eighth of a run, up to a quarter with four replicas or more.

    Fits end at twice that time, so that a single run still holds four windows of the longest lag.
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


def find_start(
    curve: Curve, latest_ps: float, hop_A: float, scatter: float, margin: float, given_ps: float | None = None
) -> Start | None:
    """Return the fit averaged over starts, or that of the given start; None when there is no candidate.

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
        See ``needed_margin``; without it there is no way to see that the MSD has become straight.
    given_ps : float, optional
        A start chosen by the user.
    """
    times = np.array([given_ps]) if given_ps else candidates(curve, latest_ps, hop_A)
    if not given_ps and (len(times) == 0 or margin * times[0] > latest_ps):
        return None
    fits: list[tuple[float, Line, float, np.ndarray]] = []
    for time in times:
        points = window_points(curve, float(time), latest_ps)
        if len(points) >= 5:
            part = curve.part(points)
            line = fit_line(part)
            fits.append((float(time), line, max(0.0, -curvature(part, line)) / scatter, points))
    if not fits:
        return None
    bends = np.array([bend for _, _, bend, _ in fits])
    relative = np.array([line.sigma / max(line.slope, 1e-3 * line.sigma) for _, line, _, _ in fits])
    logs = -(bends**2) - np.log(relative)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    return _average(curve, fits, weights, latest_ps, scatter)


def _average(
    curve: Curve, fits: list[tuple[float, Line, float, np.ndarray]], weights: np.ndarray, latest_ps: float,
    scatter: float,
) -> Start:
    """Combine the lines of all starts."""
    lines = [line for _, line, _, _ in fits]
    total = np.zeros(len(curve.times))
    for weight, (_, line, _, points) in zip(weights, fits, strict=True):
        total[points] += weight * line.weights
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
    scan = [
        {"start_ps": time, "D_cm2_s": one.slope / 6e4, "sigma_cm2_s": one.sigma * scatter / 6e4,
         "chi2_red": one.chi2_red, "curvature_sigma": bend, "weight": float(weight)}
        for weight, (time, one, bend, _) in zip(weights, fits, strict=True)
    ]
    straight = [time for time, _, bend, _ in fits if bend < _STRAIGHT]
    used = np.flatnonzero(total)
    start = float(weights @ [time for time, *_ in fits])
    return Start(
        start_ps=start,
        collective_ps=min(max(0.5 * start, STEP**3 * fits[0][0]), latest_ps),
        line=line,
        spread=float(np.sqrt(weights @ (slopes - slope) ** 2)),
        window=(float(curve.times[used[0]]), float(curve.times[used[-1]])),
        straight=bool(straight),
        scan=scan,
    )
