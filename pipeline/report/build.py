"""The report of a run: one self-contained page, its figures, and their numbers for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.core.foreign import inside
from dpa_sse.ops.core.removal import remove_tree
from dpa_sse.ops.results.summary import Summary
from dpa_sse.pipeline.report.assessment import assess, key_figures
from dpa_sse.pipeline.report.context import common_conditions, label_level, label_source
from dpa_sse.pipeline.report.figures import FigureBook, styled
from dpa_sse.pipeline.report.inputs import ReportData, ReportInputs, load_data
from dpa_sse.pipeline.report.page import PageSection
from dpa_sse.pipeline.report.publication.files import Publication, publication, write_publication
from dpa_sse.pipeline.report.sections.conductivity import conductivity
from dpa_sse.pipeline.report.sections.curve import finetune_curve
from dpa_sse.pipeline.report.sections.dynamics import dynamics
from dpa_sse.pipeline.report.sections.gates import gates, gates_assessment
from dpa_sse.pipeline.report.sections.learning import learning
from dpa_sse.pipeline.report.sections.models import accuracy, distillation, training
from dpa_sse.pipeline.report.sections.publication import for_a_paper
from dpa_sse.pipeline.report.sections.rounds import finetune_rounds
from dpa_sse.pipeline.report.sections.run import failures, not_run, reproduce, what_was_run
from dpa_sse.pipeline.report.sections.self_check import self_check
from dpa_sse.pipeline.report.sections.simplify import simplify
from dpa_sse.pipeline.report.sections.structure import structure
from dpa_sse.pipeline.report.sections.targets import assess_targets, targets, targets_subtitle
from dpa_sse.pipeline.report.summary import make_summary, run_word
from dpa_sse.pipeline.report.targets import FOLDER, ranking

__all__ = ["ReportInputs", "build_report"]

HERE = Path(__file__).parent


def build_report(inputs: ReportInputs, out: Path) -> Summary:
    """Write ``report.html``, ``summary.json``, ``figures/`` and ``si/`` into ``out``.

    Parameters
    ----------
    inputs : ReportInputs
        Results of the stages. What is None, empty, missing or damaged is reported as such on the page.
    out : Path
        Folder of the report; created if necessary. Files of an earlier report are replaced.

    Returns
    -------
    Summary
        Content of ``summary.json``.
    """
    data = load_data(inputs)
    out.mkdir(parents=True, exist_ok=True)
    if data.targets:
        return _build_project(inputs, data, out)
    book, paper = FigureBook(out / "figures"), publication(data)
    write_publication(paper, out / "si")
    with styled():
        parts = build_sections(data, book, paper)
    book.drop_others()
    summary = make_summary(data)
    write_text(out / "report.html", render_page(data, parts))
    summary.write(out)
    return summary


def _build_project(inputs: ReportInputs, data: ReportData, out: Path) -> Summary:
    """Write the page of a project with targets, and a report on each target."""
    for folder in (out / FOLDER).glob("*"):
        if folder.name not in inputs.targets:  # of an earlier configuration
            remove_tree(folder, out)
    for name, own in inputs.targets.items():
        build_report(own, inside(out / FOLDER, name))
    book, ranked = FigureBook(out / "figures"), ranking(data)
    with styled():
        found = [
            targets(data, book, ranked), training(data, book), simplify(data, book), learning(data, book),
            what_was_run(data, book),
            failures(data), reproduce(data, book),
        ]
    parts = [section for section in found if section is not None and not section.absent]
    book.drop_others()
    summary = make_summary(data)
    head = {"subtitle": targets_subtitle(data), "assessment": assess_targets(data, ranked), "key_figures": []}
    write_text(out / "report.html", _render(data, parts, **head))
    summary.write(out)
    return summary


def build_sections(data: ReportData, book: FigureBook, paper: Publication | None) -> list[PageSection]:
    """Return the sections of the page in reading order; writes their figures."""
    found = [
        conductivity(data, book),
        gates(data, book),
        self_check(data, book),
        structure(data, book),
        dynamics(data, book),
        accuracy(data, book),
        finetune_rounds(data, book),
        finetune_curve(data, book),
        distillation(data),
        training(data, book),
        simplify(data, book),
        learning(data, book),
        what_was_run(data, book),
        for_a_paper(paper),
        failures(data),
        reproduce(data, book),
    ]
    parts = [section for section in found if section is not None]
    absent = not_run(parts)
    return [part for part in parts if not part.absent] + ([absent] if absent else [])


def build_gates_page(folder: Path) -> Path:
    """Write ``gates.html`` and ``figures/`` beside ``gates.json``: the verdict on a model without a run.

    Returns
    -------
    Path
    """
    from dpa_sse.pipeline.report.inputs import gates_of

    found, tables = gates_of(folder)
    data = ReportData(title=f"Verdict on {found.model}" if found else "Verdict", gates=found, gate_tables=tables)
    book = FigureBook(folder / "figures")
    with styled():
        parts = [gates(data, book, "Gates")]
    book.drop_others()
    head = gates_assessment(found)
    text = _render(data, parts, subtitle=f"tier {found.tier}" if found else "", assessment=head, key_figures=[])
    write_text(folder / "gates.html", text)
    return folder / "gates.html"


def render_page(data: ReportData, parts: list[PageSection]) -> str:
    """Return the HTML page."""
    return _render(
        data, parts, subtitle=_subtitle(data), assessment=assess(data), key_figures=key_figures(data)
    )


def _render(data: ReportData, parts: list[PageSection], **head: Any) -> str:
    """Return the HTML page; all text is escaped, except our own SVG and CSS."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["inline"] = Markup  # our CSS, and SVG from matplotlib, which escapes text itself
    template = environment.get_template("page.html.j2")
    page = template.render(
        title=data.title,
        style=(HERE / "style.css").read_text(encoding="utf-8"),
        sections=parts,
        **head,
        version=str(data.provenance.get("pipeline") or ""),
    )
    return page.strip() + "\n"


def _subtitle(data: ReportData) -> str:
    names = [system.name for system in data.config.systems]
    parts = [f"base systems: {', '.join(names)}"] if names else []
    if new := data.config.new_systems:
        parts.append(f"downstream system: {', '.join(one.name for one in new)}")
    if data.md:
        parts.append(f"production: {common_conditions(data)}")
    if label_level(data) is not None:
        parts.append(label_source(data))
    parts.append(f"status: {run_word(data) or 'not recorded'}")
    if data.config.seed is not None:
        parts.append(f"seed: {data.config.seed}")
    return "  ·  ".join(parts)
