"""Figures of the conductivity: mean squared displacement, Arrhenius plot, conductivity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dpa_sse.ops.core.palette import BLACK, BLUE, COLOURS, GREY
from dpa_sse.pipeline.report.figures import FigureBook, PageFigure, legend, panel, plain
from dpa_sse.pipeline.report.inputs import Table
from dpa_sse.pipeline.report.transport import Point, lag_column, species_columns


def plot_msd(book: FigureBook, point: Point, table: Table, mobile: Sequence[str]) -> PageFigure | None:
    """Draw the MSD of every species of one run with the start of the fit and the verdict."""
    lag = lag_column(table)
    columns = species_columns(table)
    if lag is None or not columns:
        return None
    time = np.array(table[lag], dtype=float)
    figure, axes = panel()
    for i, (species, column) in enumerate(sorted(columns.items(), key=lambda item: (item[0] not in mobile, item[0]))):
        axes.plot(
            time,
            table[column],
            color=COLOURS[i % 7],
            linestyle="-" if species in mobile or not mobile else "--",
            linewidth=1.7 if species in mobile else 1.1,
            label=plain(species, 16),
        )
    if point.window_ps is not None and point.conclusive:
        axes.axvspan(*point.window_ps, color=BLUE, alpha=0.1, linewidth=0, label="fit window")
        _fit_line(axes, point, time, table, [columns[species] for species in mobile if species in columns])
    axes.set(xlabel="time lag (ps)", ylabel="MSD (Å²)", xlim=(0, time.max() or 1))
    axes.set_ylim(0, 1.12 * axes.get_ylim()[1])
    legend(axes, ncols=4, columnspacing=1)
    rows = [
        dict(zip(("lag_ps", *columns), line, strict=True))
        for line in zip(time, *(table[column] for column in columns.values()), strict=True)
    ]
    return book.add(
        figure,
        f"msd_{point.label}",
        f"{point.title}: {point.verdict_word}",
        point.explanation,
        rows=rows,
        columns=("lag_ps", *columns),
    )


def _fit_line(axes: Any, point: Point, time: np.ndarray, table: Table, columns: Sequence[str]) -> None:
    """Draw the slope of D (6 D t, D in cm2/s) through the middle of the window; one mobile species only."""
    if len(columns) != 1 or point.window_ps is None or point.D_cm2_s is None:
        return
    values = np.array(table[columns[0]], dtype=float)
    inside = (time >= point.window_ps[0]) & (time <= point.window_ps[1]) & np.isfinite(values)
    if inside.any():
        slope = 6e4 * point.D_cm2_s  # 1 cm2/s is 1e4 A2/ps
        offset = values[inside].mean() - slope * time[inside].mean()
        axes.plot(time, offset + slope * time, color=BLACK, linestyle=":", linewidth=1, label="slope 6 D")


def plot_msd_overview(
    book: FigureBook, curves: Sequence[tuple[Point, Table]], mobile: Sequence[str]
) -> PageFigure | None:
    """Draw the mobile ions' MSD of all runs on logarithmic axes with a guide of slope one."""
    figure, axes = panel()
    rows: list[dict[str, Any]] = []
    kinds: dict[str, int] = {}
    for point, table in curves:
        lag, columns = lag_column(table), species_columns(table)
        species = next((s for s in mobile if s in columns), None)
        if lag is None or species is None:
            continue
        x, y = np.array(table[lag], dtype=float), np.array(table[columns[species]], dtype=float)
        good = (x > 0) & (y > 0)
        kind = point.title.split(", run ")[0] + ("" if point.conclusive else " (inconclusive)")
        label = plain(kind, 34) if kind not in kinds else None  # replicas share colour and entry
        colour = COLOURS[kinds.setdefault(kind, len(kinds)) % 7]
        axes.plot(x[good], y[good], color=colour, linestyle="-" if point.conclusive else "--", label=label)
        rows += [{"run": point.label, "lag_ps": a, "msd_A2": b} for a, b in zip(x[good], y[good], strict=True)]
    if not rows:
        import matplotlib.pyplot as plt

        plt.close(figure)
        return None
    x_low, x_high = min(r["lag_ps"] for r in rows), max(r["lag_ps"] for r in rows)
    top = max(r["msd_A2"] for r in rows)
    guide = np.array([math.sqrt(x_low * x_high), x_high])
    axes.plot(guide, 1.6 * top * guide / x_high, color=GREY, linewidth=1, linestyle=":", label="slope 1 (diffusion)")
    axes.set(xscale="log", yscale="log", xlabel="time lag (ps)", ylabel=f"MSD of {', '.join(mobile)} (Å²)")
    legend(axes, "lower center", ncols=2, fontsize=6.5)
    return book.add(
        figure,
        "msd_overview",
        "Mobile ions at all temperatures",
        "A diffusive run follows the slope of the dotted guide; in a flat one the ions are caged.",
        rows=rows,
        columns=("run", "lag_ps", "msd_A2"),
    )
