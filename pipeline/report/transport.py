"""Transport numbers as the report shows them: one point per temperature, its verdict, the Arrhenius line."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dpa_sse.ops.conductivity.arrhenius import determined
from dpa_sse.pipeline.report.figures import slug
from dpa_sse.pipeline.report.inputs import ReportData, Table, number, pair
from dpa_sse.pipeline.report.page import clip, interval, kelvin, show

Z95 = 1.959964


@dataclass(frozen=True)
class Point:
    """What is known of the transport at one temperature (replicas combined where the analysis combined them).

    Numbers are None unless the verdict is ``diffusive``: a refused run has at most an upper limit.
    """

    label: str
    title: str
    system: str
    sources: tuple[str, ...]
    temperature_K: float | None
    replicas: int
    verdict: str
    reasons: tuple[str, ...]
    length_ps: float | None
    D_cm2_s: float | None
    D_ci95_cm2_s: tuple[float, float] | None
    D_upper95_cm2_s: float | None
    sigma_mS_cm: float | None
    sigma_ci95_mS_cm: tuple[float, float] | None
    sigma_upper95_mS_cm: float | None
    collective_mS_cm: float | None
    collective_ci95_mS_cm: tuple[float, float] | None
    haven: float | None
    haven_ci95: tuple[float, float] | None
    n_hops: float | None
    start_ps: float | None
    window_ps: tuple[float, float] | None

    @property
    def conclusive(self) -> bool:
        """True when the analysis calls the run diffusive."""
        return self.verdict == "diffusive"

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
        why += f" Also seen: {'; '.join(self.reasons[1:])}." if self.reasons[1:] else ""
        return f"No value is stated.{why}{limit}"


@dataclass(frozen=True)
class ArrheniusLine:
    """The fitted line with its 95 % band on a grid of inverse temperatures."""

    inverse_1000K: np.ndarray
    D: np.ndarray
    low: np.ndarray
    high: np.ndarray
    label: str
    caption: str
    extrapolated: tuple[float, float, list[list[float]] | None] | None


def transport_points(data: ReportData) -> list[Point]:
    """Return one point per temperature and system, coldest first; separate runs where nothing combined them."""
    found = data.conductivity
    combined = [entry for entry in found.get("temperatures") or [] if isinstance(entry, dict)]
    runs = [entry for entry in found.get("runs") or [] if isinstance(entry, dict)]
    points = [_point(entry, runs) for entry in (combined or runs)]
    return sorted(points, key=lambda p: (p.temperature_K or math.inf, p.label))


def run_points(data: ReportData) -> list[Point]:
    """Return one point per trajectory, coldest first."""
    runs = [entry for entry in data.conductivity.get("runs") or [] if isinstance(entry, dict)]
    points = [_point(entry, runs, by_source=True) for entry in runs]
    return sorted(points, key=lambda p: (p.temperature_K or math.inf, p.label))


def _point(entry: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], by_source: bool = False) -> Point:
    verdict = str(entry.get("verdict") or "")
    good = verdict == "diffusive"
    limited = verdict.startswith(("not diffusive", "too short"))  # an upper limit means nothing where a run went wrong
    temperature = number(entry.get("temperature_K"))
    system = str(entry.get("system") or "")
    several = len({str(run.get("system") or "") for run in runs}) > 1
    sources = _sources(entry)
    title = f"{kelvin(temperature)} K" if temperature else "unknown temperature"
    title = f"{clip(system, 40)}, {title}" if several and system else title
    alike = [
        run
        for run in runs
        if number(run.get("temperature_K")) == temperature and run.get("system") == entry.get("system")
    ]
    if by_source and len(alike) > 1:
        title += f", run {alike.index(entry) + 1}"
    n = int(number(entry.get("n_runs")) or number(entry.get("replicas")) or max(1, len(sources)))

    def value(key: str) -> float | None:
        return number(entry.get(key)) if good else None

    def span(key: str) -> tuple[float, float] | None:
        return pair(entry.get(key)) if good else None

    reasons = entry.get("reasons")
    return Point(
        label=slug(title),
        title=title,
        system=system,
        sources=sources,
        temperature_K=temperature,
        replicas=n,
        verdict=verdict,
        reasons=tuple(str(reason) for reason in reasons) if isinstance(reasons, list) else (),
        length_ps=number(entry.get("length_ps")),
        D_cm2_s=value("D_cm2_s"),
        D_ci95_cm2_s=span("D_ci95_cm2_s"),
        D_upper95_cm2_s=None if not limited else number(entry.get("D_upper95_cm2_s")),
        sigma_mS_cm=value("sigma_NE_mS_cm"),
        sigma_ci95_mS_cm=span("sigma_NE_ci95_mS_cm"),
        sigma_upper95_mS_cm=None if not limited else number(entry.get("sigma_NE_upper95_mS_cm")),
        collective_mS_cm=value("sigma_collective_mS_cm"),
        collective_ci95_mS_cm=span("sigma_collective_ci95_mS_cm"),
        haven=value("haven_ratio"),
        haven_ci95=span("haven_ci95"),
        n_hops=number(entry.get("n_hops")),
        start_ps=number(entry.get("t_start_ps")),
        window_ps=pair(entry.get("fit_window_ps")),
    )


def _sources(entry: Mapping[str, Any]) -> tuple[str, ...]:
    source = entry.get("sources", entry.get("source"))
    if isinstance(source, list):
        return tuple(str(name) for name in source)
    return (str(source),) if source else ()


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


def arrhenius_parts(data: ReportData, points: Sequence[Point]) -> list[tuple[str, dict[str, Any], list[Point]]]:
    """Return (system, its ``arrhenius`` part, its points) for every system."""
    by_system = data.conductivity.get("arrhenius_by_system")
    if isinstance(by_system, dict) and len(by_system) > 1:
        parts = [(str(k), v, [p for p in points if p.system == str(k)]) for k, v in by_system.items()]
        return [part for part in parts if isinstance(part[1], dict)]
    whole = data.conductivity.get("arrhenius")
    return [(points[0].system if points else "", whole if isinstance(whole, dict) else {}, list(points))]


def arrhenius_line(found: Mapping[str, Any], points: Sequence[Point]) -> ArrheniusLine | None:
    """Return the line of the analysis with its 95 % band.

    The band needs the covariance of the fit, so the fit is done again from the same points with the analysis' own
    function; when it does not give the analysis' activation energy (within 2 %), no line is drawn.
    """
    Ea = number(found.get("Ea_eV"))
    if Ea is None:
        return None
    fitted = _refit(points, found)
    if fitted is None or abs(fitted.activation_eV[0] - Ea) > 0.02 * abs(Ea) + 1e-4:
        return None
    extrapolated = _extrapolated(found)
    temperatures = [p.temperature_K for p in points if p.temperature_K]
    ends = [1000 / min(temperatures), 1000 / max(temperatures)] + ([extrapolated[0]] if extrapolated else [])
    inverse = np.linspace(min(ends), max(ends), 81)
    curve = np.array([fitted.ln_D(1000 / x) for x in inverse])
    D, spread = np.exp(curve[:, 0]), np.exp(Z95 * curve[:, 1])
    ci = pair(found.get("Ea_ci95_eV"))
    half = f" ± {(ci[1] - ci[0]) / 2:.3f}" if ci else ""
    notes = [str(note) for note in found.get("notes") or []]
    caption = f"Activation energy {Ea:.3f}{half} eV (95 %), from {len(found.get('points_used') or [])} temperatures."
    if notes:
        caption += f" Note: {'; '.join(notes)}."
    return ArrheniusLine(inverse, D, D / spread, D * spread, f"fit, Ea = {Ea:.3f}{half} eV", caption, extrapolated)


def _refit(points: Sequence[Point], found: Mapping[str, Any]) -> Any:
    from dpa_sse.ops.conductivity.arrhenius import Point as Measured
    from dpa_sse.ops.conductivity.arrhenius import fit
    from dpa_sse.ops.core.errors import InputError

    used = {round(t, 6) for t in (number(v) for v in found.get("points_used") or []) if t is not None}
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
                measured.append(Measured(temperature_K=p.temperature_K, D_cm2_s=p.D_cm2_s, ln_sigma=error))
    exponent = number(found.get("exponent_m"))
    try:
        return fit(measured, -1.0 if exponent is None else exponent)
    except (InputError, ValueError, np.linalg.LinAlgError):
        return None


def extrapolations(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the extrapolated numbers (temperature_K, D, sigma and intervals) of the ``arrhenius`` part."""
    result: dict[float, dict[str, Any]] = defaultdict(dict)
    for key, value in found.items():
        match = re.fullmatch(r"(D|sigma)_([0-9.]+)K_(ci95_)?(?:cm2_s|mS_cm)", key)
        if match:
            result[float(match[2])][match[1] + ("_ci95" if match[3] else "")] = value
    return [{"temperature_K": T, **entry} for T, entry in sorted(result.items()) if number(entry.get("D")) is not None]


def _extrapolated(found: Mapping[str, Any]) -> tuple[float, float, list[list[float]] | None] | None:
    entries = extrapolations(found)
    if not entries or not determined(found):  # a line that may be flat leads nowhere
        return None
    D, ci = float(entries[0]["D"]), pair(entries[0].get("D_ci95"))
    error = None if ci is None else [[max(D - ci[0], 0.0)], [max(ci[1] - D, 0.0)]]
    return 1000 / entries[0]["temperature_K"], D, error


def combined_verdict(points: Sequence[Point]) -> str:
    """Return ``all``, ``some`` or ``none`` of the temperatures gave a value."""
    good = sum(p.sigma_mS_cm is not None for p in points)
    return "all" if points and good == len(points) else "some" if good else "none"
