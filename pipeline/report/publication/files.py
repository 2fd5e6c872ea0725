"""The folder ``si/`` next to the page: tables as CSV and LaTeX, the methods paragraph, and the citation list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dpa_sse.ops.core.files import write_csv, write_text
from dpa_sse.ops.core.removal import remove_listed
from dpa_sse.pipeline.report.figures import replace_listed
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.page import ABSENT
from dpa_sse.pipeline.report.publication import latex
from dpa_sse.pipeline.report.publication.citations import bibtex, cited, numbered, reference
from dpa_sse.pipeline.report.publication.methods import Paragraph, methods
from dpa_sse.pipeline.report.publication.tables import SiTable, si_tables

HEAD = r"""\documentclass[a4paper]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{booktabs}
\usepackage[margin=20mm,landscape]{geometry}
\begin{document}
"""


@dataclass(frozen=True)
class Publication:
    """What a paper needs of one run; ``keys`` are the citations in the order of their use."""

    title: str
    paragraphs: Sequence[Paragraph]
    keys: Sequence[str]
    tables: Sequence[SiTable]

    @property
    def text(self) -> str:
        """The methods section with numbers for its citations, and the references."""
        blocks = [f"{one.title}. {numbered(one.text, self.keys)}" for one in self.paragraphs]
        blocks += ["\n".join(f"[{k}] {reference(key)}" for k, key in enumerate(self.keys, 1))] if self.keys else []
        return "\n\n".join(blocks) + "\n"

    @property
    def latex(self) -> str:
        """The methods section for LaTeX."""
        return "\n\n".join(
            rf"\paragraph{{{latex.escaped(one.title)}.}} {latex.with_citations(one.text)}" for one in self.paragraphs
        ) + "\n"

    @property
    def bibtex(self) -> str:
        """The citation list."""
        return bibtex(self.keys)


def publication(data: ReportData) -> Publication | None:
    """Return the publication parts of a run; None if it has no results."""
    paragraphs = methods(data)
    if not paragraphs:
        return None
    return Publication(data.title, paragraphs, cited([one.text for one in paragraphs]), si_tables(data))


def write_publication(found: Publication | None, folder: Path) -> None:
    """Write the files; those of an earlier report that this one does not have are removed, others stay.

    Raises
    ------
    InputError
        The folder is a link.
    """
    remove_listed(folder, frozenset())
    names: set[str] = set()
    if found is not None:
        texts = {
            "methods.txt": found.text, "methods.tex": found.latex, "references.bib": found.bibtex,
            "supplement.tex": _document(found),
        }
        for table in found.tables:
            texts[f"table_{table.name}.tex"] = _table(table)
            names.add(f"table_{table.name}.csv")
            columns, rows = for_programs(table)
            write_csv(folder / f"table_{table.name}.csv", rows, columns)
        for name, text in texts.items():
            write_text(folder / name, text)
        names |= texts.keys()
    replace_listed(folder, names)


def for_programs(table: SiTable) -> tuple[list[str], list[dict[str, str]]]:
    """Return columns and rows of a table with plain numbers: intervals in two columns, 1.2e-5, nothing for a dash."""
    rows: list[dict[str, str]] = []
    columns: dict[str, None] = {}
    for row in table.rows:
        cells: dict[str, str] = {}
        for name, text in zip(table.columns, row, strict=True):
            if name.startswith("95 %"):
                ends = [plain_number(end) for end in text.split(" to ")]
                cells |= {f"{name}, low": ends[0], f"{name}, high": ends[-1]}
            else:
                cells[name] = text if name in table.words else plain_number(text)
        columns |= dict.fromkeys(cells)
        rows.append(cells)
    return list(columns), rows


def plain_number(text: str) -> str:
    """Return the text of a number as programs read it: ``6.3×10⁻⁵`` becomes ``6.3e-5``, a dash becomes nothing."""
    if text == ABSENT:
        return ""
    mantissa, _, power = text.partition("×10")
    return f"{mantissa}e{power.translate(latex.POWERS)}" if power else text


def _table(table: SiTable) -> str:
    return latex.table(table.columns, table.rows, table.words, table.caption, table.name)


def _document(found: Publication) -> str:
    """Return a document that compiles on its own: methods, tables, references."""
    parts = [
        HEAD, rf"\section*{{Supporting information: {latex.escaped(found.title)}}}" + "\n", r"\input{methods.tex}",
        *(rf"\input{{table_{table.name}.tex}}" for table in found.tables),
        r"\bibliographystyle{unsrt}" + "\n" + r"\bibliography{references}" if found.keys else "", r"\end{document}",
    ]
    return "\n".join(part for part in parts if part) + "\n"
