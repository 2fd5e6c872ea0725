"""Section on the conductivity: verdicts, numbers, Arrhenius line, mean squared displacements, checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpa_sse.ops.conductivity.arrhenius import determined
from dpa_sse.pipeline.report.assessment import (
    MAX_RELATIVE_CI,
    MIN_EDGE_A,
    MIN_HOPS,
    MIN_TEMPERATURES,
    relative_width,
    smallest_edge,
)
from dpa_sse.pipeline.report.figures import FigureBook
from dpa_sse.pipeline.report.inputs import ReportData, number
from dpa_sse.pipeline.report.page import (
    ABSENT,
    Cell,
    DetailsBlock,
    PageSection,
    TableBlock,
    count,
    interval,
    kelvin,
    measured,
    show,
)
from dpa_sse.pipeline.report.plots import conductivity as plots
from dpa_sse.pipeline.report.transport import (
    Point,
    arrhenius_line,
    arrhenius_parts,
    extrapolations,
    msd_curves,
    species_columns,
    transport_points,
)

COLUMNS = (
    "T (K)",
    "runs",
    "verdict",
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
            "No run was diffusive: every temperature is inconclusive and no conductivity is stated. Longer runs, "
            "higher temperatures or a larger cell are needed.",
            "warn",
        )
    section.table(
        COLUMNS,
        [_row(p) for p in points],
        "σ from tracer diffusion (Nernst–Einstein). No value is given where the run was refused; a collective σ and a "
        "Haven ratio only where their interval makes sense.",
        "verdict",
        "σ collective (mS/cm)|95 % interval |Haven ratio",
    )
    found = arrhenius_parts(data, points)
    several = len(found) > 1
    drawn = [
        plots.plot_arrhenius(book, own, arrhenius_line(part, own), system if several else "")
        for system, part, own in found
    ]
    section.figures([*drawn, plots.plot_sigma(book, points)])
    for system, part, _ in found:
        _arrhenius_text(part, f"{system}: " if several else "", section)
    mobile = _mobile(data)
    curves = msd_curves(data)
    overview = [plots.plot_msd_overview(book, curves, mobile)] if len(curves) > 1 else []
    section.figures([*overview, *(plots.plot_msd(book, point, table, mobile) for point, table in curves)], most=6)
    columns = ("check", "advised", "found", "met")
    section.table(columns, _checks(data, points), "Checks on the conductivities.", "|".join(columns))
    reasons = [[p.title, p.verdict or ABSENT, "; ".join(p.reasons) or ABSENT] for p in points]
    table = TableBlock(("temperature", "verdict", "reasons"), reasons, words=("temperature", "verdict", "reasons"))
    section.blocks.append(DetailsBlock("Verdicts with all their reasons", blocks=[table]))
    return section


def _row(p: Point) -> list[str | Cell]:
    verdict = Cell("diffusive", "good") if p.conclusive else Cell(p.verdict_word, "warn")
    D = (
        measured(p.D_cm2_s, p.D_ci95_cm2_s)
        if p.conclusive
        else f"< {show(p.D_upper95_cm2_s, 2)}"
        if p.D_upper95_cm2_s is not None
        else ABSENT
    )
    hops = number(p.n_hops)
    return [
        p.title.removesuffix(" K"),
        str(p.replicas),
        verdict,
        measured(p.sigma_mS_cm, p.sigma_ci95_mS_cm),
        interval(p.sigma_ci95_mS_cm),
        D,
        measured(p.collective_mS_cm, p.collective_ci95_mS_cm),
        interval(p.collective_ci95_mS_cm),
        ABSENT if p.haven is None else f"{show(p.haven, 2)} ({interval(p.haven_ci95, 2)})",
        ABSENT if hops is None else count(hops),
    ]


def _mobile(data: ReportData) -> list[str]:
    if data.config.conductivity.mobile:
        return list(data.config.conductivity.mobile)
    return ["Li"] if any("Li" in species_columns(table) for table in data.msd.values()) else []


def _arrhenius_text(found: Mapping[str, Any], head: str, section: PageSection) -> None:
    if number(found.get("Ea_eV")) is None:
        section.text(
            f"{head}No Arrhenius line, it takes two temperatures with a value. Nothing is extrapolated.", "info"
        )
        return
    rows = [
        [
            kelvin(e["temperature_K"]),
            measured(e.get("D"), e.get("D_ci95")),
            interval(e.get("D_ci95")),
            measured(e.get("sigma"), e.get("sigma_ci95")),
            interval(e.get("sigma_ci95")),
        ]
        for e in extrapolations(found)
    ]
    activation = measured(found.get("Ea_eV"), found.get("Ea_ci95_eV"))
    if not determined(found):
        ends = interval(found.get("Ea_ci95_eV"))
        section.text(
            f"{head}The slope of the line means an activation energy of {ends} eV (95 %), not told from zero. "
            "Nothing is extrapolated.",
            "info",
        )
        return
    section.table(
        ("T (K)", "D (cm²/s)", "95 % interval", "σ (mS/cm)", "95 % interval "),
        rows,
        f"{head}Extrapolated along the line with Ea = {activation} eV (95 %: "
        f"{interval(found.get('Ea_ci95_eV'))}); no phase change on the way is assumed.",
    )


def _checks(data: ReportData, points: list[Point]) -> list[list[str | Cell]]:
    def met(good: bool | None) -> Cell:
        return Cell("not known", "info") if good is None else Cell("yes", "good") if good else Cell("no", "warn")

    valued = [p for p in points if p.conclusive]
    n = len({p.temperature_K for p in valued})
    widths = [w for w in (relative_width(p) for p in valued) if w is not None]
    hops = [h for h in (p.n_hops for p in valued) if h is not None]
    edge = smallest_edge(data)
    curved = [number(part.get("curvature_p")) for _, part, _ in arrhenius_parts(data, points)]
    curvature = min((p for p in curved if p is not None), default=None)
    havens = [p.haven_ci95 for p in valued if p.haven_ci95]
    return [
        ["runs that are diffusive", "all", f"{len(valued)} of {len(points)}", met(len(valued) == len(points))],
        ["temperatures on the line", f"{MIN_TEMPERATURES} or more", str(n), met(n >= MIN_TEMPERATURES)],
        [
            "widest 95 % interval of σ",
            f"± {100 * MAX_RELATIVE_CI:.0f} %",
            f"± {100 * max(widths):.0f} %" if widths else ABSENT,
            met(max(widths) <= MAX_RELATIVE_CI if widths else None),
        ],
        [
            "fewest hops in a run",
            f"{MIN_HOPS} or more",
            count(min(hops)) if hops else ABSENT,
            met(min(hops) >= MIN_HOPS if hops else None),
        ],
        [
            "cell edge (cube root of the volume)",
            f"{MIN_EDGE_A:.0f} Å or more",
            f"{edge:.1f} Å" if edge else ABSENT,
            met(edge >= MIN_EDGE_A if edge else None),
        ],
        [
            "straight Arrhenius line (p of curvature)",
            "0.05 or more",
            show(curvature, 2),
            met(curvature >= 0.05 if curvature is not None else None),
        ],
        [
            "Haven ratio (95 % interval)",
            "overlaps 0.1 to 2",
            "; ".join(interval(h, 2) for h in havens) or ABSENT,
            met(all(h[1] >= 0.1 and h[0] <= 2 for h in havens) if havens else None),
        ],
    ]
