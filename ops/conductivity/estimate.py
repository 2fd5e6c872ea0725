"""Self-diffusion and collective diffusion with intervals and a verdict, from one run or several replicas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dpa_sse.ops.conductivity.diffusive_regime import Start, find_start, latest_start, needed_margin
from dpa_sse.ops.conductivity.gls import Curve, Line, combine, covariance, fit_line
from dpa_sse.ops.conductivity.replica_msd import Part, block_scatter, group_size, make_curve, mean_msd

A2_PS_TO_CM2_S = 1e-4
DIFFUSIVE = "diffusive"
NOT_DIFFUSIVE = "not diffusive (upper limit)"
TOO_FEW = "unreliable: too few frames"
_MIN_HOPS = 50
WARN_HOPS = 200
_MAX_RELATIVE = 1 / 3  # error of D
_BENT, _BENT_SIGMAS = 0.7, -2.0  # rise over that of the line, and difference in standard errors
_SAG_SIGMAS = -1.0  # from here on a smaller rise is part of the error


@dataclass
class Estimate:
    """Diffusion coefficient of one species, or why there is none. Absent numbers are None."""

    verdict: str
    reasons: list[str] = field(default_factory=list)
    D_cm2_s: float | None = None
    D_ci95_cm2_s: tuple[float, float] | None = None
    D_upper95_cm2_s: float | None = None
    ln_half95: float | None = None
    n_hops: float | None = None
    start: Start | None = None
    line: Line | None = None
    curve: Curve | None = None
    more_ps: float | None = None
    details: dict[str, Any] = field(default_factory=dict)


def estimate_self(parts: Sequence[Part], hop_A: float, given_ps: float | None = None) -> Estimate:
    """Return the tracer diffusion coefficient of one species with its verdict.

    Parameters
    ----------
    parts : sequence of Part
        One run, or replicas with equal frame spacing.
    hop_A : float
        Distance between sites.
    given_ps : float, optional
        Start of the diffusive regime chosen by the user.

    Returns
    -------
    Estimate
        With a 95 % interval that is symmetric in ln D when the verdict is ``diffusive``, else with an upper limit.
    """
    curve = make_curve(parts, hop_A, given_ps)
    length = min(part.length_ps for part in parts)
    for part in parts:
        if part.scatter is None:
            part.scatter = block_scatter(part, hop_A)
        if part.group is None:
            part.group = group_size(part, hop_A)
    if len(parts) < 3 and all(part.scatter is None for part in parts):
        return Estimate(TOO_FEW, [f"{parts[0].n_frames} frames are too few to compare parts of the run"], curve=curve)
    blocks, freedom = _pooled_scatter(parts)
    latest, margin = latest_start(length, len(parts)), needed_margin(len(parts))
    start = find_start(curve, latest, hop_A, max(1.0, blocks), margin, given_ps)
    if start is None:
        return _without_start(parts, curve, hop_A, length, given_ps)
    line, time = start.line, start.start_ps
    details = _half_width(parts, curve, start, blocks, freedom)
    half = details["ln_half95"]
    hops = line.slope * sum(part.n_ions * part.length_ps for part in parts) / hop_A**2
    estimate = Estimate(DIFFUSIVE, n_hops=max(hops, 0.0), start=start, line=line, curve=curve, details=details)
    if not start.straight:
        estimate.reasons.append("the MSD is still curved at the latest start: D may be too large")
    why, factor = gates(parts, line, time, half / 1.96, hops, hop_A)
    ratio, sigmas = bend(curve, start, max(1.0, blocks))
    details |= {"late_rise_over_line": ratio, "late_rise_sigma": sigmas}
    if not why:
        why = _judge_late_rise(estimate, ratio, sigmas)
        half = details["ln_half95"]
    if why:
        _refuse(estimate, parts, line, hop_A, half, why)
        if factor is not None:
            _ask_more(estimate, (max(factor, 1.05) - 1) * length)
    else:
        D = line.slope / 6 * A2_PS_TO_CM2_S
        estimate.D_cm2_s, estimate.ln_half95 = D, half
        estimate.D_ci95_cm2_s = (D * float(np.exp(-half)), D * float(np.exp(half)))
        _warn(estimate, parts, line, hops)
    return estimate


def bend(curve: Curve, start: Start, scatter: float) -> tuple[float, float]:
    """Return the rise of the MSD from the start to T/2 over that of the line, and the difference in standard errors.

    Ions that hop about in a cage of many sites rise as a line does, until the cage is full: there the ratio falls. The
    error is that of the whole linear combination of MSD points under the line, times the scatter of time blocks.
    """
    line, first = start.line, int(np.argmin(np.abs(curve.times - start.start_ps)))
    span = curve.times[-1] - curve.times[first]
    combination = -span * line.weights
    combination[-1] += 1
    combination[first] -= 1
    slope = max(line.slope, 0.02 * float(curve.values.mean() / curve.times.mean()), 1e-12)
    variance = float(combination @ covariance(curve, slope, line.intercept) @ combination)
    rise = float(curve.values[-1] - curve.values[first])
    error = scatter * float(np.sqrt(max(variance, 1e-30)))
    return rise / max(slope * span, 1e-12), (rise - line.slope * span) / error


def _judge_late_rise(estimate: Estimate, ratio: float, sigmas: float) -> str:
    """Return why an MSD that rises less at the end is refused, else widen the interval by what is missing.

    Ions that still relax among the sites of a cage raise the slope by more than the scatter of the points shows.
    """
    details, text = estimate.details, f"up to T/2 the MSD rises by {ratio:.0%} of what the line of the fit says"
    if ratio < _BENT and sigmas < _BENT_SIGMAS:
        return f"the MSD bends: {text} ({sigmas:.1f} sigma)"
    if sigmas < _SAG_SIGMAS:
        details["ln_half95_bend"] = 1.96 * (1 - ratio)
        details["ln_half95"] = float(np.hypot(details["ln_half95"], details["ln_half95_bend"]))
        if sigmas < _BENT_SIGMAS:
            if details["ln_half95"] / 1.96 > _MAX_RELATIVE:
                return f"D is below three sigma: {text}"
            estimate.reasons.append(f"{text}: the interval is wider")
    return ""


def gates(
    parts: Sequence[Part], line: Line, start_ps: float, relative: float, hops: float, hop_A: float
) -> tuple[str, float | None]:
    """Return why a slope is not a diffusion coefficient, and by what factor the run is too short.

    The MSD must rise by half a squared hop between the start and T/2, there must be 50 hops, and D must exceed three
    sigma (He et al., npj Comput. Mater. 4, 18 (2018), and counting statistics). An empty reason means that all hold;
    a factor of None means that a longer run is not known to help, because the MSD does not grow.
    """
    msd = mean_msd(parts)
    half_ps = (len(msd) - 1) * parts[0].dt_ps
    rise = min(float(msd[-1] - msd[round(start_ps / parts[0].dt_ps)]), line.slope * (half_ps - start_ps))
    grows = relative < 0.5 and line.slope > 0 and msd[-1] > 1.2 * msd[len(msd) // 2]
    if rise < 0.5 * hop_A**2:
        why = (
            f"the MSD rises by {max(rise, 0):.2g} A^2 between the start and T/2, less than half a squared hop "
            f"({0.5 * hop_A**2:.2g} A^2)"
        )
        return why, 0.5 * hop_A**2 / max(rise, 0.05 * hop_A**2) if grows else None
    if hops < _MIN_HOPS:
        return f"{hops:.0f} hops in all, {_MIN_HOPS} are needed", _MIN_HOPS / hops if grows else None
    if relative > _MAX_RELATIVE:
        return "D is below three sigma", (3 * relative) ** 2 if grows else None
    return "", None


def _half_width(parts: Sequence[Part], curve: Curve, start: Start, blocks: float, freedom: int) -> dict[str, Any]:
    """Return the half width of the 95 % interval of ln D and its ingredients.

    The largest of GLS x Birge factor, GLS x scatter of time blocks (Student t), and, from three replicas on, their
    spread (Student t); the spread between starts is added in quadrature.
    """
    from scipy.stats import t as student

    line = start.line
    slope = max(line.slope, 1e-3 * line.sigma)
    halves = {"gls_birge": 1.96 * line.birge_sigma, "blocks": float(student.ppf(0.975, freedom)) * blocks * line.sigma}
    details: dict[str, Any] = {
        "block_D_cm2_s": [
            (part.block_slopes / 6 * A2_PS_TO_CM2_S).tolist() for part in parts if part.block_slopes is not None
        ]
    }
    if len(parts) >= 3:
        slopes = np.array([line.weights @ part.msd[curve.lags] for part in parts])
        weights = np.array([part.n_ions * part.n_frames for part in parts], dtype=float)
        weights /= weights.sum()
        spread = float(np.sqrt((weights * (slopes - line.slope) ** 2).sum() / (len(parts) - 1)))
        halves["replicas"] = float(student.ppf(0.975, len(parts) - 1)) * spread
        details["replica_D_cm2_s"] = (slopes / 6 * A2_PS_TO_CM2_S).tolist()
    total = float(np.hypot(max(halves.values()), 1.96 * start.spread)) / slope
    details |= {f"ln_half95_{name}": value / slope for name, value in halves.items()}
    return details | {"ln_half95": total, "ln_spread_of_starts": start.spread / slope, "block_scatter": blocks}


def _pooled_scatter(parts: Sequence[Part]) -> tuple[float, int]:
    """Return the scatter ratio over the blocks of all runs and its degrees of freedom."""
    known = [part.scatter for part in parts if part.scatter is not None]
    freedom = sum(count - 1 for _, count in known)
    if freedom == 0:
        return 1.0, 4
    return float(np.sqrt(sum((count - 1) * ratio**2 for ratio, count in known) / freedom)), freedom


def _warn(estimate: Estimate, parts: Sequence[Part], line: Line, hops: float) -> None:
    """Add warnings that do not change the verdict."""
    if hops < WARN_HOPS:
        estimate.reasons.append(f"only {hops:.0f} hops in all: the error is above some 20 %")
    if line.chi2_red > 4:
        estimate.reasons.append(f"the MSD is not straight (reduced chi square {line.chi2_red:.1f})")
    for part in parts:
        sigmas = halves_differ(part.block_slopes)
        if sigmas is not None and abs(sigmas) > 3:
            estimate.reasons.append(f"first and second half of a run differ by {sigmas:+.1f} sigma: not in equilibrium")


def halves_differ(slopes: np.ndarray | None) -> float | None:
    """Return the difference of the mean slope between the halves of a run in standard errors; None below six blocks."""
    if slopes is None or len(slopes) < 6:
        return None
    first, second = slopes[: len(slopes) // 2], slopes[-(len(slopes) // 2) :]
    error = float(np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / len(first)))
    return float(second.mean() - first.mean()) / max(error, 1e-12)


def _refuse(
    estimate: Estimate, parts: Sequence[Part], line: Line, hop_A: float, half: float, why: str
) -> None:
    """Turn an estimate into an upper limit: slope + 1.645 sigma, and never below counting statistics of hops.

    Where ions hop in groups, the groups are what is counted.
    """
    from scipy.stats import chi2

    group = float(np.mean([part.group or 1.0 for part in parts]))
    exposure = sum(part.n_ions * part.length_ps for part in parts) / group
    slope = max(line.slope, 0.0)
    sigma = max(half / 1.96 * slope, line.birge_sigma, float(np.sqrt(group)) * line.sigma)
    hops = slope * exposure / hop_A**2
    poisson = float(chi2.ppf(0.95, 2 * (hops + 1))) / 2 * hop_A**2 / exposure
    estimate.verdict = NOT_DIFFUSIVE
    estimate.D_upper95_cm2_s = max(slope + 1.645 * sigma, poisson) / 6 * A2_PS_TO_CM2_S
    estimate.reasons.insert(0, why)


def _ask_more(estimate: Estimate, more_ps: float) -> None:
    """Make the verdict ``too short`` with the time that is missing."""
    estimate.more_ps = float(np.ceil(more_ps))
    estimate.verdict = f"too short ({estimate.more_ps:.0f} more ps needed)"


def _without_start(
    parts: Sequence[Part], curve: Curve, hop_A: float, length: float, given_ps: float | None = None
) -> Estimate:
    """Conclude for a run in which no start was found: caged, or too short."""
    estimate = Estimate(NOT_DIFFUSIVE, n_hops=0.0, curve=curve)
    latest, mean = latest_start(length, len(parts)), mean_msd(parts)
    late = np.flatnonzero((curve.times >= latest * (1 - 1e-9)) & (curve.times <= 2 * latest * (1 + 1e-9)))
    if len(late) < 4:
        estimate.verdict = TOO_FEW
        estimate.reasons.append(f"{min(part.n_frames for part in parts)} frames are too few for a fit")
        return estimate
    estimate.line = fit_line(curve.part(late))
    reached = np.flatnonzero(mean > 0.5 * hop_A**2)
    why = f"the MSD stays below half a squared hop ({0.5 * hop_A**2:.2g} A^2): {mean.max():.2g} A^2 at most"
    if len(reached):
        why = (
            f"the MSD reaches half a squared hop only after {reached[0] * parts[0].dt_ps:.3g} ps, too late in a run of "
            f"{length:.4g} ps"
        )
    if given_ps and given_ps > latest:
        why = f"the given start of {given_ps:g} ps is later than {latest:.3g} ps, the latest for {length:.4g} ps"
    _refuse(estimate, parts, estimate.line, hop_A, 0.0, why)
    exposure = sum(part.n_ions * part.length_ps for part in parts)
    estimate.n_hops = max(estimate.line.slope, 0.0) * exposure / hop_A**2
    if len(reached) and mean[-1] > 1.2 * mean[len(mean) // 2]:
        earliest = given_ps or 1.1 * needed_margin(len(parts)) * reached[0] * parts[0].dt_ps
        needed = length / latest * earliest
        _ask_more(estimate, max(needed - length, 0.1 * length))
    return estimate


def estimate_collective(
    values: Sequence[np.ndarray], n_frames: Sequence[int], dt_ps: float, start_ps: float
) -> tuple[Line, Curve] | None:
    """Fit the collective (charge) MSD between the start and start + T/8, one series per replica.

    Parameters
    ----------
    values : sequence of numpy.ndarray
        Collective MSD of each replica at all lags, any unit per ps.
    n_frames : sequence of int
        Frames of each replica.
    dt_ps : float
        Time between frames.
    start_ps : float
        Start of the diffusive regime of the self part.

    Returns
    -------
    tuple or None
        Line and curve; None when the window has fewer than four points.
    """
    first = max(1, round(start_ps / dt_ps))
    last = min(first + min(n_frames) // 8, min(len(value) for value in values) - 1)
    lags = np.unique(np.rint(np.linspace(first, last, 15)).astype(np.int64))
    if len(lags) < 4:
        return None
    curve = combine([value[lags] for value in values], n_frames, [1] * len(values), lags, dt_ps)
    return fit_line(curve), curve
