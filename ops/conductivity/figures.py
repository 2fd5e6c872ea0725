"""Figures of the conductivity analysis: colour-blind safe, units on all axes, SVG and PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ops.conductivity.run import Run
from ops.conductivity.settings import ConductivitySettings
from ops.conductivity.tables import plotted_lags
from ops.files import atomic_path

# Okabe and Ito, colour-blind safe
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000",
)
COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK)
STYLE = {
    "font.size": 9, "axes.labelsize": 9, "legend.fontsize": 8, "xtick.labelsize": 8, "ytick.labelsize": 8,
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "lines.linewidth": 1.4,
    "svg.hashsalt": "conductivity", "svg.fonttype": "none", "figure.dpi": 110, "savefig.bbox": "tight",
}


def write_figures(runs: Sequence[Run], result: dict[str, Any], settings: ConductivitySettings, folder: Path) -> list[Path]:
    """Write MSD figures for every run and the Arrhenius figure; return the SVG files."""
    written = []
    for run in runs:
        if run.parts:
            written.append(msd_figure(run, settings, folder / f"msd_{run.source}.svg"))
    if any(entry.get("D_cm2_s") or entry.get("D_upper95_cm2_s") for entry in result["temperatures"]):
        written.append(arrhenius_figure(result, folder / "arrhenius.svg"))
    return written


def new_figure(columns: int = 1, width: float = 3.5, height: float = 2.9) -> tuple[Any, Any]:
    """Return a matplotlib figure and its axes without touching the global state."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width * columns, height), layout="constrained")
        FigureCanvasAgg(figure)
        return figure, figure.subplots(1, columns)


def save(figure: Any, path: Path) -> Path:
    """Write a figure as SVG and PNG, without dates."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
        with atomic_path(path.with_suffix(".png")) as temporary:
            figure.savefig(temporary, format="png", dpi=160, metadata={"Software": None})
    return path


def msd_figure(run: Run, settings: ConductivitySettings, path: Path) -> Path:
    """Draw MSD(t) of one run, linear with fit, and log-log with a guide of slope one."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        figure, (left, right) = new_figure(2)
        for colour, (name, part) in zip(COLOURS, run.parts.items(), strict=False):
            lags = plotted_lags(len(part.msd))
            times = lags * run.dt_ps
            left.plot(times, part.msd[lags], color=colour, label=f"{name}")
            for style, axis, row in zip((":", "--", "-."), "xyz", part.components, strict=False):
                left.plot(times, row[lags], color=colour, lw=0.8, ls=style, label=f"{name} {axis}")
            right.loglog(times, part.msd[lags], color=colour, label=name)
        _fit_line(left, run, settings)
        last = times[-1]
        top = part.msd[lags][-1]
        if top > 0:
            right.loglog(times, top * times / last, color="0.5", lw=0.8, ls="--", label="slope 1")
        right.axhline(0.5 * settings.hop_distance_A**2, color="0.7", lw=0.8, ls=":")
        left.set(xlabel="time (ps)", ylabel="MSD (Å$^2$)", xlim=(0, last), ylim=(0, None))
        right.set(xlabel="time (ps)", ylabel="MSD (Å$^2$)")
        left.set_title(f"{run.system}, {run.temperature_K:g} K", fontsize=9, loc="left")
        right.set_title(_short(run.verdict), fontsize=8, loc="left")
        left.legend(ncols=2)
        right.legend()
    return save(figure, path)


def _short(text: str, width: int = 60) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _fit_line(axes: Any, run: Run, settings: ConductivitySettings) -> None:
    """Draw the fitted line with its 95 % band and the window."""
    main = run.estimates.get(settings.mobile[0])
    if main is None or main.line is None or main.start is None:
        return
    first, last = main.start.window
    times = np.linspace(first, last, 50)
    design = np.column_stack([np.ones_like(times), times])
    line = design @ [main.line.intercept, main.line.slope]
    birge = np.sqrt(max(1.0, main.line.chi2_red))
    band = 1.96 * birge * np.sqrt(np.einsum("ti,ij,tj->t", design, main.line.covariance, design))
    axes.axvspan(first, last, color="0.93", lw=0, zorder=0)
    axes.fill_between(times, line - band, line + band, color=ORANGE, alpha=0.35, lw=0)
    axes.plot(times, line, color=ORANGE, label="fit, 95 %")


def arrhenius_figure(result: dict[str, Any], path: Path) -> Path:
    """Draw log10 D against 1000/T: points with intervals, upper limits as arrows, line with its band to 300 K."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        figure, axes = new_figure(1, 4.4, 3.4)
        for colour, (system, line) in zip(COLOURS * 9, result["arrhenius_by_system"].items(), strict=False):
            entries = [entry for entry in result["temperatures"] if entry["system"] == system]
            _points(axes, entries, line, system, colour)
        axes.set_yscale("log")
        axes.set(xlabel="1000 / T (1/K)", ylabel="D (cm$^2$/s)")
        top = axes.secondary_xaxis("top", functions=(_swap, _swap))
        ticks = [T for T in (250, 300, 350, 400, 500, 600, 800, 1000, 1200, 1500)
                 if axes.get_xlim()[0] <= 1000 / T <= axes.get_xlim()[1]]
        top.set_xticks(ticks)
        top.set_xlabel("T (K)")
        axes.legend(loc="lower left")
    return save(figure, path)


def _swap(x: Any) -> Any:
    return 1000 / np.maximum(np.asarray(x, dtype=float), 1e-9)


def _points(axes: Any, entries: list[dict[str, Any]], line: dict[str, Any], system: str, colour: str) -> None:
    """Draw one system."""
    label = system
    if line["Ea_eV"] is not None:
        error = (line["Ea_ci95_eV"][1] - line["Ea_ci95_eV"][0]) / 2
        label = f"{system}, $E_a$ = {line['Ea_eV']:.2f} ± {error:.2f} eV"
        _band(axes, line, colour)
    for entry in entries:
        x = 1000 / entry["temperature_K"]
        if entry.get("D_cm2_s"):
            low, high = entry["D_ci95_cm2_s"]
            D = entry["D_cm2_s"]
            axes.errorbar(x, D, [[D - low], [high - D]], fmt="o", color=colour, ms=5, capsize=2, label=label)
            label = None
        elif entry.get("D_upper95_cm2_s"):
            axes.annotate("", (x, entry["D_upper95_cm2_s"] / 3), (x, entry["D_upper95_cm2_s"]),
                          arrowprops={"arrowstyle": "->", "color": colour})
            axes.plot(x, entry["D_upper95_cm2_s"], marker="_", color=colour, ms=8, ls="", label=label)
            label = None


def _band(axes: Any, line: dict[str, Any], colour: str) -> None:
    """Draw line and 95 % band of a fit, and the extrapolated points hollow."""
    curve = line.get("curve")
    if curve:
        x = 1000 / np.array(curve["temperature_K"])
        axes.plot(x, curve["D_cm2_s"], color=colour, lw=1)
        axes.fill_between(x, curve["D_low95_cm2_s"], curve["D_high95_cm2_s"], color=colour, alpha=0.15, lw=0)
    for point in line["extrapolated"]:
        D = point["D_cm2_s"]
        low, high = point["D_ci95_cm2_s"]
        axes.errorbar(1000 / point["temperature_K"], D, [[D - low], [high - D]], fmt="o", mfc="white", color=colour,
                      ms=5, capsize=2)
