"""One page on concurrent learning: what every iteration explored, chose and labelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

PAGE = "concurrent_learning.html"
_COLUMNS = (
    ("iteration", "iteration"), ("stage", "stage"), ("runs", "runs"), ("runs_exploded", "exploded"),
    ("accurate", "accurate"), ("candidate", "candidates"), ("failed", "failed"), ("selected", "selected"),
    ("labelled", "labelled"), ("mean_devi_f_eV_A", "mean deviation (eV/A)"), ("max_devi_f_eV_A", "largest (eV/A)"),
)
_SHARES = (("accurate_ratio", "#3a7d44"), ("candidate_ratio", "#e0a030"), ("failed_ratio", "#b03030"))
_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse}"
    "td,th{padding:.3em .7em;text-align:right;border-bottom:1px solid #ddd}.bar{display:flex;width:12em;height:1em}"
)


def learning_page(history: Iterable[Mapping[str, Any]]) -> str:
    """Return the history of concurrent learning (reports of its iterations) as a self-contained HTML page.

    The force deviation is the largest standard deviation of a force within the ensemble, eV/Angstrom.
    """
    entries = list(history)
    head = "".join(f"<th>{escape(title)}</th>" for _, title in _COLUMNS)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_text(entry.get(key))}</td>" for key, _ in _COLUMNS) + f"<td>{_bar(entry)}</td></tr>"
        for entry in entries
    )
    last = f"<p>{escape(str(entries[-1].get('message', '')))}</p>" if entries else "<p>no iteration yet</p>"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Concurrent learning</title><style>{_STYLE}</style>"
        f"<h1>Concurrent learning</h1>{last}<table><tr>{head}<th>accurate, candidates, failed</th></tr>{rows}</table>"
        "</html>\n"
    )


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else escape(str(value))


def _bar(entry: Mapping[str, Any]) -> str:
    parts = [
        f'<span style="width:{100 * float(entry[key]):.1f}%;background:{colour}"></span>'
        for key, colour in _SHARES if entry.get(key)
    ]
    return f'<div class="bar">{"".join(parts)}</div>'
