"""Self-diffusion and collective diffusion with intervals and a verdict, from one run or several replicas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dpa_sse.ops.conductivity.arrangements import arrangement_spread
from dpa_sse.ops.conductivity.diffusive_regime import DiffusiveFit, find_diffusive_fit, latest_start, needed_margin
from dpa_sse.ops.conductivity.gls import Curve, Line, combine, covariance, fit_line
from dpa_sse.ops.conductivity.replica_msd import ReplicaMsd, make_curve, mean_msd
from dpa_sse.ops.results.conductivity import DIFFUSIVE, NOT_DIFFUSIVE, ErrorBudget, too_short, unreliable

A2_PS_TO_CM2_S = 1e-4
TOO_FEW = unreliable("too few frames")
_MIN_HOPS = 50
WARN_HOPS = 200
FASTEST_CM2_S = 1e-3
"""No ion moves faster; a liquid has 1e-5 to 1e-4."""
TOO_FAST = "D is larger than"
_MAX_RELATIVE = 1 / 3  # error of D
_BENT, _BENT_SIGMAS = 0.7, -2.0  # rise over that of the line, and difference in standard errors
_SAG_SIGMAS = -1.0  # below, a smaller rise is part of the error


@dataclass(frozen=True)
class Estimate:
    """Diffusion coefficient of one species, or why there is none; what does not exist is None.

    Attributes
    ----------
    ln_half95 : float
        Half width of the 95 % interval of ln D.
    fit : DiffusiveFit
    line : Line
        That of the fit; without one, the line that the upper limit is taken from.
    more_ps : float
        By how much the run is too short.
    error : ErrorBudget
    """

    verdict: str
    reasons: tuple[str, ...] = ()
    D_cm2_s: float | None = None
    D_ci95_cm2_s: tuple[float, float] | None = None
    D_upper95_cm2_s: float | None = None
    ln_half95: float | None = None
    n_hops: float | None = None
    fit: DiffusiveFit | None = None
    line: Line | None = None
    curve: Curve | None = None
    more_ps: float | None = None
    error: ErrorBudget | None = None


def estimate_self(
    replicas: Sequence[ReplicaMsd], hop_A: float, given_ps: float | None = None, arrangements: Sequence[str] = ()
) -> Estimate:
    """Return the tracer diffusion coefficient of one species with its verdict.

    Parameters
    ----------
    replicas : sequence of ReplicaMsd
        One run, or replicas with equal frame spacing; with hop statistics.
    hop_A : float
        Distance between sites, A.
    given_ps : float, optional
        Start of the diffusive regime chosen by the user.
    arrangements : sequence of str, optional
        Of each replica, the arrangement of the atoms from which it started. D is then that of the mean over
        arrangements, and its interval contains their spread.

    Returns
    -------
    Estimate
        With a 95 % interval that is symmetric in ln D if the verdict is ``diffusive``, else with an upper limit.
    """
    curve = make_curve(replicas, hop_A, given_ps)
    length = min(one.length_ps for one in replicas)
    known = _known_scatters(replicas)
    if len(replicas) < 3 and not known:
        return Estimate(
            TOO_FEW, (f"{replicas[0].n_frames} frames are too few to compare parts of the run",), curve=curve
        )
    scatter, freedom = _pooled_scatter(known)
    fit = find_diffusive_fit(
        curve, latest_start(length, len(replicas)), hop_A, max(1.0, scatter), needed_margin(len(replicas)), given_ps
    )
    if fit is None:
        return _without_fit(replicas, curve, hop_A, length, given_ps)
    line = fit.line
    half, error = _error_budget(replicas, curve, fit, (scatter, freedom), arrangements)
    hops = line.slope * sum(one.n_ions * one.length_ps for one in replicas) / hop_A**2
    reasons = [] if fit.straight else ["the MSD is still curved at the latest start: D may be too large"]
    unmet = unmet_criterion(replicas, line, fit.start_ps, half / 1.96, hops, hop_A)
    late = late_slope_test(curve, fit, max(1.0, scatter))
    error = error.model_copy(update={"late_rise_over_line": late.ratio, "late_rise_sigma": late.sigmas})
    if unmet is None:
        sag = _sag(late, half)
        half, unmet = sag.half, Unmet(sag.refused) if sag.refused else None
        error = error.model_copy(update={"ln_half95": sag.half, "ln_half95_bend": sag.added})
        reasons += [sag.warning] if sag.warning else []
    if len({*arrangements}) > 1:
        spread = arrangement_spread(replicas, curve, line, arrangements)
        line, half = replace(line, slope=spread.slope), max(half, spread.half)
        error = error.model_copy(update={"ln_half95": half, "ln_half95_arrangements": spread.half})
        reasons.append(spread.text)
        if unmet is None and spread.error > _MAX_RELATIVE:
            unmet = Unmet("the arrangements differ too much for a mean above three sigma")
    if unmet is not None:
        more = None if unmet.length_factor is None else float(np.ceil((max(unmet.length_factor, 1.05) - 1) * length))
        return Estimate(
            NOT_DIFFUSIVE if more is None else too_short(more), (unmet.reason, *reasons),
            D_upper95_cm2_s=_upper_limit(replicas, line, hop_A, half), n_hops=max(hops, 0.0), fit=fit, line=line,
            curve=curve, more_ps=more, error=error,
        )
    D = line.slope / 6 * A2_PS_TO_CM2_S
    return Estimate(
        DIFFUSIVE, (*reasons, *_warnings(replicas, line, hops)), D_cm2_s=D, ln_half95=half,
        D_ci95_cm2_s=(D * float(np.exp(-half)), D * float(np.exp(half))), n_hops=max(hops, 0.0), fit=fit, line=line,
        curve=curve, error=error,
    )


@dataclass(frozen=True)
class LateSlope:
    """Rise of the MSD from the start of the fit to T/2 over that of the line, and the difference in standard errors."""

    ratio: float
    sigmas: float


def late_slope_test(curve: Curve, fit: DiffusiveFit, scatter: float) -> LateSlope:
    """Compare the rise of the MSD up to T/2 with the fitted line.

    Ions that hop about in a cage of many sites follow a line until the cage is full: there the ratio falls. The error
    is that of the whole linear combination of MSD points, times the scatter of time blocks.
    """
    line, first = fit.line, int(np.argmin(np.abs(curve.times - fit.start_ps)))
    span = curve.times[-1] - curve.times[first]
    combination = -span * line.weights
    combination[-1] += 1
    combination[first] -= 1
    slope = max(line.slope, 0.02 * float(curve.values.mean() / curve.times.mean()), 1e-12)
    variance = float(combination @ covariance(curve, slope, line.intercept) @ combination)
    rise = float(curve.values[-1] - curve.values[first])
    error = scatter * float(np.sqrt(max(variance, 1e-30)))
    return LateSlope(rise / max(slope * span, 1e-12), (rise - line.slope * span) / error)


@dataclass(frozen=True)
class _Sag:
    """What a smaller rise at the end means: a wider interval (``added`` in quadrature), a refusal, or a warning."""

    half: float
    added: float | None = None
    refused: str = ""
    warning: str = ""


def _sag(late: LateSlope, half: float) -> _Sag:
    """Judge an MSD that rises less at the end than its line; ``half`` is the half width of the interval of ln D.

    Ions that still relax among the sites of a cage raise the slope by more than the scatter of the points shows.
    """
    text = f"up to T/2 the MSD rises by only {late.ratio:.0%} of what the fitted line predicts"
    if late.ratio < _BENT and late.sigmas < _BENT_SIGMAS:
        return _Sag(half, refused=f"the MSD bends: {text} ({late.sigmas:.1f} sigma)")
    if late.sigmas >= _SAG_SIGMAS:
        return _Sag(half)
    added = 1.96 * (1 - late.ratio)
    wider = float(np.hypot(half, added))
    if late.sigmas >= _BENT_SIGMAS:
        return _Sag(wider, added)
    if wider / 1.96 > _MAX_RELATIVE:
        return _Sag(wider, added, refused=f"D is below three sigma: {text}")
    return _Sag(wider, added, warning=f"{text}: the interval was widened")


@dataclass(frozen=True)
class Unmet:
    """Why a slope is not a diffusion coefficient.

    Attributes
    ----------
    length_factor : float or None
        By what factor the run is too short; None if a longer run is not known to help, because the MSD does not grow.
    """

    reason: str
    length_factor: float | None = None


def unmet_criterion(
    replicas: Sequence[ReplicaMsd], line: Line, start_ps: float, relative: float, hops: float, hop_A: float
) -> Unmet | None:
    """Return the first acceptance criterion that a slope does not meet; None if it meets all.

    The MSD must rise by half a squared hop between the start and T/2, there must be 50 hops, and D must exceed three
    sigma (He et al., npj Comput. Mater. 4, 18 (2018), and counting statistics).

    Parameters
    ----------
    replicas : sequence of ReplicaMsd
    line : Line
    start_ps : float
        Start of the diffusive regime.
    relative : float
        Relative standard error of the slope.
    hops : float
        Number of hops in all runs.
    hop_A : float
        Distance between sites, A.
    """
    msd, dt_ps = mean_msd(replicas), replicas[0].dt_ps
    half_ps = (len(msd) - 1) * dt_ps
    rise = min(float(msd[-1] - msd[round(start_ps / dt_ps)]), line.slope * (half_ps - start_ps))
    grows = relative < 0.5 and line.slope > 0 and msd[-1] > 1.2 * msd[len(msd) // 2]
    if rise < 0.5 * hop_A**2:
        why = (
            f"the MSD rises by {max(rise, 0):.2g} A^2 between the start and T/2, less than half a squared hop "
            f"({0.5 * hop_A**2:.2g} A^2)"
        )
        return Unmet(why, 0.5 * hop_A**2 / max(rise, 0.05 * hop_A**2) if grows else None)
    if hops < _MIN_HOPS:
        return Unmet(f"only {hops:.0f} hops in total; {_MIN_HOPS} are needed", _MIN_HOPS / hops if grows else None)
    if relative > _MAX_RELATIVE:
        return Unmet("D is below three sigma", (3 * relative) ** 2 if grows else None)
    return None


def _error_budget(
    replicas: Sequence[ReplicaMsd], curve: Curve, fit: DiffusiveFit, blocks_scatter: tuple[float, int],
    arrangements: Sequence[str],
) -> tuple[float, ErrorBudget]:
    """Return the half width of the 95 % interval of ln D and what it is made of.

    The largest of GLS x Birge factor, GLS x scatter of time blocks (Student t), and, from three replicas of the same
    arrangement on, their spread (Student t); the spread between starts is added in quadrature.
    """
    from scipy.stats import t as student

    line, (scatter, freedom) = fit.line, blocks_scatter
    slope = max(line.slope, 1e-3 * line.sigma)
    halves = {"gls_birge": 1.96 * line.birge_sigma, "blocks": float(student.ppf(0.975, freedom)) * scatter * line.sigma}
    replica_D: list[float] | None = None
    if len(replicas) >= 3 and len({*arrangements}) <= 1:
        slopes = np.array([line.weights @ one.msd[curve.lags] for one in replicas])
        weights = np.array([one.n_ions * one.n_frames for one in replicas], dtype=float)
        weights /= weights.sum()
        spread = float(np.sqrt((weights * (slopes - line.slope) ** 2).sum() / (len(replicas) - 1)))
        halves["replicas"] = float(student.ppf(0.975, len(replicas) - 1)) * spread
        replica_D = (slopes / 6 * A2_PS_TO_CM2_S).tolist()
    total = float(np.hypot(max(halves.values()), 1.96 * fit.spread)) / slope
    blocks = [(slopes / 6 * A2_PS_TO_CM2_S).tolist() for slopes in _block_slopes(replicas)]
    return total, ErrorBudget(
        ln_half95=total, ln_half95_gls_birge=halves["gls_birge"] / slope, ln_half95_blocks=halves["blocks"] / slope,
        ln_half95_replicas=halves["replicas"] / slope if "replicas" in halves else None,
        ln_spread_of_starts=fit.spread / slope, block_scatter=scatter, block_D_cm2_s=blocks, replica_D_cm2_s=replica_D,
    )


def _block_slopes(replicas: Sequence[ReplicaMsd]) -> list[np.ndarray]:
    """Return the slopes of the time blocks of the replicas that have them."""
    return [one.hops.block_slopes for one in replicas if one.hops and one.hops.block_slopes is not None]


def _known_scatters(replicas: Sequence[ReplicaMsd]) -> list[tuple[float, int]]:
    """Return the scatter and the number of time blocks of the replicas that have them."""
    return [
        (one.hops.scatter, len(one.hops.block_slopes)) for one in replicas
        if one.hops and one.hops.scatter is not None and one.hops.block_slopes is not None
    ]


def _pooled_scatter(known: Sequence[tuple[float, int]]) -> tuple[float, int]:
    """Return the scatter ratio over the blocks of all runs and its degrees of freedom."""
    freedom = sum(count - 1 for _, count in known)
    if freedom == 0:
        return 1.0, 4
    return float(np.sqrt(sum((count - 1) * ratio**2 for ratio, count in known) / freedom)), freedom


def _warnings(replicas: Sequence[ReplicaMsd], line: Line, hops: float) -> list[str]:
    """Return warnings that do not change the verdict."""
    found = []
    if line.slope / 6 * A2_PS_TO_CM2_S > FASTEST_CM2_S:
        found.append(f"{TOO_FAST} {FASTEST_CM2_S:g} cm2/s, more than ions move in any liquid: check the time step and "
                     "the time between frames")
    if hops < WARN_HOPS:
        found.append(f"only {hops:.0f} hops in total: the error exceeds about 20 %")
    if line.chi2_red > 4:
        found.append(f"the MSD is not straight (reduced chi square {line.chi2_red:.1f})")
    for slopes in _block_slopes(replicas):
        sigmas = halves_differ(slopes)
        if sigmas is not None and abs(sigmas) > 3:
            found.append(f"first and second half of a run differ by {sigmas:+.1f} sigma: not in equilibrium")
    return found


def halves_differ(slopes: np.ndarray) -> float | None:
    """Return by how many standard errors the mean of block slopes (B,) differs between the halves of a run.

    None below six blocks.
    """
    if len(slopes) < 6:
        return None
    first, second = slopes[: len(slopes) // 2], slopes[-(len(slopes) // 2) :]
    error = float(np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / len(first)))
    return float(second.mean() - first.mean()) / max(error, 1e-12)


def _upper_limit(replicas: Sequence[ReplicaMsd], line: Line, hop_A: float, half: float) -> float:
    """Return the upper limit of D (95 %), cm^2/s: slope + 1.645 sigma, and never below counting statistics of hops.

    Where ions hop in groups, the groups are what is counted.
    """
    from scipy.stats import chi2

    group = float(np.mean([one.hops.group if one.hops else 1.0 for one in replicas]))
    exposure = sum(one.n_ions * one.length_ps for one in replicas) / group
    slope = max(line.slope, 0.0)
    sigma = max(half / 1.96 * slope, line.birge_sigma, float(np.sqrt(group)) * line.sigma)
    hops = slope * exposure / hop_A**2
    poisson = float(chi2.ppf(0.95, 2 * (hops + 1))) / 2 * hop_A**2 / exposure
    return max(slope + 1.645 * sigma, poisson) / 6 * A2_PS_TO_CM2_S


def _without_fit(
    replicas: Sequence[ReplicaMsd], curve: Curve, hop_A: float, length: float, given_ps: float | None
) -> Estimate:
    """Conclude for a run in which diffusion does not start: caged, or too short."""
    latest, mean, dt_ps = latest_start(length, len(replicas)), mean_msd(replicas), replicas[0].dt_ps
    late = np.flatnonzero((curve.times >= latest * (1 - 1e-9)) & (curve.times <= 2 * latest * (1 + 1e-9)))
    if len(late) < 4:
        few = min(one.n_frames for one in replicas)
        return Estimate(TOO_FEW, (f"{few} frames are too few for a fit",), n_hops=0.0, curve=curve)
    line = fit_line(curve.part(late))
    reached = np.flatnonzero(mean > 0.5 * hop_A**2)
    why = f"the MSD stays below half a squared hop ({0.5 * hop_A**2:.2g} A^2): {mean.max():.2g} A^2 at most"
    if len(reached):
        why = (
            f"the MSD reaches half a squared hop only after {reached[0] * dt_ps:.3g} ps, too late in a run of "
            f"{length:.4g} ps"
        )
    if given_ps and given_ps > latest:
        why = f"the given start of {given_ps:g} ps is later than {latest:.3g} ps, the latest for {length:.4g} ps"
    more = None
    if len(reached) and mean[-1] > 1.2 * mean[len(mean) // 2]:
        earliest = given_ps or 1.1 * needed_margin(len(replicas)) * reached[0] * dt_ps
        needed = length / latest * earliest
        more = float(np.ceil(max(needed - length, 0.1 * length)))
    exposure = sum(one.n_ions * one.length_ps for one in replicas)
    return Estimate(
        NOT_DIFFUSIVE if more is None else too_short(more), (why,),
        D_upper95_cm2_s=_upper_limit(replicas, line, hop_A, 0.0), n_hops=max(line.slope, 0.0) * exposure / hop_A**2,
        line=line, curve=curve, more_ps=more,
    )


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
