"""The report of a run: one self-contained page, its figures, and the numbers for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dpa_sse.ops.core.files import write_json, write_text
from dpa_sse.pipeline.report.figures import FigureBook, styled
from dpa_sse.pipeline.report.inputs import ReportData, ReportInputs, load_data
from dpa_sse.pipeline.report.page import Section
from dpa_sse.pipeline.report.sections import (
    conductivity as sections_transport,
)
from dpa_sse.pipeline.report.sections import (
    dynamics as sections_md,
)
from dpa_sse.pipeline.report.sections import (
    models as sections,
)
from dpa_sse.pipeline.report.summary import overall_status, summarise
from dpa_sse.pipeline.report.verdict import judge, tiles

__all__ = ["ReportInputs", "build_report"]

HERE = Path(__file__).parent


def build_report(inputs: ReportInputs, out: Path) -> dict[str, Any]:
    """Write ``report.html``, ``summary.json`` and ``figures/`` into ``out``.

    Parameters
    ----------
    inputs : ReportInputs
        Results of the stages; what is None, empty, missing or unreadable is called absent in the report.
    out : Path
        Folder of the report; made when needed, files of an earlier report are replaced.

    Returns
    -------
    dict
        The content of ``summary.json``.
    """
    data = load_data(inputs)
    out.mkdir(parents=True, exist_ok=True)
    book = FigureBook(out / "figures")
    with styled():
        parts = build_sections(data, book)
    book.drop_others()
    summary = summarise(data)
    write_text(out / "report.html", render_page(data, parts))
    write_json(out / "summary.json", summary)
    return summary


def build_sections(data: ReportData, book: FigureBook) -> list[Section]:
    """Return the sections of the page in reading order; figures are written on the way."""
    found = [
        sections_transport.conductivity(data, book),
        sections_md.dynamics(data, book),
        sections.accuracy(data, book),
        sections.distillation(data),
        sections.training(data, book),
        sections.learning(data, book),
        sections.what_was_run(data, book),
        sections_md.failures(data),
        sections_md.reproduce(data, book),
    ]
    parts = [section for section in found if section is not None]
    absent = sections_md.not_run(parts)
    return [part for part in parts if not part.absent] + ([absent] if absent else [])


def render_page(data: ReportData, parts: list[Section]) -> str:
    """Return the page; every text from outside is escaped, only our own SVG and CSS are not."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["inline"] = Markup  # our CSS, and SVG from matplotlib, which escapes text itself
    template = environment.get_template("page.html.j2")
    page = template.render(
        title=data.title,
        subtitle=_subtitle(data),
        style=(HERE / "style.css").read_text(encoding="utf-8"),
        verdict=judge(data),
        tiles=tiles(data),
        sections=parts,
        version=_version(data),
    )
    return page.strip() + "\n"


def _subtitle(data: ReportData) -> str:
    systems = [s for s in data.config.get("systems") or [] if isinstance(s, dict)]
    names = [str(s.get("name")) for s in systems if s.get("name")]
    downstream = data.config.get("downstream")
    target = downstream.get("system") if isinstance(downstream, dict) else None
    parts = [f"base systems: {', '.join(names)}"] if names else []
    if isinstance(target, dict) and target.get("name"):
        parts.append(f"downstream system: {target['name']}")
    status = overall_status(data.stages)
    parts.append(f"status: {status}" if status else "status: not recorded")
    if (seed := data.config.get("seed")) is not None:
        parts.append(f"seed: {seed}")
    return "  ·  ".join(parts)


def _version(data: ReportData) -> str:
    return str(data.provenance.get("version") or data.provenance.get("pipeline") or "")
