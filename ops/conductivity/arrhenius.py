"""Arrhenius line through ln D, extrapolated with its full covariance.

y = ln D - (1 + m) ln T against 1/T, with m the exponent in sigma = sigma0 T^m exp(-Ea / kB T): for m = -1, the
default, this is a fit of ln D or, equivalently, of ln(sigma T). A fit of ln sigma itself would overestimate sigma at
300 K by a factor of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dpa_sse.ops.conductivity.nernst_einstein import nernst_einstein
from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.results.conductivity import ArrheniusCurve, ArrheniusResult, Extrapolation

KB_EV = 8.617333262e-5
ADVISED_TEMPERATURES, ADVISED_SPAN_PER_K = 5, 0.8e-3  # points of a line, and how far they reach in 1/T

ASSUMPTION = "the extrapolation assumes that no phase or order-disorder transition occurs on the way"
_FLAT = "the activation energy is compatible with zero: nothing is extrapolated"


@dataclass(frozen=True)
class ArrheniusPoint:
    """Diffusion coefficient at one temperature.

    Attributes
    ----------
    D_cm2_s : float or None
        None for a refused run, which may have an upper limit, ``upper_cm2_s``.
    ln_sigma : float
        Standard error of ln D.
    density_A3 : float or None
        Sum over carriers of z^2 per volume (1/A^3), for the conductivity.
    """

    temperature_K: float
    D_cm2_s: float | None
    ln_sigma: float = 0.0
    upper_cm2_s: float | None = None
    density_A3: float | None = None


@dataclass(frozen=True)
class ArrheniusFit:
    """A straight line in ln D - (1 + m) ln T over 1/T: intercept and slope (2,), and their covariance (2, 2)."""

    parameters: np.ndarray
    covariance: np.ndarray
    chi2_red: float | None
    exponent: float

    def ln_D(self, temperature_K: float) -> tuple[float, float]:  # noqa: N802
        """Return ln D (D in cm^2/s) and its standard error at a temperature."""
        v = np.array([1.0, 1 / temperature_K])
        value = float(v @ self.parameters) + (1 + self.exponent) * np.log(temperature_K)
        return float(value), float(np.sqrt(v @ self.covariance @ v))

    @property
    def activation_eV(self) -> tuple[float, float]:  # noqa: N802
        """Activation energy and its standard error, eV."""
        return -KB_EV * float(self.parameters[1]), KB_EV * float(np.sqrt(self.covariance[1, 1]))


def fit_arrhenius(points: Sequence[ArrheniusPoint], exponent: float = -1.0) -> ArrheniusFit:
    """Fit the line by weighted least squares, covariance scaled by max(1, chi square).

    Raises
    ------
    InputError
        Fewer than two temperatures.
    """
    T = np.array([p.temperature_K for p in points])
    if len(set(T.tolist())) < 2:
        raise InputError("an Arrhenius line needs diffusion coefficients at two temperatures or more")
    y, weights = _ordinates(points, exponent)
    design = np.column_stack([np.ones_like(T), 1 / T])
    inverse = np.linalg.inv(design.T @ (weights[:, None] * design))
    parameters = inverse @ (design.T @ (weights * y))
    chi2_red = None
    if len(points) > 2:
        chi2_red = float((weights * (y - design @ parameters) ** 2).sum() / (len(points) - 2))
        inverse = inverse * max(1.0, chi2_red)
    return ArrheniusFit(parameters, inverse, chi2_red, exponent)


def _ordinates(points: Sequence[ArrheniusPoint], exponent: float) -> tuple[np.ndarray, np.ndarray]:
    """Return ln D - (1 + m) ln T and the weights of the points."""
    T = np.array([p.temperature_K for p in points])
    D = np.array([p.D_cm2_s for p in points], dtype=float)
    return np.log(D) - (1 + exponent) * np.log(T), 1 / np.array([p.ln_sigma for p in points]) ** 2


def curvature_p(points: Sequence[ArrheniusPoint], exponent: float = -1.0) -> float | None:
    """Return the two-sided p value of a quadratic term in 1/T; None below four points."""
    from scipy.stats import norm

    if len(points) < 4:
        return None
    T = np.array([p.temperature_K for p in points])
    x = 1 / T - np.mean(1 / T)
    x /= np.abs(x).max()
    y, weights = _ordinates(points, exponent)
    design = np.column_stack([np.ones_like(x), x, x**2])
    inverse = np.linalg.inv(design.T @ (weights[:, None] * design))
    value = (inverse @ (design.T @ (weights * y)))[2]
    return float(2 * norm.sf(abs(value) / np.sqrt(inverse[2, 2])))


def analyse_arrhenius(
    points: Sequence[ArrheniusPoint], temperatures_K: Sequence[float], exponent: float = -1.0,
    direct_below_K: float | None = None,
) -> ArrheniusResult:
    """Fit the line through the points and extrapolate along it.

    Parameters
    ----------
    points : sequence of ArrheniusPoint
    temperatures_K : sequence of float
        Temperatures to extrapolate to.
    exponent : float
        m.
    direct_below_K : float, optional
        Runs at or below this temperature are compared with the line, never fitted; by default the highest of
        ``temperatures_K`` plus 25 K.

    Returns
    -------
    ArrheniusResult
        Without a line for fewer than two temperatures, without extrapolations if the line may be flat.
    """
    limit = direct_below_K if direct_below_K is not None else max(temperatures_K, default=0.0) + 25
    known = [p for p in points if p.D_cm2_s is not None and p.D_cm2_s > 0]
    used = [p for p in known if p.temperature_K > limit]
    empty = ArrheniusResult(
        exponent_m=exponent,
        points_used=sorted(p.temperature_K for p in used),
        points_refused=sorted(p.temperature_K for p in points if p.D_cm2_s is None),
        points_compared=sorted(p.temperature_K for p in known if p.temperature_K <= limit),
        notes=("fewer than two diffusive temperatures",),
    )
    if len({p.temperature_K for p in used}) < 2:
        return empty
    line = fit_arrhenius(used, exponent)
    Ea, error = line.activation_eV
    fitted = ArrheniusResult(**dict(empty) | {
        "Ea_eV": Ea, "Ea_ci95_eV": (Ea - 1.96 * error, Ea + 1.96 * error), "chi2_red": line.chi2_red,
        "D0_cm2_s": float(np.exp(line.parameters[0])) if exponent == -1 else None,  # else its unit has a power of K
        "curvature_p": curvature_p(used, exponent),
    })
    wanted = temperatures_K if fitted.determined else []
    return fitted.model_copy(update={
        "extrapolated": tuple(_extrapolate(line, used, points, temperature) for temperature in wanted),
        "curve": _curve(line, [*(p.temperature_K for p in points), *wanted]),
        "notes": (*_fit_notes(fitted, used), *_point_notes(line, points, limit)),
    })


def _curve(line: ArrheniusFit, temperatures: Sequence[float]) -> ArrheniusCurve:
    """Return the line and its 95 % band for drawing, evenly spaced in 1/T."""
    T = 1 / np.linspace(1 / max(temperatures), 1 / min(temperatures), 40)
    value, error = np.array([line.ln_D(float(t)) for t in T]).T
    return ArrheniusCurve(
        temperature_K=T.tolist(), D_cm2_s=np.exp(value).tolist(), D_low95_cm2_s=np.exp(value - 1.96 * error).tolist(),
        D_high95_cm2_s=np.exp(value + 1.96 * error).tolist(),
    )


def density_at(points: Sequence[ArrheniusPoint], temperature_K: float) -> float | None:
    """Return the carrier density (1/A^3) at a temperature: from a line through the volumes, or their mean below three.

    None if no point has a density.
    """
    known = [(p.temperature_K, p.density_A3) for p in points if p.density_A3]
    if not known:
        return None
    T, density = np.array(known).T
    if len(set(T.tolist())) < 3:
        return float(density.mean())
    slope, base = np.polyfit(T, 1 / density, 1)
    volume = base + slope * temperature_K
    return float(1 / np.clip(volume, 0.9 * (1 / density).min(), 1.1 * (1 / density).max()))


def _extrapolate(
    line: ArrheniusFit, used: Sequence[ArrheniusPoint], points: Sequence[ArrheniusPoint], temperature: float
) -> Extrapolation:
    """Return D and sigma at one temperature, with the leave-one-out range."""
    value, error = line.ln_D(temperature)
    D, low, high = np.exp([value, value - 1.96 * error, value + 1.96 * error]).tolist()
    density = density_at(points, temperature)
    factor = nernst_einstein(1.0, 1, 1.0, 1 / density, temperature) if density else None
    others = _leave_one_out(line, used, temperature)
    return Extrapolation(
        temperature_K=temperature, D_cm2_s=D, D_ci95_cm2_s=(low, high), D_leave_one_out_cm2_s=others,
        sigma_mS_cm=factor * D if factor else None, sigma_ci95_mS_cm=(factor * low, factor * high) if factor else None,
        sigma_leave_one_out_mS_cm=(factor * others[0], factor * others[1]) if factor and others else None,
    )


def _leave_one_out(
    line: ArrheniusFit, used: Sequence[ArrheniusPoint], temperature: float
) -> tuple[float, float] | None:
    """Return the range of D at a temperature over fits without one of the points; None below three points."""
    if len(used) < 3:
        return None
    left = [[q for q in used if q is not p] for p in used]
    left = [rest for rest in left if len({p.temperature_K for p in rest}) >= 2]
    values = [float(np.exp(fit_arrhenius(rest, line.exponent).ln_D(temperature)[0])) for rest in left]
    return (min(values), max(values)) if values else None


def _fit_notes(fitted: ArrheniusResult, used: Sequence[ArrheniusPoint]) -> list[str]:
    """Return what a reader of the extrapolated numbers must know about the fit."""
    notes = [ASSUMPTION if fitted.determined else _FLAT]
    inverse = [1 / p.temperature_K for p in used]
    span = max(inverse) - min(inverse)
    if len(used) < ADVISED_TEMPERATURES or span < ADVISED_SPAN_PER_K:
        notes.append(
            f"{len(used)} temperatures over {span:.1e} /K: {ADVISED_TEMPERATURES} or more over "
            f"{ADVISED_SPAN_PER_K:.1e} /K are advised"
        )
    if len(used) == 2:
        notes.append("only two temperatures: the line cannot be tested")
    p = fitted.curvature_p
    if p is not None and p < 0.05:
        notes.append(f"the points are curved (p = {p:.3f}): the extrapolation crosses a kink or bend")
    return notes


def _point_notes(line: ArrheniusFit, points: Sequence[ArrheniusPoint], limit: float) -> list[str]:
    """Return how upper limits and directly computed low temperatures compare with the line."""
    notes = []
    for point in points:
        value, error = line.ln_D(point.temperature_K)
        if point.D_cm2_s is None and point.upper_cm2_s and value - 1.96 * error > np.log(point.upper_cm2_s):
            notes.append(f"the line is above the upper limit at {point.temperature_K:g} K: diffusion is slower there")
        if point.D_cm2_s and point.temperature_K <= limit:
            sigmas = (np.log(point.D_cm2_s) - value) / np.hypot(error, point.ln_sigma)
            word = "agrees with" if abs(sigmas) < 2 else "differs from"
            notes.append(f"direct run at {point.temperature_K:g} K {word} the line ({sigmas:+.1f} sigma)")
    return notes
