"""Figures of the health of MD runs: temperature, energy and volume against time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dpa_sse.ops.core.palette import BLACK, COLOURS
from dpa_sse.pipeline.report.figures import LINES, SMALL, FigureBook, PageFigure, Row, legend, panel, plain
from dpa_sse.pipeline.report.inputs import ProductionRun, Table

_STRIPS = (("temperature_K", "T (K)"), ("potential_eV", "E (eV)"), ("volume_A3", "V (Å³)"))


def plot_health(book: FigureBook, name: str, title: str, runs: Sequence[ProductionRun]) -> PageFigure | None:
    """Draw temperature, potential energy and volume against time for the replicas of one temperature."""
    drawn = [run for run in runs if _numeric(run.thermo, "time_ps")]
    strips = [
        (k, label) for k, label in _STRIPS
        if any(_numeric(run.thermo, k) and (k != "volume_A3" or _changes(run.thermo[k])) for run in drawn)
    ]
    if not drawn or not strips:
        return None
    figure, grid = panel((SMALL[0], 0.7 + 0.85 * len(strips)), len(strips), sharex=True, squeeze=False)
    rows: list[Row] = []
    for axes, (key, label) in zip(grid[:, 0], strips, strict=True):
        for i, run in enumerate(drawn):
            if not _numeric(run.thermo, key):
                continue
            time, values = _thin(run.thermo["time_ps"], run.thermo[key])
            axes.plot(
                time,
                values,
                color=COLOURS[i % 7],
                linestyle=LINES[i // 7 % 4],
                linewidth=0.9,
                label=plain(_short_name(run), 24),
            )
        if key == "temperature_K":
            axes.axhline(drawn[0].info.temperature_K, color=BLACK, linestyle="--", linewidth=0.8)
        axes.set_ylabel(label)
        axes.locator_params(axis="y", nbins=4)
        axes.ticklabel_format(axis="y", useOffset=False, style="plain")
    if len(drawn) > 1:
        legend(grid[0, 0], ncols=2, fontsize=6.5)
    grid[-1, 0].set_xlabel("time (ps)")
    figure.align_ylabels(grid[:, 0])
    for run in drawn:
        columns = [run.thermo.get(key, [None] * len(run.thermo["time_ps"])) for key, _ in _STRIPS]
        rows += [
            dict(zip(("run", "time_ps", *(k for k, _ in _STRIPS)), (run.name, *line), strict=True))
            for line in zip(run.thermo["time_ps"], *columns, strict=True)
        ]
    status = "; ".join(f"{_short_name(run)}: {run.info.status}" for run in runs)
    return book.add(
        figure,
        name,
        title,
        f"Dashed: target temperature. {status}.",
        rows=rows,
        columns=("run", "time_ps", *(key for key, _ in _STRIPS)),
    )


def _short_name(run: ProductionRun) -> str:
    return run.name.rsplit(", ", 1)[-1]


def _changes(values: Sequence[float]) -> bool:
    """Return whether the volume is not constant."""
    return bool(np.nanmax(values) - np.nanmin(values) > 1e-6 * np.nanmax(values))


def _numeric(table: Table, column: str) -> bool:
    values = table.get(column) or []
    return bool(values) and isinstance(values[0], float) and bool(np.isfinite(np.array(values, dtype=float)).any())


def _thin(x: Sequence[float], y: Sequence[float], most: int = 600) -> tuple[np.ndarray, np.ndarray]:
    step = max(1, math.ceil(len(x) / most))
    return np.array(x, dtype=float)[::step], np.array(y, dtype=float)[::step]
