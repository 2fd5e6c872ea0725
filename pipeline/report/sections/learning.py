"""Section on concurrent learning."""

from __future__ import annotations

from dpa_sse.ops.results.learning import IterationReport
from dpa_sse.pipeline.report.figures import FigureBook
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.page import (
    ABSENT,
    Cell,
    DetailsBlock,
    PageSection,
    TableBlock,
    count,
    show,
    status_cell,
)
from dpa_sse.pipeline.report.plots.learning import plot_learning

COLUMNS = (
    "iteration",
    "stage",
    "accurate",
    "candidate",
    "failed",
    "accurate share",
    "selected",
    "labelled",
    "trust levels",
    "largest deviation",
    "converged",
    "remark",
)


def learning(data: ReportData, book: FigureBook) -> PageSection:
    """Return the section on explored, selected and labelled frames of every iteration."""
    section = PageSection("concurrent_learning", "Concurrent learning")
    if not data.history:
        section.absent = "no concurrent learning"
        return section
    section.table(
        COLUMNS,
        [_iteration(report) for report in data.history],
        "Frames sorted by the largest force deviation of the ensemble. Stage: index of the exploration conditions.",
        "converged|remark",
        "labelled|largest deviation|remark",
    )
    section.figures([plot_learning(book, data.history)])
    sanity: list[list[str | Cell]] = [
        [
            str(report.iteration),
            str(result.model),
            status_cell(result.status),
            show(result.max_temperature_K, 4),
            result.reason,
        ]
        for report in data.history
        for result in report.sanity
    ]
    if sanity:
        words = ("model", "status", "remark")
        table = TableBlock(("iteration", "model", "status", "highest T (K)", "remark"), sanity, words=words)
        section.blocks.append(DetailsBlock("Sanity MD of every new model", blocks=[table]))
    return section


def _iteration(report: IterationReport) -> list[str | Cell]:
    return [
        str(report.iteration),
        str(report.stage),
        count(report.accurate),
        count(report.candidate),
        count(report.failed),
        ABSENT if report.accurate_ratio is None else f"{100 * report.accurate_ratio:.0f} %",
        count(report.selected),
        count(report.labelled),
        report.levels.replace("eV/A", "eV/Å"),
        show(report.max_devi_f) + (" (relative)" if report.relative else " eV/Å"),
        Cell("yes", "good") if report.converged else Cell("no", "warn"),
        report.message,
    ]
