"""Section on the production MD."""

from __future__ import annotations

import math
from collections import defaultdict

from dpa_sse.ops.results.md import MdRun
from dpa_sse.pipeline.report.figures import FigureBook
from dpa_sse.pipeline.report.inputs import ProductionRun, ReportData
from dpa_sse.pipeline.report.page import Cell, PageSection, clip, count, kelvin, show, status_cell
from dpa_sse.pipeline.report.plots.health import plot_health


def dynamics(data: ReportData, book: FigureBook) -> PageSection:
    """Return the section on stability and speed of the production runs."""
    section = PageSection("md", "Molecular dynamics")
    if not data.md:
        section.absent = "no production MD"
        return section
    rows: list[list[str | Cell]] = []
    for run in data.md:
        info = run.info
        rows.append(
            [
                run.name,
                info.system,
                kelvin(info.temperature_K),
                count(info.n_atoms),
                info.ensemble,
                f"{info.pressure_GPa:g}",
                show(info.steps * info.timestep_fs / 1000),
                show(_mean(run, "temperature_K"), 4),
                show(info.steps_per_s),
                status_cell(info.status),
                "; ".join(run_remarks(info)),
            ]
        )
    section.table(
        (
            "run", "system", "T (K)", "atoms", "ensemble", "p (GPa)", "planned (ps)", "mean T (K)", "steps/s", "status",
            "remark",
        ),
        rows,
        "A run that explodes or melts is stopped and not used.",
        "run|system|ensemble|status|remark",
        "remark|steps/s",
    )
    groups: dict[tuple[str, float], list[ProductionRun]] = defaultdict(list)
    for run in data.md:
        groups[run.info.system, run.info.temperature_K].append(run)
    several = len({system for system, _ in groups}) > 1
    figures = []
    for (system, temperature), runs in groups.items():
        title = f"{clip(system, 40)}, {kelvin(temperature)} K" if several else f"{kelvin(temperature)} K"
        figures.append(plot_health(book, f"md_{system}_{temperature:g}K", title, runs))
    section.figures(figures, most=6)
    return section


def run_remarks(info: MdRun) -> list[str]:
    """Return what a reader should know about a run: why it ended, exchanged sites, a short equilibration, its parts."""
    found = [info.reason] if info.reason else []
    if info.continued_from is not None:
        found.append(f"continues a run of {show(info.continued_from * info.timestep_fs / 1000)} ps")
    if info.exchanged:
        found.append(info.exchanged)
    return found + list(info.equilibration.reasons if info.equilibration else ())


def _mean(run: ProductionRun, column: str) -> float | None:
    values = [v for v in run.thermo.get(column, []) if isinstance(v, float) and math.isfinite(v)]
    return sum(values) / len(values) if values else None
