"""Figure of the self-check: errors of single production frames against temperature."""

from __future__ import annotations

import numpy as np

from dpa_sse.ops.core.palette import BLACK, BLUE, COLOURS
from dpa_sse.ops.results.self_check import SelfCheck
from dpa_sse.pipeline.report.figures import SMALL, FigureBook, PageFigure, Row, legend, panel, plain


def plot_self_check(book: FigureBook, found: SelfCheck) -> PageFigure | None:
    """Draw energy and pressure errors of the labelled frames, their means, and the bars."""
    parts = (
        ("energy_error_meV_atom", "energy error (meV/atom)", found.bars.max_energy_bias_meV_atom),
        ("pressure_error_GPa", "pressure error (GPa)", found.bars.max_pressure_error_GPa),
    )
    drawn = [part for part in parts if any(getattr(frame, part[0]) is not None for frame in found.frames)]
    if not drawn:
        return None
    figure, grid = panel((SMALL[0], 0.6 + 1.5 * len(drawn)), len(drawn), sharex=True, squeeze=False)
    systems = list(dict.fromkeys(frame.system for frame in found.frames))
    for axes, (name, label, bar) in zip(grid[:, 0], drawn, strict=True):
        axes.axhspan(-bar, bar, color=BLUE, alpha=0.1, linewidth=0, label="allowed for the mean")
        axes.axhline(0, color=BLACK, linewidth=0.6)
        for k, system in enumerate(systems):
            own = [frame for frame in found.frames if frame.system == system and getattr(frame, name) is not None]
            x = np.array([frame.temperature_K for frame in own])
            y = np.array([getattr(frame, name) for frame in own], float)
            axes.plot(x, y, "o", markersize=3.5, color=COLOURS[(k + 1) % 7], alpha=0.7, label=plain(system, 24))
            means = [(one, float(y[x == one].mean())) for one in dict.fromkeys(x.tolist())]
            axes.plot(*zip(*means, strict=True), "_", markersize=14, color=COLOURS[(k + 1) % 7])
        axes.set_ylabel(label)
    legend(grid[0, 0], fontsize=6.5)
    grid[-1, 0].set_xlabel("T (K)")
    figure.align_ylabels(grid[:, 0])
    rows: list[Row] = [frame.model_dump() for frame in found.frames]
    return book.add(
        figure, "self_check", "Errors in the production runs",
        "Dots: single frames of the production runs; dashes: their means. Energies after the shift of the composition.",
        rows=rows, columns=tuple(rows[0]),
    )
