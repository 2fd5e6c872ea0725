"""Figure of the time that each stage took."""

from __future__ import annotations

from collections.abc import Sequence

from dpa_sse.ops.core.palette import BLUE, GREY, ORANGE, RED
from dpa_sse.pipeline.report.figures import FigureBook, PageFigure, panel, plain
from dpa_sse.pipeline.report.records import StageRecord

STATUS_COLOURS = {"ok": BLUE, "partial": ORANGE, "failed": RED}


def plot_stage_times(book: FigureBook, stages: Sequence[StageRecord]) -> PageFigure | None:
    """Draw the time at work of every stage as bars; the colour, and a word, show its status."""
    if not stages:
        return None
    figure, axes = panel((7.2, 0.55 + 0.27 * len(stages)))
    axes.grid(axis="y", visible=False)
    seconds = [stage.seconds for stage in stages]
    colours = [STATUS_COLOURS.get(stage.status, GREY) for stage in stages]
    axes.barh(range(len(stages)), seconds, color=colours, height=0.68)
    axes.set_yticks(range(len(stages)), [plain(stage.title or stage.name, 40) for stage in stages])
    axes.invert_yaxis()
    for i, stage in enumerate(stages):
        axes.annotate(
            f"{stage.seconds:,.1f} s" + ("" if stage.status == "ok" else f"  {stage.status}"),
            (stage.seconds, i),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
        )
    axes.set_xlim(0, max(seconds) * 1.18 or 1)
    axes.set_xlabel("time at work (s)")
    return book.add(
        figure,
        "stage_times",
        "Time per stage",
        "Time during which tasks of the stage were running. Stages may overlap; the time to start a task is not "
        "included.",
        rows=[{"stage": stage.name, "status": stage.status, "seconds": stage.seconds} for stage in stages],
        columns=("stage", "status", "seconds"),
        wide=True,
    )
