"""Figures of the conductivity: mean squared displacement, Arrhenius plot, conductivity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dpa_sse.ops.core.palette import BLACK, BLUE, COLOURS, GREY, RED
from dpa_sse.pipeline.report.figures import SMALL, FigureBook, PageFigure, panel, plain
from dpa_sse.pipeline.report.inputs import Table
from dpa_sse.pipeline.report.transport import ArrheniusLine, Point, lag_column, species_columns


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
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4, columnspacing=1)
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
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=6.5)
    return book.add(
        figure,
        "msd_overview",
        "Mobile ions at all temperatures",
        "A diffusive run follows the slope of the dotted guide; in a flat one the ions are caged.",
        rows=rows,
        columns=("run", "lag_ps", "msd_A2"),
    )


def plot_arrhenius(
    book: FigureBook, points: Sequence[Point], line: ArrheniusLine | None, system: str = ""
) -> PageFigure | None:
    """Draw D against 1000/T: values with 95 % intervals, upper limits as arrows, the fit with its 95 % band."""
    values = [p for p in points if p.temperature_K and p.D_cm2_s is not None]
    limits = [p for p in points if p.temperature_K and p.D_cm2_s is None and p.D_upper95_cm2_s is not None]
    if not values and not limits:
        return None
    figure, axes = panel((SMALL[0], 3.6))
    if line is not None:
        _draw_line(axes, line)
    for i, point in enumerate(values):
        D, inverse = point.D_cm2_s or math.nan, 1000 / (point.temperature_K or math.nan)
        _draw_value(axes, inverse, D, point.D_ci95_cm2_s, "diffusive, 95 % interval" if i == 0 else None)
    for i, point in enumerate(limits):
        limit, inverse = point.D_upper95_cm2_s or math.nan, 1000 / (point.temperature_K or math.nan)
        name = "inconclusive: upper limit, 95 %" if i == 0 else None
        arrow = {"yerr": [[0.6 * limit], [0]], "uplims": True, "fmt": "_", "markersize": 8, "capsize": 3}
        axes.errorbar([inverse], [limit], color=RED, label=name, **arrow)
    axes.set(yscale="log", xlabel="1000 / T (1/K)", ylabel="self-diffusion D (cm²/s)")
    _temperature_axis(axes)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=1, fontsize=7)
    rows = [
        {
            "temperature_K": p.temperature_K,
            "inverse_1000K": 1000 / (p.temperature_K or math.nan),
            "D_cm2_s": p.D_cm2_s,
            "D_ci95_low_cm2_s": p.D_ci95_cm2_s and p.D_ci95_cm2_s[0],
            "D_ci95_high_cm2_s": p.D_ci95_cm2_s and p.D_ci95_cm2_s[1],
            "D_upper95_cm2_s": None if p.D_cm2_s is not None else p.D_upper95_cm2_s,
            "verdict": p.verdict,
        }
        for p in (*values, *limits)
    ]
    name, title = (f"arrhenius_{system}", f"Arrhenius plot, {system}") if system else ("arrhenius", "Arrhenius plot")
    note = line.caption if line else "No line: it needs values at two temperatures."
    return book.add(figure, name, title, note, rows=rows, columns=tuple(rows[0]))


def _draw_line(axes: Any, line: ArrheniusLine) -> None:
    x = line.inverse_1000K
    axes.fill_between(x, line.low, line.high, color=BLUE, alpha=0.16, linewidth=0, label="95 % band")
    axes.plot(x, line.D, color=BLUE, label=line.label)
    if line.extrapolated is not None:
        inverse, D, error = line.extrapolated
        name = f"extrapolated to {1000 / inverse:.0f} K"
        axes.errorbar([inverse], [D], yerr=error, fmt="o", mfc="white", color=BLUE, capsize=3, label=name)


def _draw_value(axes: Any, x: float, y: float, ci: tuple[float, float] | None, label: str | None) -> None:
    error = None if ci is None else [[max(y - ci[0], 0)], [max(ci[1] - y, 0)]]
    axes.errorbar([x], [y], yerr=error, fmt="o", color=BLACK, capsize=3, markersize=5, label=label)


def _temperature_axis(axes: Any) -> None:
    """Put the temperatures in K on top."""
    low, high = axes.get_xlim()
    top = axes.secondary_xaxis("top", functions=(lambda x: x, lambda x: x))
    candidates = [200, 250, 300, 350, 400, 500, 600, 700, 800, 900, 1000, 1200, 1500, 2000, 3000]
    ticks: list[float] = []
    for t in reversed(candidates):  # hottest first: keep labels that do not touch the one before
        if low <= 1000 / t <= high and (not ticks or 1000 / t - ticks[-1] > 0.13 * (high - low)):
            ticks.append(1000 / t)
    top.set_xticks(ticks, [f"{1000 / x:.0f}" for x in ticks])
    top.set_xlabel("T (K)")
    axes.set_xlim(low, high)


def plot_sigma(book: FigureBook, points: Sequence[Point]) -> PageFigure | None:
    """Draw the conductivity at each temperature with its interval; refused temperatures are marked, without a value."""
    values = [p for p in points if p.temperature_K and p.sigma_mS_cm]
    refused = [p for p in points if p.temperature_K and not p.sigma_mS_cm]
    if not values:
        return None
    figure, axes = panel((SMALL[0], 3.6))
    for i, point in enumerate(values):
        temperature, sigma = point.temperature_K or math.nan, point.sigma_mS_cm or math.nan
        _draw_value(axes, temperature, sigma, point.sigma_ci95_mS_cm, "Nernst–Einstein, 95 %" if i == 0 else None)
    axes.set_yscale("log")
    for i, point in enumerate(refused):
        axes.axvline(
            point.temperature_K or 0.0,
            color=RED,
            linestyle="--",
            linewidth=1.1,
            label="inconclusive: no value" if i == 0 else None,
        )
    axes.set(xlabel="temperature (K)", ylabel="conductivity σ (mS/cm)")
    axes.margins(x=0.12, y=0.2)
    _plain_ticks(axes)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    rows = [
        {
            "temperature_K": p.temperature_K,
            "sigma_mS_cm": p.sigma_mS_cm,
            "sigma_ci95_low_mS_cm": p.sigma_ci95_mS_cm and p.sigma_ci95_mS_cm[0],
            "sigma_ci95_high_mS_cm": p.sigma_ci95_mS_cm and p.sigma_ci95_mS_cm[1],
            "verdict": p.verdict,
        }
        for p in (*values, *refused)
    ]
    return book.add(
        figure,
        "conductivity",
        "Ionic conductivity",
        "From tracer diffusion (Nernst–Einstein); bars: 95 % interval.",
        rows=rows,
        columns=tuple(rows[0]),
    )


def _plain_ticks(axes: Any) -> None:
    """Label a logarithmic y axis with plain numbers, also where it spans less than a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    low, high = axes.get_ylim()
    narrow = math.log10(high / low) < 1.3
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7) if narrow else (1,), numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    if narrow:
        axes.yaxis.set_minor_locator(NullLocator())
