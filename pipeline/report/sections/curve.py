"""Section on the number of labels that fine-tuning needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dpa_sse.ops.results.active import CurvePoint
from dpa_sse.pipeline.report.figures import FigureBook
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.page import ABSENT, Cell, PageSection, show
from dpa_sse.pipeline.report.plots.curve import NAMES, plot_curve


def finetune_curve(data: ReportData, book: FigureBook) -> PageSection | None:
    """Return the section on errors against labels; None where they were not measured."""
    if not data.curve:
        return None
    section = PageSection("finetune_curve", "Errors against labels")
    sizes = sorted({one.frames for one in data.curve})
    section.table(
        ("frames", *(f"{name} (meV/Å)" for name in NAMES.values()), "models"),
        [_row(size, [one for one in data.curve if one.frames == size]) for size in sizes],
        "Force MAE on held-out trajectories: mean over the models, and in brackets their range. The subsets are nested "
        "and every frame is seen equally often, whatever their size.",
    )
    section.figures([plot_curve(book, data.curve)])
    return section


def _row(size: int, found: Sequence[CurvePoint]) -> list[str | Cell]:
    cells: list[str | Cell] = [str(size)]
    for variant in NAMES:
        values = [one.force_mae_meV_A for one in found if one.variant == variant]
        cells.append(
            f"{show(float(np.mean(values)))} ({show(min(values))} to {show(max(values))})" if values else ABSENT
        )
    return [*cells, str(len(found))]
