"""Transport numbers as the report shows them: one point per temperature, its verdict, the Arrhenius line."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dpa_sse.ops.conductivity.arrhenius import ArrheniusFit, ArrheniusPoint, density_at, fit_arrhenius
from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.results.conductivity import (
    ArrheniusResult,
    ConductivityResult,
    Extrapolation,
    Interval,
    PooledTransport,
    RunTransport,
)
from dpa_sse.ops.results.self_check import CheckedPoint, SelfCheck, Trust
from dpa_sse.ops.structures.series import base_name
from dpa_sse.ops.validation.verdict import worst
from dpa_sse.pipeline.report.figures import slug
from dpa_sse.pipeline.report.inputs import ReportData, Table
from dpa_sse.pipeline.report.page import clip, interval, kelvin, show

Z95 = 1.959964


@dataclass(frozen=True)
class Point:
    """One temperature, or one run, as the page shows it.

    A refused run has no value, at most an upper limit of D, even if the file holds one.

    Attributes
    ----------
    numbers : RunTransport or PooledTransport
        The entry of ``conductivity.json``.
    check : CheckedPoint or None
        Self-check of its runs; None where there was none.
    """

    title: str
    numbers: RunTransport | PooledTransport
    check: CheckedPoint | None = None

    @property
    def trust(self) -> Trust:
        """Verdict of the self-check."""
        return self.check.verdict if self.check else "not checked"

    @property
    def label(self) -> str:
        """Name for files."""
        return slug(self.title)

    @property
    def system(self) -> str:
        """Name of the system."""
        return self.numbers.system

    @property
    def sources(self) -> tuple[str, ...]:
        """Runs behind the numbers."""
        return (self.numbers.source,) if isinstance(self.numbers, RunTransport) else self.numbers.sources

    @property
    def arrangements(self) -> int:
        """Number of arrangements of the atoms behind the numbers, at least one."""
        return 1 if isinstance(self.numbers, RunTransport) else self.numbers.n_arrangements or 1

    @property
    def replicas(self) -> int:
        """Number of runs behind the numbers, at least one."""
        return (0 if isinstance(self.numbers, RunTransport) else self.numbers.n_runs) or max(1, len(self.sources))

    @property
    def temperature_K(self) -> float | None:  # noqa: N802
        """Temperature; None for a run that left none."""
        return self.numbers.temperature_K

    @property
    def verdict(self) -> str:
        """Verdict of the analysis."""
        return self.numbers.verdict

    @property
    def reasons(self) -> tuple[str, ...]:
        """Reasons of the verdict, and warnings."""
        return self.numbers.reasons

    @property
    def n_hops(self) -> float | None:
        """Number of hops in all runs."""
        return self.numbers.n_hops

    @property
    def conclusive(self) -> bool:
        """True if the analysis calls the run diffusive."""
        return self.numbers.diffusive

    @property
    def D_cm2_s(self) -> float | None:  # noqa: N802
        """Diffusion coefficient."""
        return self.numbers.D_cm2_s if self.conclusive else None

    @property
    def D_ci95_cm2_s(self) -> Interval:  # noqa: N802
        """Its 95 % interval."""
        return self.numbers.D_ci95_cm2_s if self.conclusive else None

    @property
    def D_upper95_cm2_s(self) -> float | None:  # noqa: N802
        """Upper limit of D, where it means something."""
        return self.numbers.D_upper95_cm2_s if self.numbers.limited else None

    @property
    def sigma_mS_cm(self) -> float | None:  # noqa: N802
        """Nernst-Einstein conductivity."""
        return self.numbers.sigma_NE_mS_cm if self.conclusive else None

    @property
    def sigma_ci95_mS_cm(self) -> Interval:  # noqa: N802
        """Its 95 % interval."""
        return self.numbers.sigma_NE_ci95_mS_cm if self.conclusive else None

    @property
    def sigma_upper95_mS_cm(self) -> float | None:  # noqa: N802
        """Upper limit of the Nernst-Einstein conductivity, where it means something."""
        return self.numbers.sigma_NE_upper95_mS_cm if self.numbers.limited else None

    @property
    def collective_mS_cm(self) -> float | None:  # noqa: N802
        """Collective conductivity."""
        return self.numbers.sigma_collective_mS_cm if self.conclusive else None

    @property
    def collective_ci95_mS_cm(self) -> Interval:  # noqa: N802
        """Its 95 % interval."""
        return self.numbers.sigma_collective_ci95_mS_cm if self.conclusive else None

    @property
    def haven(self) -> float | None:
        """Haven ratio."""
        return self.numbers.haven_ratio if self.conclusive else None

    @property
    def haven_ci95(self) -> Interval:
        """Its 95 % interval."""
        return self.numbers.haven_ci95 if self.conclusive else None

    @property
    def window_ps(self) -> Interval:
        """Lag times of the fit."""
        return self.numbers.fit_window_ps

    @property
    def verdict_word(self) -> str:
        """The verdict, with ``inconclusive`` in front of every refusal."""
        return "diffusive" if self.conclusive else f"inconclusive: {self.verdict or 'no verdict'}"

    @property
    def explanation(self) -> str:
        """One or two sentences for the caption."""
        if self.conclusive:
            text = f"D = {show(self.D_cm2_s)} cm²/s (95 %: {interval(self.D_ci95_cm2_s)}); {show(self.n_hops, 2)} hops."
            return text + (f" Note: {'; '.join(self.reasons)}." if self.reasons else "")
        limit = f" Upper limit of D: {show(self.D_upper95_cm2_s, 2)} cm²/s." if self.D_upper95_cm2_s is not None else ""
        why = f" Reason: {self.reasons[0]}." if self.reasons else ""
        why += f" Also noted: {'; '.join(self.reasons[1:])}." if self.reasons[1:] else ""
        return f"No value is reported.{why}{limit}"


@dataclass(frozen=True)
class ArrheniusLine:
    """The fitted line with its 95 % band on a grid of inverse temperatures.

    Attributes
    ----------
    inverse_1000K : ndarray, shape (n,)
        1000 / T, 1/K.
    D, low, high : ndarray, shape (n,)
        Diffusion coefficient and its band, cm2/s.
    sigma_T : ndarray, shape (n,), or None
        sigma T / D on the grid, (S K / cm) / (cm2/s), from the carrier densities of the points; None without
        conductivities.
    coldest_1000K : float
        1000 / T of the coldest fitted temperature; beyond it the line is an extrapolation.
    """

    inverse_1000K: np.ndarray
    D: np.ndarray
    low: np.ndarray
    high: np.ndarray
    sigma_T: np.ndarray | None
    coldest_1000K: float
    label: str
    caption: str


def transport_points(data: ReportData) -> list[Point]:
    """Return one point per temperature and system, coldest first; single runs if the analysis pooled none."""
    if data.conductivity is None:
        return []
    entries = data.conductivity.temperatures or data.conductivity.runs
    points = [_point(entry, data.conductivity) for entry in entries]
    if (found := data.self_check) is not None:
        points = [replace(point, check=_check_of(found, point)) for point in points]
    return _sorted(points)


def _check_of(found: SelfCheck, point: Point) -> CheckedPoint | None:
    """Return the self-check of the runs of a point; of several arrangements the least favourable, with all reasons."""
    alike = [
        one for one in found.points
        if base_name(one.system) == point.system and one.temperature_K == point.temperature_K
    ]
    if len(alike) < 2:
        return alike[0] if alike else None
    verdict = worst(*(one.verdict for one in alike))
    reasons = tuple(f"{one.system}: {reason}" for one in alike for reason in one.reasons)
    return next(one for one in alike if one.verdict == verdict).model_copy(update={"reasons": reasons})


def run_points(data: ReportData) -> list[Point]:
    """Return one point per trajectory, coldest first."""
    found = data.conductivity
    return [] if found is None else _sorted([_numbered(_point(run, found), run, found) for run in found.runs])


def _sorted(points: Sequence[Point]) -> list[Point]:
    return sorted(points, key=lambda p: (p.temperature_K or math.inf, p.label))


def _point(entry: RunTransport | PooledTransport, found: ConductivityResult) -> Point:
    title = f"{kelvin(entry.temperature_K)} K" if entry.temperature_K else "unknown temperature"
    several = len({run.system for run in found.runs}) > 1
    return Point(f"{clip(entry.system, 40)}, {title}" if several and entry.system else title, entry)


def _numbered(point: Point, run: RunTransport, found: ConductivityResult) -> Point:
    """Return the point of a run with its number in the title where there are replicas."""
    alike = [one for one in found.runs if (one.temperature_K, one.system) == (run.temperature_K, run.system)]
    return Point(f"{point.title}, run {alike.index(run) + 1}", run) if len(alike) > 1 else point


def lag_column(table: Table) -> str | None:
    """Return the name of the column with the time lag in ps."""
    return next((name for name in table if name.lower() in {"lag_ps", "time_ps", "t_ps", "dt_ps"}), None)


def species_columns(table: Table) -> dict[str, str]:
    """Return the total-MSD column of each species: ``msd_Li_A2`` or ``Li_A2``, not the directions."""
    found = {}
    for name, values in table.items():
        match = re.fullmatch(r"(?:msd_)?([A-Z][a-z]?|framework)_A2", name)
        if match and any(isinstance(v, float) and math.isfinite(v) for v in values):
            found[match[1]] = name
    return found


def msd_curves(data: ReportData) -> list[tuple[Point, Table]]:
    """Return the MSD table ``msd_<source>.csv`` of every run that has one, coldest first."""
    entries = run_points(data)
    tables = dict(data.msd)
    result = []
    for point in entries:
        names = [source.rstrip("/").rsplit("/", 1)[-1] for source in point.sources]
        stem = next((f"msd_{name}" for name in names if f"msd_{name}" in tables), None)
        if stem is not None:
            result.append((point, tables.pop(stem)))
    return result


def arrhenius_parts(data: ReportData, points: Sequence[Point]) -> list[tuple[str, ArrheniusResult, list[Point]]]:
    """Return (system, its Arrhenius line, its points) for every system."""
    found = data.conductivity
    if found is None:
        return []
    lines = found.arrhenius_by_system
    if len(lines) > 1:
        return [(name, line, [p for p in points if p.system == name]) for name, line in lines.items()]
    return [(points[0].system if points else "", found.arrhenius, list(points))]


def line_trust(line: ArrheniusResult, points: Sequence[Point]) -> Trust:
    """Return the lowest verdict of the self-check among the temperatures to which an Arrhenius line is fitted."""
    used = {round(temperature, 6) for temperature in line.points_used}
    found = [p.trust for p in points if p.temperature_K and round(p.temperature_K, 6) in used]
    return worst(*found) if found else "not checked"


def arrhenius_line(found: ArrheniusResult, points: Sequence[Point]) -> ArrheniusLine | None:
    """Return the line of the analysis with its 95 % band.

    The band needs the covariance of the fit, so the fit is repeated on the same points with the function of the
    analysis; if that does not reproduce the activation energy (within 2 %), no line is drawn.
    """
    Ea = found.Ea_eV
    if Ea is None:
        return None
    fitted = _refit(points, found)
    if fitted is None or abs(fitted.activation_eV[0] - Ea) > 0.02 * abs(Ea) + 1e-4:
        return None
    used = [T for T in found.points_used if T]
    reached = [one.temperature_K for one in extrapolations(found)]
    ends = [1000 / T for T in (*(p.temperature_K for p in points if p.temperature_K), *reached)]
    # every end of the fit and of the extrapolation is on the grid
    inverse = np.unique(np.concatenate([np.linspace(min(ends), max(ends), 81), [1000 / min(used)]]))
    curve = np.array([fitted.ln_D(1000 / x) for x in inverse])
    D, spread = np.exp(curve[:, 0]), np.exp(Z95 * curve[:, 1])
    ci = found.Ea_ci95_eV
    half = f" ± {(ci[1] - ci[0]) / 2:.3f}" if ci else ""
    caption = f"Activation energy {Ea:.3f}{half} eV (95 %), from {len(found.points_used)} temperatures."
    if found.notes:
        caption += f" Note: {'; '.join(found.notes)}."
    label = f"fit, Ea = {Ea:.3f}{half} eV"
    return ArrheniusLine(
        inverse, D, D / spread, D * spread, _sigma_T(points, inverse), 1000 / min(used), label, caption
    )


def _sigma_T(points: Sequence[Point], inverse_1000K: np.ndarray) -> np.ndarray | None:  # noqa: N802
    """Return sigma T / D at each 1000 / T, with the carrier densities as the analysis takes them for extrapolations."""
    known = [
        ArrheniusPoint(p.temperature_K, p.D_cm2_s, density_A3=1e-3 * p.sigma_mS_cm * p.temperature_K / p.D_cm2_s)
        for p in points
        if p.temperature_K and p.D_cm2_s and p.sigma_mS_cm
    ]
    if not known:
        return None
    return np.array([density_at(known, 1000 / x) for x in inverse_1000K], dtype=float)


def _refit(points: Sequence[Point], found: ArrheniusResult) -> ArrheniusFit | None:
    used = {round(t, 6) for t in found.points_used}
    measured = []
    for p in points:
        if (
            p.D_cm2_s
            and p.D_ci95_cm2_s
            and p.D_ci95_cm2_s[0] > 0
            and p.temperature_K
            and round(p.temperature_K, 6) in used
        ):
            error = math.log(p.D_ci95_cm2_s[1] / p.D_ci95_cm2_s[0]) / 2 / Z95
            if error > 0:
                measured.append(ArrheniusPoint(temperature_K=p.temperature_K, D_cm2_s=p.D_cm2_s, ln_sigma=error))
    try:
        return fit_arrhenius(measured, found.exponent_m)
    except (InputError, ValueError, np.linalg.LinAlgError):
        return None


def extrapolations(found: ArrheniusResult) -> list[Extrapolation]:
    """Return the extrapolated numbers, coldest first."""
    return sorted((one for one in found.extrapolated if one.D_cm2_s is not None), key=lambda one: one.temperature_K)


def combined_verdict(points: Sequence[Point]) -> str:
    """Return ``all``, ``some`` or ``none``: which of the temperatures gave a value."""
    good = sum(p.sigma_mS_cm is not None for p in points)
    return "all" if points and good == len(points) else "some" if good else "none"
