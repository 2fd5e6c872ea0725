"""Section for people who write a paper: methods paragraph, citation list, tables of the supporting information."""

from __future__ import annotations

from dpa_sse.pipeline.report.page import DetailsBlock, PageSection, TableBlock
from dpa_sse.pipeline.report.publication.citations import numbered, reference
from dpa_sse.pipeline.report.publication.files import Publication


def for_a_paper(found: Publication | None) -> PageSection | None:
    """Return the section; None for a run without results."""
    if found is None:
        return None
    section = PageSection("paper", "For a paper")
    section.text(
        "Written from the result files of this run; only what was run is mentioned. The text repeats the numbers and "
        "verdicts of this page, also the unfavourable ones."
    )
    for one in found.paragraphs:
        section.text(f"{one.title}. {numbered(one.text, found.keys)}")
    references = [[f"[{k}]", reference(key)] for k, key in enumerate(found.keys, 1)]
    if references:
        section.blocks.append(
            DetailsBlock("References", blocks=[TableBlock(("", "reference"), references, words=("", "reference"))])
        )
        section.blocks.append(DetailsBlock("BibTeX", pre=found.bibtex))
    section.blocks.append(DetailsBlock("Methods for LaTeX", pre=found.latex))
    for table in found.tables:
        section.blocks.append(
            DetailsBlock(
                f"SI table: {table.name}",
                blocks=[TableBlock(table.columns, [list(row) for row in table.rows], table.caption, table.words)],
            )
        )
    names = ", ".join(f"table_{table.name}" for table in found.tables)
    section.text(
        "The folder si/ next to this page holds methods.txt, methods.tex, references.bib and supplement.tex"
        + (f", and the tables as CSV and LaTeX (booktabs): {names}." if names else ".")
    )
    return section
