"""Figure of concurrent learning: explored frames by trust level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dpa_sse.ops.core.palette import BLUE, ORANGE, RED
from dpa_sse.ops.results.learning import IterationReport
from dpa_sse.pipeline.report.figures import SMALL, FigureBook, PageFigure, legend, panel, plain

_LEVELS = (("accurate", BLUE, ""), ("candidate", ORANGE, "///"), ("failed", RED, "xxx"))


def plot_learning(book: FigureBook, history: Sequence[IterationReport]) -> PageFigure | None:
    """Draw accurate, candidate and failed frames of every iteration as stacked shares."""
    table = np.array([[report.accurate, report.candidate, report.failed] for report in history])
    if not table.sum():
        return None
    shares = 100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure, axes = panel((max(SMALL[0], min(7.2, 1.6 + 0.45 * len(history))), SMALL[1]))
    axes.grid(axis="x", visible=False)
    bottom = np.zeros(len(history))
    for (level, colour, hatch), share, counts in zip(_LEVELS, shares.T, table.T, strict=True):
        axes.bar(
            range(len(history)),
            share,
            bottom=bottom,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            width=0.62,
            linewidth=0.5,
            label=level,
        )
        for i, (height, base, n) in enumerate(zip(share, bottom, counts, strict=True)):
            if height > 9 and len(history) <= 12:
                axes.text(
                    i,
                    base + height / 2,
                    str(n),
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2, "alpha": 0.85},
                )
        bottom += share
    axes.set_xticks(range(len(history)), [plain(str(report.iteration), 6) for report in history])
    axes.set(xlabel="iteration", ylabel="share of explored frames (%)", ylim=(0, 100))
    legend(axes)
    return book.add(
        figure,
        "concurrent_learning",
        "Explored frames by model deviation",
        "Accurate: the ensemble agrees. Candidate: worth labelling. Failed: too far from the training data. Numbers "
        "are frames.",
        rows=[
            {
                "iteration": report.iteration, "accurate": report.accurate, "candidate": report.candidate,
                "failed": report.failed,
            }
            for report in history
        ],
        columns=("iteration", "accurate", "candidate", "failed"),
    )
