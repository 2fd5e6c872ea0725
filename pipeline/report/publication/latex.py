"""Text and tables for LaTeX: every character that LaTeX gives a meaning is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dpa_sse.pipeline.report.publication.citations import MARK

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\symbol{34}", "`": r"\symbol{96}",
    "±": r"$\pm$", "×": r"$\times$", "σ": r"$\sigma$", "Å": r"\AA{}", "°": r"$^\circ$", "Δ": r"$\Delta$",
    "·": r"$\cdot$", "“": "``", "”": "''",
    "–": "--", "—": "---", "…": r"\dots{}", "²": r"$^2$", "³": r"$^3$", "μ": r"$\mu$", "→": r"$\rightarrow$",
    "≤": r"$\leq$", "≥": r"$\geq$", "−": "$-$", "∝": r"$\propto$",
}
POWERS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_POWER = re.compile("10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u200b-\u200f\u2028-\u202f\u2060-\u2069]+")


def escaped(text: str) -> str:
    """Return text that LaTeX prints literally; powers of ten and a few symbols become mathematics."""
    parts = _POWER.split(_CONTROL.sub(" ", text))  # every second part is an exponent
    shown = []
    for k, part in enumerate(parts):
        shown.append(
            f"$10^{{{part.translate(POWERS)}}}$" if k % 2 else "".join(_SPECIAL.get(letter, letter) for letter in part)
        )
    return "".join(shown)


def with_citations(text: str) -> str:
    r"""Return a sentence with ``\cite{...}`` for its citations, and the rest escaped."""
    parts = MARK.split(text)
    shown = [
        rf"\cite{{{part.replace(';', ',')}}}" if k % 2 else re.sub(" $", "~", escaped(part)) if k + 1 < len(parts)
        else escaped(part)
        for k, part in enumerate(parts)
    ]
    return "".join(shown)


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[str], caption: str, label: str
) -> str:
    """Return a table for the package booktabs.

    Parameters
    ----------
    columns, rows
        Texts, which are escaped.
    words : sequence of str
        The left-aligned columns; the others are right-aligned.
    caption, label : str
        The label is a plain word.
    """
    align = "".join("l" if name in words else "r" for name in columns)
    lines = [
        r"\begin{table}", r"\centering", rf"\caption{{{escaped(caption)}}}", rf"\label{{tab:{label}}}", r"\small",
        rf"\begin{{tabular}}{{{align}}}", r"\toprule", _line(columns), r"\midrule",
        *(_line(row) for row in rows), r"\bottomrule", r"\end{tabular}", r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    # a bracket at the start of a row would be the argument of the line break before it
    shown = [escaped(cell) for cell in cells]
    if shown and shown[0].startswith(("[", "*")):
        shown[0] = f"{{}}{shown[0]}"
    return " & ".join(shown) + r" \\"
