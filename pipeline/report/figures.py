"""One style for all figures; each is written as SVG, PNG and CSV, and kept as inline SVG for the page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpa_sse.ops.core.files import atomic_path, jsonable, read_json, write_csv, write_json, write_text
from dpa_sse.ops.core.palette import BASE_STYLE, BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY
from dpa_sse.ops.core.removal import remove_listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MplFigure

FOLDERS = ("figures", "si")
"""Folders of a report."""
TARGETS = "targets"
"""Folder with a report on each target."""
LIST = ".figures.json"
"""Names of the files that the report has written into the folder."""
LINES = ("-", "--", "-.", ":")
Row = Mapping[str, float | str | None]
"""One line of the CSV of a figure, by column."""

SMALL = (3.6, 2.9)
"""Size in inches of a panel that is one cell of a grid on the page and fills the width of a phone."""
WIDE = (7.2, 3.6)
"""Size in inches of a figure that has a row of the page to itself."""

EDGE, GRID = "#444444", "#E4E6EA"
PAGE_COLOURS = {
    "#ffffff": "fig-paper", BLACK: "fig-ink", EDGE: "fig-edge", GRID: "fig-grid", GREY: "fig-grey", BLUE: "fig-blue",
    ORANGE: "fig-orange", GREEN: "fig-green", RED: "fig-red", PURPLE: "fig-purple", SKY: "fig-sky",
}
"""Colours of figures that the page replaces in dark mode, and the names of their variables in its style sheet."""

_STYLE: Any = {
    **BASE_STYLE,
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.labelsize": 8.5,
    "axes.edgecolor": EDGE,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": True,
    "legend.framealpha": 0.85,
    "legend.edgecolor": "none",
    "legend.borderpad": 0.2,
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "savefig.facecolor": "white",
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class PageFigure:
    """A figure on the page."""

    name: str
    title: str
    caption: str
    svg: str
    wide: bool = False


@dataclass
class FigureBook:
    """Writes figures into ``folder`` and keeps them in order."""

    folder: Path
    figures: list[PageFigure] = field(default_factory=list)

    def __post_init__(self) -> None:
        remove_listed(self.folder, frozenset())  # refuses a link

    def add(
        self,
        figure: MplFigure,
        name: str,
        title: str,
        caption: str,
        *,
        rows: Iterable[Row],
        columns: Sequence[str],
        wide: bool = False,
    ) -> PageFigure:
        """Write ``name``.svg, .png and .csv, close the figure and return its entry for the page."""
        import matplotlib.pyplot as plt

        name = self._free(slug(name))
        with plt.rc_context({**_STYLE, "svg.hashsalt": name}):
            stream = io.StringIO()
            figure.savefig(stream, format="svg", metadata={"Date": None})
            figure.set_layout_engine("none")  # keep the layout just found: computing it takes as long as drawing
            with atomic_path(self.folder / f"{name}.png") as temporary:
                figure.savefig(temporary, format="png", metadata={"Software": None})
        plt.close(figure)
        write_text(self.folder / f"{name}.svg", stream.getvalue())
        write_csv(self.folder / f"{name}.csv", [jsonable(dict(row)) for row in rows], columns)
        entry = PageFigure(name, title, caption, inline_svg(stream.getvalue(), name), wide)
        self.figures.append(entry)
        return entry

    def drop_others(self) -> None:
        """Remove figures of an earlier report that this one does not have, e.g. of another temperature.

        Only files that the earlier report has listed are removed; others are the user's.
        """
        written = {f"{figure.name}{suffix}" for figure in self.figures for suffix in (".svg", ".png", ".csv")}
        replace_listed(self.folder, written)

    def _free(self, name: str) -> str:
        taken = {figure.name for figure in self.figures}
        candidates = [name, *(f"{name}-{i}" for i in range(2, len(taken) + 3))]
        return next(candidate for candidate in candidates if candidate not in taken)


def listed_files(folder: Path) -> set[str]:
    """Return the names of the files that the last report has written into a folder of figures."""
    try:
        found = read_json(folder / LIST)
    except (OSError, ValueError):
        return set()
    return {name for name in found if isinstance(name, str)} if isinstance(found, list) else set()


def replace_listed(folder: Path, names: set[str]) -> None:
    """Remove what the last report has written into ``folder`` and this one has not; list the names of this one."""
    remove_listed(folder, listed_files(folder) - names)
    if names or (folder / LIST).exists():
        write_json(folder / LIST, sorted(names))


def copy_report(source: Path, target: Path) -> None:
    """Copy a report with its folders; files in ``target`` that no report has written stay.

    Raises
    ------
    InputError
        A folder in ``target`` is a link.
    """
    import shutil

    for own in sorted((source / TARGETS).glob("*/report.html")):
        copy_report(own.parent, target / TARGETS / own.parent.name)
    for folder in FOLDERS:
        remove_listed(target / folder, frozenset())
    names = {
        folder: {path.name for path in (source / folder).glob("*") if path.is_file() and path.name != LIST}
        for folder in FOLDERS
    }
    files = [f"{folder}/{name}" for folder in FOLDERS for name in sorted(names[folder])]
    for name in [*files, "report.html", "summary.json"]:
        with atomic_path(target / name) as temporary:
            shutil.copyfile(source / name, temporary)
    for folder in FOLDERS:
        replace_listed(target / folder, names[folder])


@contextmanager
def styled() -> Iterator[None]:
    """Apply the report's matplotlib style, without a display."""
    import matplotlib

    matplotlib.use("Agg", force=False)
    import matplotlib.pyplot as plt

    with plt.rc_context({**matplotlib.rcParamsDefault, "backend": "agg", **_STYLE}):
        yield


def panel(size: tuple[float, float] = SMALL, rows: int = 1, **options: Any) -> tuple[MplFigure, Any]:
    """Return a new figure and its axes (one, or an array for several rows)."""
    import matplotlib.pyplot as plt

    return plt.subplots(rows, 1, figsize=size, **options)


def slug(text: str) -> str:
    """Return a file name of safe characters only, at most 60 long."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:60] or "figure"


def plain(text: Any, width: int = 32) -> str:
    """Return text that matplotlib draws literally: no mathtext, no control characters, not too long."""
    clean = re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", " ", str(text))
    if len(clean) > width:
        clean = clean[: width - 1] + "…"
    return clean.replace("$", r"\$")


def inline_svg(text: str, prefix: str) -> str:
    """Return an SVG document as an element for the page: scalable, with ids that are unique on the page."""
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'\bid="', f'id="{prefix}.', body)
    body = re.sub(r'xlink:href="#', f'xlink:href="#{prefix}.', body)
    body = re.sub(r"url\(#", f"url(#{prefix}.", body)
    body = re.sub(r"\n\s*\n+", "\n", body)
    for colour, variable in PAGE_COLOURS.items():
        shown = rf"\1: var(--{variable}, {colour.lower()})"
        body = re.sub(rf"(fill|stroke): {colour}\b", shown, body, flags=re.IGNORECASE)
    return body.replace("<svg", '<svg role="img" focusable="false"', 1).strip()


def legend(axes: Axes, place: str = "upper center", **options: Any) -> None:
    """Add a legend outside of the axes, where it hides no curve, if there is anything to label."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        shown: dict[str, Any] = {"handlelength": 1.6, "columnspacing": 1.2, "ncols": min(3, len(labels)), **options}
        where: Any = f"outside {place}"
        axes.figure.legend(handles, labels, loc=where, **shown)
