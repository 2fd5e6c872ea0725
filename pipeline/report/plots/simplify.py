"""Figure of the thinning of a data set: errors against the frames that are kept."""

from __future__ import annotations

from dpa_sse.ops.core.palette import BLUE, GREEN, ORANGE
from dpa_sse.ops.results.simplify import Simplified
from dpa_sse.pipeline.report.figures import SMALL, FigureBook, PageFigure, Row, legend, panel

COLUMNS = (
    "training_frames", "force_mae_meV_A", "force_low_meV_A", "force_high_meV_A", "other_force_mae_meV_A",
    "accurate_force_mae_meV_A", "accurate", "candidate", "failed",
)
CURVES = (
    ("force_mae_meV_A", "o-", BLUE, "test frames"), ("other_force_mae_meV_A", "s--", ORANGE, "all frames left out"),
    ("accurate_force_mae_meV_A", "^:", GREEN, "frames not needed"),
)


def plot_simplify(book: FigureBook, found: Simplified) -> PageFigure:
    """Draw the force errors of the models of all iterations."""
    rows: list[Row] = []
    for one in found.history:
        low, high = one.force_mae_ci95_meV_A or (None, None)
        rows.append({**one.model_dump(include=set(COLUMNS)), "force_low_meV_A": low, "force_high_meV_A": high})
    figure, axes = panel(SMALL)
    for row in rows:
        if row["force_low_meV_A"] is not None:
            axes.plot([row["training_frames"]] * 2, [row["force_low_meV_A"], row["force_high_meV_A"]], color=BLUE,
                      linewidth=1)
    for name, style, colour, label in CURVES:
        own = [row for row in rows if row[name] is not None]
        if own:
            axes.plot([row["training_frames"] for row in own], [row[name] for row in own], style, color=colour,
                      markersize=4, label=label)
    axes.set(xlabel="frames trained on", ylabel="force MAE (meV/Å)")
    axes.set_ylim(bottom=0)
    legend(axes)
    return book.add(
        figure, "simplify", "What each frame buys",
        "Mean errors of the models of the ensemble. Bars: 95 % over trajectories.", rows=rows, columns=COLUMNS,
    )
