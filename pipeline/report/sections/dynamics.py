"""Sections on the molecular dynamics, the conductivity, failures and how to reproduce the run."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from dpa_sse.pipeline.report.figures import FigureBook
from dpa_sse.pipeline.report.inputs import MdRun, ReportData, number
from dpa_sse.pipeline.report.page import (
    ABSENT,
    Cell,
    DetailsBlock,
    Section,
    TableBlock,
    clip,
    count,
    kelvin,
    show,
)
from dpa_sse.pipeline.report.plots import dynamics as plots_md
from dpa_sse.pipeline.report.sections.models import status_cell


def dynamics(data: ReportData, book: FigureBook) -> Section:
    """Health and speed of the production runs."""
    section = Section("md", "Molecular dynamics")
    if not data.md:
        section.absent = "no production MD"
        return section
    rows: list[list[str | Cell]] = []
    for md in data.md:
        run = md.run
        steps, timestep = number(run.get("steps")), number(run.get("timestep_fs"))
        length = None if steps is None or timestep is None else steps * timestep / 1000
        rows.append(
            [
                md.name,
                str(run.get("system") or ABSENT),
                kelvin(run.get("temperature_K")),
                count(run.get("n_atoms")),
                str(run.get("ensemble") or ABSENT),
                show(length),
                show(_mean(md, "temperature_K"), 4),
                show(run.get("steps_per_s")),
                status_cell(md.status),
                str(run.get("reason") or ""),
            ]
        )
    section.table(
        ("run", "system", "T (K)", "atoms", "ensemble", "planned (ps)", "mean T (K)", "steps/s", "status", "remark"),
        rows,
        "A run that exploded or melted is stopped and not used.",
        "run|system|ensemble|status|remark",
        "remark|steps/s",
    )
    groups: dict[tuple[str, float], list[MdRun]] = defaultdict(list)
    for md in data.md:
        groups[str(md.run.get("system") or ""), number(md.run.get("temperature_K")) or 0.0].append(md)
    several = len({system for system, _ in groups}) > 1
    figures = []
    for (system, temperature), runs in groups.items():
        title = f"{clip(system, 40)}, {kelvin(temperature)} K" if several else f"{kelvin(temperature)} K"
        figures.append(plots_md.plot_health(book, f"md_{system}_{temperature:g}K", title, runs))
    section.figures(figures, most=6)
    return section


def _mean(md: MdRun, column: str) -> float | None:
    values = [v for v in md.thermo.get(column, []) if isinstance(v, float) and math.isfinite(v)]
    return sum(values) / len(values) if values else None


def failures(data: ReportData) -> Section:
    """Every failed task, and every input of the report that could not be read."""
    section = Section("failures", "Failures")
    rows: list[list[Any]] = []
    for stage in data.stages:
        for item in stage.get("failures") or []:
            entry = item if isinstance(item, dict) else {"reason": item}
            rows.append(
                [
                    str(stage.get("title") or stage.get("name")),
                    str(entry.get("task") or ABSENT),
                    str(entry.get("reason") or "no reason given"),
                ]
            )
    if rows:
        section.table(("stage", "task", "reason"), rows, "", "stage|task|reason")
    elif data.stages:
        section.text("No task failed.")
    else:
        section.text("The stages of this run are not recorded, so failed tasks are not known.", "info")
    if data.notes:
        section.table(
            ("could not be read for this report",),
            [[note] for note in data.notes],
            "",
            "could not be read for this report",
        )
    return section


def not_run(parts: Sequence[Section]) -> Section | None:
    """One line for every section that has nothing to show."""
    lines = [f"{part.title}: {part.absent}." for part in parts if part.absent]
    if not lines:
        return None
    section = Section("absent", "Not part of this run")
    section.text(" ".join(lines))
    return section


def reproduce(data: ReportData, book: FigureBook) -> Section:
    """Show the command, and the files beside this page."""
    section = Section("reproduce", "How to reproduce, and files")
    command = data.provenance.get("command")
    if isinstance(command, list):
        command = " ".join(str(word) for word in command)
    text = str(command) if command else "dpa-sse run config.resolved.yaml"
    if data.config_text:
        section.text("Save the configuration above as config.resolved.yaml, take the same versions and run:")
    section.blocks.append(DetailsBlock("", pre=text))
    rows = [
        [figure.title, f"figures/{figure.name}.svg", f"figures/{figure.name}.png", f"figures/{figure.name}.csv"]
        for figure in book.figures
    ]
    section.text(
        "Beside this page: summary.json (its numbers, for programs)"
        + ("; every figure as SVG, PNG and CSV in the folder figures." if rows else ".")
    )
    if rows:
        section.blocks.append(
            DetailsBlock(
                f"Files of the {len(rows)} figures",
                blocks=[TableBlock(("figure", "SVG", "PNG", "data"), rows, words=("figure", "SVG", "PNG", "data"))],
            )
        )
    return section
