"""Section on the conductivity: verdicts, numbers, Arrhenius line, mean squared displacements, checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dpa_sse.ops.results.conductivity import ArrheniusResult
from dpa_sse.ops.results.self_check import Trust
from dpa_sse.pipeline.report.advice import advice, why_none
from dpa_sse.pipeline.report.assessment import (
    MAX_RELATIVE_CI,
    MIN_EDGE_A,
    MIN_HOPS,
    MIN_TEMPERATURES,
    relative_width,
    smallest_edge,
)
from dpa_sse.pipeline.report.context import common_conditions, label_source, measured_of, mobile_elements
from dpa_sse.pipeline.report.figures import FigureBook
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.measured import MeasuredTransport
from dpa_sse.pipeline.report.page import (
    ABSENT,
    Cell,
    DetailsBlock,
    PageSection,
    TableBlock,
    as_published,
    count,
    interval,
    kelvin,
    listed,
    measured,
    show,
)
from dpa_sse.pipeline.report.plots import conductivity as plots
from dpa_sse.pipeline.report.plots.arrhenius import ArrheniusSubject, plot_arrhenius
from dpa_sse.pipeline.report.sections.self_check import trust_cell
from dpa_sse.pipeline.report.transport import (
    Point,
    arrhenius_line,
    arrhenius_parts,
    extrapolations,
    line_trust,
    msd_curves,
    transport_points,
)

COLUMNS = (
    "T (K)",
    "conditions",
    "runs",
    "verdict",
    "self-check",
    "σ (mS/cm)",
    "95 % interval",
    "D (cm²/s)",
    "σ collective (mS/cm)",
    "95 % interval ",
    "Haven ratio",
    "hops",
)


def conductivity(data: ReportData, book: FigureBook) -> PageSection:
    """Mean squared displacements, verdicts, conductivities, Arrhenius line."""
    section = PageSection("conductivity", "Ionic conductivity")
    points = transport_points(data)
    if not points:
        section.absent = "no conductivity was computed"
        return section
    if not any(p.conclusive for p in points):
        section.text(
            f"No temperature gave a conductivity ({why_none(points)}). {' '.join(advice(data))}",
            "warn",
        )
    found = arrhenius_parts(data, points)
    several = len(found) > 1
    for system, part, own in found:
        section.figures([plot_arrhenius(book, _subject(data, system if several else "", part, own))])
    section.table(
        COLUMNS,
        [_row(p, several=not _same_state(points)) for p in points],
        f"σ from tracer diffusion (Nernst–Einstein), with a model of {label_source(data)}. Runs that were refused have "
        "no value; a collective σ and a Haven ratio are given only if their interval is meaningful."
        + _same_state(points),
        "conditions|verdict|self-check",
        "conditions|σ collective (mS/cm)|95 % interval |Haven ratio",
    )
    section.text(f"Figures and numbers hold for {common_conditions(data) or 'runs whose state point is not recorded'}; "
                 f"{label_source(data)}.")
    for system, part, own in found:
        _arrhenius_text(part, f"{system}: " if several else "", line_trust(part, own), section)
        section.table(*measured_table(data, part, own))
    _ranking(data, found, section)
    mobile = mobile_elements(data)
    curves = msd_curves(data)
    overview = [plots.plot_msd_overview(book, curves, mobile)] if len(curves) > 1 else []
    section.figures([*overview, *(plots.plot_msd(book, point, table, mobile) for point, table in curves)], most=6)
    columns = ("check", "advised", "found", "met")
    checks = [check.row() for check in conductivity_checks(data, points)]
    section.table(columns, checks, "Checks on the conductivities.", "|".join(columns))
    reasons = [[p.title, p.verdict or ABSENT, "; ".join(p.reasons) or ABSENT] for p in points]
    table = TableBlock(("temperature", "verdict", "reasons"), reasons, words=("temperature", "verdict", "reasons"))
    section.blocks.append(DetailsBlock("Verdicts with all their reasons", blocks=[table]))
    return section


def _ranking(
    data: ReportData, parts: Sequence[tuple[str, ArrheniusResult, list[Point]]], section: PageSection
) -> None:
    """Add the order of the systems, as far as the intervals allow one."""
    ranking = data.conductivity.ranking if data.conductivity else ()
    if not ranking:
        return
    lines = {system: (line, own) for system, line, own in parts}
    rows: list[list[str | Cell]] = []
    for one, after in zip(ranking, [*ranking[1:], None], strict=True):
        line, own = lines[one.system]
        rows.append([
            one.rank_text, one.system, f"{measured(one.sigma_mS_cm, one.sigma_ci95_mS_cm)} "
            f"({interval(one.sigma_ci95_mS_cm, 2)})",
            f"{measured(line.Ea_eV, line.Ea_ci95_eV)} ({interval(line.Ea_ci95_eV, 2)})",
            f"{one.better_than[after.system]:.2f}" if after else ABSENT, trust_cell(line_trust(line, own)),
        ])
    section.table(
        ("rank", "system", f"σ at {kelvin(ranking[0].temperature_K)} K (mS/cm)", "Ea (eV)", "P (better than next)",
         "self-check"),
        rows,
        "Ranks that the 95 % intervals allow; where ranges overlap, the order is not known. The probabilities are "
        "statistical: they do not contain the error of the model, which the self-check shows.",
        "rank|system|self-check",
    )
    without = [system for system in lines if system not in {one.system for one in ranking}]
    if without:
        section.text(f"Not ranked, without an extrapolated conductivity: {listed(without)}.")


def _same_state(points: Sequence[Point]) -> str:
    """Return the state point that all values share, as a sentence; empty if they do not, or if one is not recorded.

    The width of the cell, which grows with the temperature, is given as a range.
    """
    states = [p.numbers.state for p in points]
    known = [state for state in states if state is not None]
    if len(known) < len(states) or len({(s.pressure_GPa, s.ensemble, s.n_atoms) for s in known}) != 1:
        return ""
    widths = sorted({f"{state.width_A:.1f}" for state in known if state.width_A}, key=float)
    wide = f", {' to '.join(dict.fromkeys((widths[0], widths[-1])))} Å wide" if widths else ""
    return f" All at {known[0].pressure_GPa:g} GPa, {known[0].ensemble.upper()}, {known[0].n_atoms} atoms{wide}."


def _row(p: Point, *, several: bool) -> list[str | Cell]:
    verdict = Cell("diffusive", "good") if p.conclusive else Cell(p.verdict_word, "warn")
    limit = f"< {show(p.D_upper95_cm2_s, 2)}" if p.D_upper95_cm2_s is not None else ABSENT
    return [
        p.title.removesuffix(" K"),
        p.numbers.state.text if p.numbers.state and several else ABSENT,
        f"{p.replicas}" + (f" ({p.arrangements} arrangements)" if p.arrangements > 1 else ""),
        verdict,
        trust_cell(p.trust),
        measured(p.sigma_mS_cm, p.sigma_ci95_mS_cm),
        interval(p.sigma_ci95_mS_cm),
        measured(p.D_cm2_s, p.D_ci95_cm2_s) if p.conclusive else limit,
        measured(p.collective_mS_cm, p.collective_ci95_mS_cm),
        interval(p.collective_ci95_mS_cm),
        ABSENT if p.haven is None else f"{show(p.haven, 2)} ({interval(p.haven_ci95, 2)})",
        ABSENT if p.n_hops is None else count(p.n_hops),
    ]


def _subject(data: ReportData, system: str, part: ArrheniusResult, points: Sequence[Point]) -> ArrheniusSubject:
    """Return what the Arrhenius figure of a system shows; a line only where its slope is known."""
    name = system or (points[0].system if points else "")
    why = (
        "it needs values at two temperatures" if part.Ea_eV is None
        else "the activation energy is not determined" if not part.determined
        else "it is not that of the conductivity of several mobile species"
    )
    line = arrhenius_line(part, points) if part.determined and len(mobile_elements(data)) <= 1 else None
    verdicts = " or ".join(dict.fromkeys(point.trust for point in points if point.sigma_mS_cm is not None))
    holds = f"{name}, {common_conditions(data, name) or 'state point not recorded'}; {label_source(data)}"
    holds += f"; self-check: {verdicts}" if verdicts else ""
    return ArrheniusSubject(system, points, line, measured_of(data, name).conductivities, holds, why)


def measured_table(
    data: ReportData, part: ArrheniusResult, points: Sequence[Point]
) -> tuple[Sequence[str], list[list[str | Cell]], str, str, str]:
    """Return columns, rows, caption, words and optional columns of the calculated values beside the measured ones."""
    system = points[0].system if points else ""
    found = measured_of(data, system)
    rows: list[list[str | Cell]] = []
    if found.conductivities or found.diffusion:
        rows = [
            [
                f"this work, extrapolated ({label_source(data)})", system, kelvin(one.temperature_K),
                measured(one.sigma_mS_cm, one.sigma_ci95_mS_cm), measured(one.D_cm2_s, one.D_ci95_cm2_s),
                f"{measured(part.Ea_eV, part.Ea_ci95_eV)} ({interval(part.Ea_ci95_eV, 2)})",
                f"self-check: {line_trust(part, points)}",
            ]
            for one in extrapolations(part)
        ]
        rows += [_measured_row(one, sigma=True) for one in found.conductivities]
        rows += [_measured_row(one, sigma=False) for one in found.diffusion]
    caption = "Measured values of the library, with the confidence in their digits. Grain boundaries, density and "
    caption += "disorder of the samples differ from those of a perfect crystal."
    if not extrapolations(part):
        caption += " The values of this run are not extrapolated to the temperatures of the measurements."
    columns = ("source", "material", "T (K)", "σ (mS/cm)", "D (cm²/s)", "Ea (eV)", "confidence")
    return columns, rows, caption, "source|material|confidence", "D (cm²/s)|Ea (eV)|confidence"


def _measured_row(one: MeasuredTransport, *, sigma: bool) -> list[str | Cell]:
    value = as_published(one.low) if one.low == one.high else f"{as_published(one.low)} to {as_published(one.high)}"
    material = f"{one.material}, {one.remark}" if one.remark else one.material
    return [
        one.reference, material, kelvin(one.temperature_K), value if sigma else ABSENT, ABSENT if sigma else value,
        ABSENT if one.Ea_eV is None else as_published(one.Ea_eV), one.confidence or ABSENT,
    ]


def _arrhenius_text(found: ArrheniusResult, head: str, trust: Trust, section: PageSection) -> None:
    if found.Ea_eV is None:
        section.text(
            f"{head}No Arrhenius line: it needs values at two temperatures. Nothing is extrapolated.", "info"
        )
        return
    ends = interval(found.Ea_ci95_eV)
    if not found.determined:
        section.text(
            f"{head}The activation energy from the slope of the line is {ends} eV (95 %), compatible with zero. "
            "Nothing is extrapolated.",
            "info",
        )
        return
    rows = [
        [
            kelvin(one.temperature_K),
            measured(one.D_cm2_s, one.D_ci95_cm2_s),
            interval(one.D_ci95_cm2_s),
            measured(one.sigma_mS_cm, one.sigma_ci95_mS_cm),
            interval(one.sigma_ci95_mS_cm),
        ]
        for one in extrapolations(found)
    ]
    section.table(
        ("T (K)", "D (cm²/s)", "95 % interval", "σ (mS/cm)", "95 % interval "),
        rows,
        f"{head}Extrapolated along the line with Ea = {measured(found.Ea_eV, found.Ea_ci95_eV)} eV (95 %: {ends}), "
        f"assuming that no phase transition occurs on the way; {trust} by the self-check of its temperatures.",
    )


@dataclass(frozen=True)
class Check:
    """One row of the checks: what is advised, what was found, and whether it is OK (None: unknown)."""

    name: str
    advised: str
    value: str
    ok: bool | None

    def row(self) -> list[str | Cell]:
        """Return the cells of the table."""
        met = Cell("not known", "info") if self.ok is None else Cell("yes", "good") if self.ok else Cell("no", "warn")
        return [self.name, self.advised, self.value, met]


def conductivity_checks(data: ReportData, points: Sequence[Point]) -> list[Check]:
    """Return the checks on the conductivities."""
    valued = [p for p in points if p.conclusive]
    temperatures = len({p.temperature_K for p in valued})
    curved = [line.curvature_p for _, line, _ in arrhenius_parts(data, points)]
    return [
        Check("runs that are diffusive", "all", f"{len(valued)} of {len(points)}", len(valued) == len(points)),
        Check(
            "temperatures on the line", f"{MIN_TEMPERATURES} or more", str(temperatures),
            temperatures >= MIN_TEMPERATURES,
        ),
        _width_check(max((w for p in valued if (w := relative_width(p)) is not None), default=None)),
        _hops_check(min((p.n_hops for p in valued if p.n_hops is not None), default=None)),
        _edge_check(smallest_edge(data)),
        _curvature_check(min((p for p in curved if p is not None), default=None)),
        _haven_check([p.haven_ci95 for p in valued if p.haven_ci95]),
    ]


def _width_check(width: float | None) -> Check:
    found = (ABSENT, None) if width is None else (f"± {100 * width:.0f} %", width <= MAX_RELATIVE_CI)
    return Check("widest 95 % interval of σ", f"± {100 * MAX_RELATIVE_CI:.0f} %", *found)


def _hops_check(hops: float | None) -> Check:
    found = (ABSENT, None) if hops is None else (count(hops), hops >= MIN_HOPS)
    return Check("fewest hops in a run", f"{MIN_HOPS} or more", *found)


def _edge_check(edge: float | None) -> Check:
    found = (ABSENT, None) if edge is None else (f"{edge:.1f} Å", edge >= MIN_EDGE_A)
    return Check("smallest width of the cell", f"{MIN_EDGE_A:.0f} Å or more", *found)


def _curvature_check(p: float | None) -> Check:
    ok = None if p is None else p >= 0.05
    return Check("straight Arrhenius line (p of curvature)", "0.05 or more", show(p, 2), ok)


def _haven_check(intervals: Sequence[tuple[float, float]]) -> Check:
    text = "; ".join(interval(ends, 2) for ends in intervals) or ABSENT
    ok = all(high >= 0.1 and low <= 2 for low, high in intervals) if intervals else None
    return Check("Haven ratio (95 % interval)", "overlaps 0.1 to 2", text, ok)
