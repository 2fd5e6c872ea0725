"""HTML page on concurrent learning: what every iteration explored, selected and labelled."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from dpa_sse.ops.results.learning import IterationReport

PAGE = "concurrent_learning.html"
_COLUMNS = (
    "iteration", "stage", "runs", "exploded", "accurate", "candidates", "failed", "selected", "labelled",
    "trust levels", "mean deviation", "largest deviation", "accurate, candidates, failed",
)
_COLOURS = ("#3a7d44", "#e0a030", "#b03030")
_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse}"
    "td,th{padding:.3em .7em;text-align:right;border-bottom:1px solid #ddd}.bar{display:flex;width:12em;height:1em}"
)


def learning_page(history: Sequence[IterationReport]) -> str:
    """Return the reports of all iterations as a self-contained HTML page.

    Deviations are the largest standard deviation of a force within the ensemble, in eV/Angstrom unless relative.
    """
    head = "".join(f"<th>{escape(title)}</th>" for title in _COLUMNS)
    rows = "".join(_row(report) for report in history)
    last = escape(history[-1].message) if history else "no iteration yet"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Concurrent learning</title><style>{_STYLE}</style>"
        f"<h1>Concurrent learning</h1><p>{last}</p><table><tr>{head}</tr>{rows}</table></html>\n"
    )


def _row(report: IterationReport) -> str:
    values = (
        report.iteration, report.stage, report.runs, report.runs_exploded, report.accurate, report.candidate,
        report.failed, report.selected, report.labelled, escape(report.levels.replace("eV/A", "eV/Å")),
        *(_deviation(value, report) for value in (report.mean_devi_f, report.max_devi_f)),
    )
    return "<tr>" + "".join(f"<td>{_text(value)}</td>" for value in values) + f"<td>{_bar(report)}</td></tr>"


def _text(value: str | float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _deviation(value: float | None, report: IterationReport) -> str:
    return _text(value) + ("" if value is None else " (relative)" if report.relative else " eV/Å")


def _bar(report: IterationReport) -> str:
    shares = (report.accurate_ratio, report.candidate_ratio, report.failed_ratio)
    parts = [
        f'<span style="width:{100 * share:.1f}%;background:{colour}"></span>'
        for share, colour in zip(shares, _COLOURS, strict=True) if share
    ]
    return f'<div class="bar">{"".join(parts)}</div>'
