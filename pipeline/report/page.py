"""Building blocks of the page and formatting of numbers; the template only lays them out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dpa_sse.ops.conductivity.digits import digits_left
from dpa_sse.pipeline.report.figures import PageFigure
from dpa_sse.pipeline.report.inputs import number, pair

Level = Literal["good", "warn", "bad", "info"]
Interval = tuple[float, float] | None
ABSENT = "–"
STATUS_LEVEL: dict[str, Level] = {
    "ok": "good",
    "partial": "warn",
    "failed": "bad",
    "exploded": "bad",
    "melted": "bad",
    "skipped": "warn",
    "unfinished": "warn",
}


@dataclass(frozen=True)
class Cell:
    """A table cell marked as good, doubtful or bad; its text states this as well."""

    text: str
    level: Level = "info"


@dataclass(frozen=True)
class TextBlock:
    """A paragraph; ``level`` makes it a note."""

    text: str
    level: Level | None = None
    kind: str = "text"


@dataclass(frozen=True)
class TableBlock:
    """A table; columns named in ``words`` are left-aligned."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    caption: str = ""
    words: Sequence[str] = ()
    kind: str = "table"


@dataclass(frozen=True)
class FigureBlock:
    """Figures side by side, as many as fit."""

    figures: Sequence[PageFigure]
    kind: str = "figures"


@dataclass(frozen=True)
class LinksBlock:
    """Links to other pages of the report: their text and their place beside this page."""

    links: Sequence[tuple[str, str]]
    kind: str = "links"


@dataclass(frozen=True)
class DetailsBlock:
    """Collapsed content: preformatted text, a table, or figures."""

    title: str
    pre: str = ""
    blocks: Sequence[Any] = ()
    kind: str = "details"


@dataclass
class PageSection:
    """One section of the page."""

    anchor: str
    title: str
    blocks: list[Any] = field(default_factory=list)
    absent: str = ""
    """Why the section is empty; such sections are listed at the end of the page."""

    def text(self, text: str, level: Level | None = None) -> None:
        """Append a paragraph."""
        self.blocks.append(TextBlock(text, level))

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str | Cell]],
        caption: str = "",
        words: str = "",
        optional: str = "",
    ) -> None:
        """Append a table, unless it has no rows.

        Parameters
        ----------
        columns, rows, caption
            Its content.
        words : str
            The left-aligned columns, separated by ``|``.
        optional : str
            The columns that are left out when all their cells are empty, separated by ``|``.
        """
        if not rows:
            return
        spare = optional.split("|")
        kept = [
            i for i, name in enumerate(columns) if name not in spare or any(row[i] not in {ABSENT, ""} for row in rows)
        ]
        self.blocks.append(
            TableBlock([columns[i] for i in kept], [[row[i] for i in kept] for row in rows], caption, words.split("|"))
        )

    def figures(self, figures: Sequence[PageFigure | None], most: int = 100) -> None:
        """Append the figures that exist; those beyond the first ``most`` are collapsed."""
        found = [figure for figure in figures if figure is not None]
        if found:
            self.blocks.append(FigureBlock(found[:most]))
        if len(found) > most:
            self.blocks.append(DetailsBlock(f"More figures ({len(found) - most})", blocks=[FigureBlock(found[most:])]))


def status_cell(status: str) -> Cell:
    """Return a marked cell with a status word."""
    return Cell(status, STATUS_LEVEL.get(status, "warn"))


def show(value: Any, digits: int = 3) -> str:
    """Return a number with ``digits`` significant digits, without exponent where that reads well; a dash for None."""
    x = number(value)
    if x is None:
        return ABSENT
    if x == 0:
        return "0"
    exponent = math.floor(math.log10(abs(x)))
    if -3 <= exponent < 5:
        return f"{x:.{max(0, digits - 1 - exponent)}f}"
    mantissa, power = f"{x:.{digits - 1}e}".split("e")
    return f"{mantissa}×10{_superscript(int(power))}"


def as_published(value: float) -> str:
    """Return a number of the library with the digits that it is written with there: 0.7, 12, 3×10⁻⁴."""
    digits = f"{value:.12g}".partition("e")[0].replace(".", "").lstrip("-0")
    return show(value, max(1, len(digits.rstrip("0")) if value < 1 else len(digits)))


def _superscript(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def kelvin(value: Any) -> str:
    """Return a temperature without unit, as short as is exact: 800, 1073.15; a dash for None."""
    x = number(value)
    return ABSENT if x is None else f"{round(x, 2):g}" if x < 1e5 else show(x)


def interval(value: Any, digits: int = 3) -> str:
    """Return ``low to high`` with ``digits`` significant digits, or a dash."""
    found = pair(value)
    if found is None:
        return ABSENT
    return " to ".join(show(float(f"{end:.{digits - 1}e}"), digits) for end in found)


def measured(value: Any, ci95: Any) -> str:
    """Return a number with the digits that its 95 % interval justifies: two of half the interval, three at most.

    ``4420`` with 2300 to 6500 reads 4400, and 0.2031 with 0.19 to 0.22 reads 0.203.
    """
    x, ends = number(value), pair(ci95)
    if x is None or not x or ends is None or ends[0] >= ends[1]:
        return show(value)
    digits = digits_left(x, ends)
    return show(float(f"{x:.{digits - 1}e}"), digits)


def count(value: Any) -> str:
    """Return a whole number, or a dash."""
    x = number(value)
    return ABSENT if x is None else f"{round(x):,}".replace(",", " ")


def duration(seconds: Any) -> str:
    """Return a time span with units: 4.2 s, 3 min 12 s, 2 h 05 min."""
    x = number(seconds)
    if x is None:
        return ABSENT
    if x < 60:
        return f"{x:.1f} s"
    whole = round(x)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def plural(n: int, noun: str, many: str = "") -> str:
    """Return ``1 run`` or ``3 runs``."""
    return f"{n} {noun if n == 1 else many or noun + 's'}"


def clip(text: Any, width: int = 80) -> str:
    """Return text of at most ``width`` characters, with an ellipsis where it is cut."""
    whole = " ".join(str(text).split())
    return whole if len(whole) <= width else whole[: width - 1] + "…"


def listed(words: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    words = list(words)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
