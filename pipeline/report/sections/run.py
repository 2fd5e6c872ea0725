"""Sections on the run: its data, stages and configuration, its failures, and how to repeat it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dpa_sse.ops.results.dataset import DatasetInfo
from dpa_sse.pipeline.report.figures import FigureBook
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.page import (
    ABSENT,
    Cell,
    DetailsBlock,
    PageSection,
    TableBlock,
    count,
    duration,
    plural,
    status_cell,
)
from dpa_sse.pipeline.report.plots.run import plot_stage_times

OTHER_VERSIONS = "made with other versions"
SPLITS = {"train": 0, "validation": 1, "test": 2}


def what_was_run(data: ReportData, book: FigureBook) -> PageSection:
    """Return the section on data, time per stage, configuration, versions and seed."""
    section = PageSection("run", "What was run")
    section.table(
        ("system", "split", "frames", "atoms", "trajectories"),
        dataset_rows(data.dataset),
        "Labelled data of the base systems. Whole trajectories are held out for testing, never single frames.",
        "system|split",
    )
    if data.stages:
        _stages(data, section)
    else:
        section.text("The stages of this run were not recorded.", "info")
    section.figures([plot_stage_times(book, data.stages)])
    facts = flatten(data.provenance)
    if data.provenance:
        section.blocks.append(
            DetailsBlock(
                "Versions, seed, machine",
                blocks=[TableBlock(("what", "value"), [[key, value] for key, value in facts], words=("what", "value"))],
            )
        )
    if data.config_text:
        section.blocks.append(DetailsBlock("Configuration with all defaults", pre=data.config_text))
    return section


def _stages(data: ReportData, section: PageSection) -> None:
    rows: list[list[str | Cell]] = [
        [
            stage.title or stage.name,
            status_cell(stage.status),
            duration(stage.seconds),
            count(stage.tasks),
            count(stage.tasks_failed),
        ]
        for stage in data.stages
    ]
    by = next((stage.hours_by for stage in data.stages if stage.hours_by), "")
    for row, stage in zip(rows, data.stages, strict=True):
        hours = (stage.core_hours, stage.gpu_hours)
        row.extend([ABSENT if one is None else f"{one:.3g}" for one in hours] if by else [])
    total = max(stage.ended_after_s for stage in data.stages)
    earlier = sum(stage.tasks_earlier for stage in data.stages)
    reused = f" ({plural(earlier, 'task')} had finished in an earlier start)" if earlier else ""
    section.table(
        ("stage", "status", "time", "tasks", "failed", *(("core hours", "GPU hours") if by else ())),
        rows,
        f"From the last start to the end of the last stage: {duration(total)}{reused}. The time of a stage is the time "
        "during which its tasks were running, summed over all starts; stages may overlap."
        + (f" Hours of jobs that have ended: {by}." if by else ""),
        "stage|status",
    )
    column = "results of an earlier start that were " + OTHER_VERSIONS
    mixed = [
        [stage.title or stage.name, remark.removeprefix(OTHER_VERSIONS).lstrip(": ")]
        for stage in data.stages for remark in stage.other_versions
    ]
    section.table(("stage", column), mixed, "", f"stage|{column}")


def dataset_rows(dataset: DatasetInfo | None) -> list[list[str]]:
    """Return one row per system and split."""
    rows: dict[tuple[str, str], tuple[list[int], set[int], set[str]]] = {}
    for part in dataset.systems if dataset else ():
        frames, atoms, trajectories = rows.setdefault((part.system, part.split), ([], set(), set()))
        frames.append(part.n_frames)
        atoms.add(part.n_atoms)
        trajectories.update(part.trajectories)
    return [
        [system, split, count(sum(n)), ", ".join(map(str, sorted(atoms))), count(len(names)) if names else ABSENT]
        for (system, split), (n, atoms, names) in sorted(rows.items(), key=lambda r: (r[0][0], SPLITS.get(r[0][1], 3)))
    ]


def flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested JSON objects as (dotted key, text) pairs."""
    if isinstance(value, dict):
        return [
            pair for key, inner in value.items() for pair in flatten(inner, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(value, list):
        value = " ".join(str(item) for item in value)
    return [(prefix, ABSENT if value is None else str(value))]


def failures(data: ReportData) -> PageSection:
    """Return the section on failed tasks, and on inputs of the report that could not be read."""
    section = PageSection("failures", "Failures")
    rows = [
        [stage.title or stage.name, failure.task, failure.reason or "no reason given"]
        for stage in data.stages
        for failure in stage.failures
    ]
    if rows:
        section.table(("stage", "task", "reason"), rows, "", "stage|task|reason")
    elif data.stages:
        section.text("No task failed.")
    else:
        section.text("The stages of this run were not recorded, so failed tasks are not known.", "info")
    column = "results that could not be read"
    section.table((column,), [[note] for note in data.notes], "", column)
    return section


def not_run(parts: Sequence[PageSection]) -> PageSection | None:
    """Return a section with one sentence for every section that has nothing to show, or None."""
    lines = [f"{part.title}: {part.absent}." for part in parts if part.absent]
    if not lines:
        return None
    section = PageSection("absent", "Not part of this run")
    section.text(" ".join(lines))
    return section


def reproduce(data: ReportData, book: FigureBook) -> PageSection:
    """Return the section with the command that repeats the run, and the files next to the page."""
    section = PageSection("reproduce", "How to reproduce, and files")
    if data.config_text:
        section.text(
            "Save the configuration above as config.resolved.yaml, install the same versions of the packages and run:"
        )
    section.blocks.append(
        DetailsBlock("", pre=str(data.provenance.get("command") or "dpa-sse run config.resolved.yaml"))
    )
    rows = [
        [figure.title, f"figures/{figure.name}.svg", f"figures/{figure.name}.png", f"figures/{figure.name}.csv"]
        for figure in book.figures
    ]
    section.text(
        "Next to this page: summary.json, its numbers for programs"
        + _folders(data, figures=bool(rows))
    )
    if rows:
        columns = ("figure", "SVG", "PNG", "data")
        section.blocks.append(
            DetailsBlock(f"Files of the {len(rows)} figures", blocks=[TableBlock(columns, rows, words=columns)])
        )
    return section


def _folders(data: ReportData, *, figures: bool) -> str:
    """Return the folders beside the page, as the end of a sentence."""
    if not figures:
        return "."
    drawn = "figures/, every figure as SVG, PNG and CSV"
    if data.targets:
        return f"; {drawn}; and targets/, the same for each target, with what a paper needs."
    return f"; {drawn}; and si/, see For a paper."
