"""Style and saving of figures: colour-blind safe, readable in print, reproducible byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dpa_sse.ops.core.files import atomic_path
from dpa_sse.ops.core.palette import (  # noqa: F401 - the figures take colours and style from here
    BASE_STYLE,
    BLACK,
    BLUE,
    COLOURS,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    SKY,
)

STYLE: dict[Any, Any] = {
    **BASE_STYLE, "font.size": 9, "axes.labelsize": 9, "axes.titlesize": 9, "xtick.labelsize": 8,
    "ytick.labelsize": 8, "legend.frameon": False, "svg.hashsalt": "conductivity",
}


def styled() -> Any:
    """Return the context in which figures are drawn and saved."""
    import matplotlib as mpl

    return mpl.rc_context(STYLE)


def new_figure(rows: int = 1, columns: int = 1, width: float = 3.4, height: float = 2.7) -> tuple[Any, Any]:
    """Return a figure and its axes, without touching the global state of matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns)


def save(figure: Any, path: Path) -> Path:
    """Write a figure as SVG, and as PNG next to it, without dates."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
    figure.set_layout_engine("none")  # the layout is known: computing it again takes as long as drawing
    with atomic_path(path.with_suffix(".png")) as temporary:
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})
    return path


def shorten(text: str, width: int = 60) -> str:
    """Return a text of at most ``width`` characters."""
    return text if len(text) <= width else text[: width - 1] + "…"


def shorten_middle(text: str, width: int) -> str:
    """Return a name of at most ``width`` characters that keeps its end, which distinguishes runs."""
    keep = (width - 1) // 2
    return text if len(text) <= width else f"{text[: width - 1 - keep]}…{text[-keep:]}"


def plain_log(axis: Any, ratio: float) -> None:
    """Make an axis logarithmic, with readable ticks if it spans little more than a decade (``ratio``)."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis._set_axes_scale("log")
    if ratio < 30:
        axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axis.set_minor_formatter(NullFormatter())
