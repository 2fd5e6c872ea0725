"""Figure of the force error against the number of labels, fine-tuned and from scratch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dpa_sse.ops.core.palette import BLUE, ORANGE
from dpa_sse.ops.results.active import CurvePoint
from dpa_sse.pipeline.report.figures import SMALL, FigureBook, PageFigure, Row, legend, panel

NAMES = {"naive": "fine-tuned", "from_scratch": "from scratch"}
COLUMNS = ("variant", "frames", "seed", "steps", "force_mae_meV_A", "energy_mae_meV_atom")


def plot_curve(book: FigureBook, points: Sequence[CurvePoint]) -> PageFigure | None:
    """Draw single models as dots and their means as lines."""
    figure, axes = panel(SMALL)
    for variant, style, colour in (("naive", "o-", BLUE), ("from_scratch", "s--", ORANGE)):
        own = [one for one in points if one.variant == variant]
        if not own:
            continue
        sizes = sorted({one.frames for one in own})
        means = [float(np.mean([one.force_mae_meV_A for one in own if one.frames == size])) for size in sizes]
        axes.plot([one.frames for one in own], [one.force_mae_meV_A for one in own], style[0], color=colour,
                  markersize=3, alpha=0.5)
        axes.plot(sizes, means, style, color=colour, markersize=4.5, label=NAMES[variant])
    axes.set(xlabel="labelled frames", ylabel="force MAE (meV/Å)", xscale="log")
    axes.set_ylim(bottom=0)
    ticks = sorted({one.frames for one in points})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    legend(axes)
    rows: list[Row] = [one.model_dump(include=set(COLUMNS)) for one in points]
    return book.add(
        figure, "finetune_curve", "Errors against labels",
        "Dots: single models; lines: their means. Held-out trajectories of the short MD with the labeler.",
        rows=rows, columns=COLUMNS,
    )
