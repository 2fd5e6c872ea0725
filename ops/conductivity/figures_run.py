"""Figures of a single run: displacement, collective motion, distributions, health."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from ops.conductivity.motion import Motion, non_gaussian
from ops.conductivity.plotting import BLACK, BLUE, COLOURS, GREEN, ORANGE, RED, new_figure, save, shorten
from ops.conductivity.run import Run, charge_of
from ops.conductivity.settings import ConductivitySettings
from ops.conductivity.tables import plotted_lags


def msd_figure(run: Run, settings: ConductivitySettings, path: Path) -> Path:
    """Draw MSD (linear with fit, log-log), D against the start of the fit, and self against charge displacement."""
    figure, axes = new_figure(2, 2)
    _linear(axes[0, 0], run, settings)
    _logarithmic(axes[0, 1], run, settings)
    _plateau(axes[1, 0], run, settings)
    _collective(axes[1, 1], run, settings)
    hops = run.estimates[settings.mobile[0]].n_hops if run.estimates else None
    text = f"{run.system}, {run.temperature_K:g} K, {run.length_ps:.4g} ps, {run.n_frames} frames"
    figure.suptitle(text + (f", {hops:.0f} hops" if hops else ""), fontsize=9)
    return save(figure, path)


def _linear(axes: Any, run: Run, settings: ConductivitySettings) -> None:
    for colour, (name, part) in zip(COLOURS, run.parts.items(), strict=False):
        lags = plotted_lags(len(part.msd))
        times = lags * run.dt_ps
        axes.plot(times, part.msd[lags], color=colour, label=name)
        for style, axis, row in zip((":", "--", "-."), "xyz", part.components, strict=False):
            axes.plot(times, row[lags], color=colour, lw=0.8, ls=style, label=f"{name} {axis}")
    if len(run.framework_msd[0]):
        axes.plot(*run.framework_msd, color="0.5", label="framework")
    _fit(axes, run, settings)
    axes.set(xlabel="time (ps)", ylabel="MSD (Å$^2$)", xlim=(0, run.length_ps / 2), ylim=(0, None))
    axes.legend(ncols=2)


def _fit(axes: Any, run: Run, settings: ConductivitySettings) -> None:
    """Draw the fitted line with its 95 % band and the window."""
    main = run.estimates.get(settings.mobile[0])
    if main is None or main.line is None or main.start is None:
        return
    first, last = main.start.window
    times = np.linspace(first, last, 50)
    design = np.column_stack([np.ones_like(times), times])
    line = design @ [main.line.intercept, main.line.slope]
    sigma = np.sqrt(max(1.0, main.line.chi2_red) * np.einsum("ti,ij,tj->t", design, main.line.covariance, design))
    axes.axvspan(first, last, color="0.93", lw=0, zorder=0)
    axes.fill_between(times, line - 1.96 * sigma, line + 1.96 * sigma, color=ORANGE, alpha=0.25, lw=0)
    axes.fill_between(times, line - sigma, line + sigma, color=ORANGE, alpha=0.3, lw=0)
    axes.plot(times, line, color=ORANGE, label="fit, 68 and 95 %")
    axes.axvline(main.start.start_ps, color=ORANGE, lw=0.8, ls=":")


def _logarithmic(axes: Any, run: Run, settings: ConductivitySettings) -> None:
    part = run.parts[settings.mobile[0]]
    lags = plotted_lags(len(part.msd))
    times, msd = lags * run.dt_ps, np.maximum(part.msd[lags], 1e-12)
    axes.loglog(times, msd, color=BLUE, label=settings.mobile[0])
    axes.loglog(times, msd[-1] * times / times[-1], color="0.5", lw=0.8, ls="--", label="slope 1")
    if len(run.framework_msd[0]):
        axes.loglog(*run.framework_msd, color="0.5", label="framework")
    axes.axhline(0.5 * settings.hop_distance_A**2, color="0.7", lw=0.8, ls=":", label="half a squared hop")
    axes.set(xlabel="time (ps)", ylabel="MSD (Å$^2$)")
    axes.set_title(shorten(run.verdict), fontsize=8)
    axes.legend()


def _plateau(axes: Any, run: Run, settings: ConductivitySettings) -> None:
    main = run.estimates.get(settings.mobile[0])
    axes.set(xlabel="start of the fit (ps)", ylabel="D (cm$^2$/s)")
    if main is None or main.start is None:
        axes.text(0.5, 0.5, "no diffusive regime", transform=axes.transAxes, ha="center", color="0.4")
        return
    scan = main.start.scan
    times = [one["start_ps"] for one in scan]
    weights = np.array([one["weight"] for one in scan])
    for one, weight in zip(scan, weights / weights.max(), strict=True):
        axes.errorbar(one["start_ps"], one["D_cm2_s"], 1.96 * one["sigma_cm2_s"], fmt="o", ms=4, color=BLUE, capsize=2,
                      alpha=0.25 + 0.75 * weight)
    if main.D_cm2_s and main.D_ci95_cm2_s:
        axes.axhline(main.D_cm2_s, color=ORANGE)
        axes.axhspan(*main.D_ci95_cm2_s, color=ORANGE, alpha=0.25, lw=0)
    axes.set_xscale("log")
    right = axes.twinx()
    right.plot(times, [one["curvature_sigma"] for one in scan], color=GREEN, lw=0.9, marker=".", ms=3)
    right.set_ylabel("curvature (sigma)", color=GREEN)
    right.spines["right"].set_visible(True)
    right.set_ylim(0, None)


def _collective(axes: Any, run: Run, settings: ConductivitySettings) -> None:
    """Draw the summed self displacement and the charge displacement, both per e^2, and the running Haven ratio."""
    total = run.charge_msd["total"]
    lags = plotted_lags(len(total))
    times = lags * run.dt_ps
    own = sum(part.n_ions * charge_of(settings, name) ** 2 * part.msd[lags] for name, part in run.parts.items())
    axes.plot(times, own, color=BLUE, label="self, $\\Sigma q^2$ MSD")
    axes.plot(times, total[lags], color=RED, label="collective, $|\\Sigma q \\Delta r|^2$")
    axes.set(xlabel="time (ps)", ylabel="charge MSD (e$^2$ Å$^2$)", xlim=(0, times[-1]), ylim=(0, None))
    right = axes.twinx()
    ratio = np.asarray(own) / np.maximum(total[lags], 1e-12)
    right.plot(times, ratio, color="0.6", lw=0.8, label="running Haven ratio")
    right.set(ylabel="Haven ratio", ylim=(0, max(2.0, float(np.median(ratio)) * 2)))
    right.spines["right"].set_visible(True)
    handles = [*axes.get_lines(), *right.get_lines()]
    axes.legend(handles, [str(line.get_label()) for line in handles], loc="upper left")


def motion_figure(run: Run, settings: ConductivitySettings, path: Path) -> Path | None:
    """Draw van Hove functions, non-Gaussian parameter, net displacements and projected densities."""
    motion = run.motion
    if motion is None:
        return None
    figure, axes = new_figure(2, 3, 3.0, 2.5)
    colours = _ramp(len(motion.times_ps))
    for colour, time, row in zip(colours, motion.times_ps, motion.self_part, strict=True):
        axes[0, 0].plot(motion.radii_A, row, color=colour, lw=1, label=f"{time:.3g} ps")
    axes[0, 0].set(xlabel="r (Å)", ylabel="4πr$^2$G$_s$(r, t) (1/Å)", ylim=(0, None))
    axes[0, 0].legend()
    if motion.distinct_part.size:
        for colour, row in zip(colours, motion.distinct_part, strict=True):
            axes[0, 1].plot(motion.distinct_radii_A, row, color=colour, lw=1)
    axes[0, 1].set(xlabel="r (Å)", ylabel="G$_d$(r, t) / density", ylim=_limits(motion))
    lags, second, fourth = run.parts[settings.mobile[0]].fourth
    axes[0, 2].semilogx(lags * run.dt_ps, non_gaussian(second, fourth), color=BLUE)
    axes[0, 2].axhline(0, color="0.7", lw=0.8)
    axes[0, 2].set(xlabel="time (ps)", ylabel="non-Gaussian parameter $\\alpha_2$")
    _net(axes[1, 0], motion, settings)
    for panel, (name, title) in zip(axes[1, 1:], (("xy", "a, b"), ("xz", "a, c")), strict=True):
        image = panel.imshow(np.log10(motion.maps[name].T + 0.1), origin="lower", extent=(0, 1, 0, 1), cmap="cividis",
                             aspect="auto", interpolation="nearest")
        panel.set(xlabel=f"{title[0]} (reduced)", ylabel=f"{title[3]} (reduced)")
        figure.colorbar(image, ax=panel, label="log$_{10}$ density / mean")
    figure.suptitle(f"{settings.mobile[0]} in {run.system}, {run.temperature_K:g} K", fontsize=9)
    return save(figure, path)


def _limits(motion: Motion) -> tuple[float, float]:
    """Return the range of the distinct part beyond 1 A, where a shell holds enough pairs to mean something."""
    far = motion.distinct_part[:, motion.distinct_radii_A > 1.0] if motion.distinct_part.size else np.ones((1, 1))
    return 0.0, 1.1 * float(far.max()) if far.size else 2.0


def _net(axes: Any, motion: Motion, settings: ConductivitySettings) -> None:
    axes.hist(motion.net_A, bins=20, color=BLUE, alpha=0.8)
    axes.axvline(settings.hop_distance_A, color=BLACK, lw=0.8, ls=":")
    axes.set(xlabel="net displacement (Å)", ylabel="ions")
    axes.set_title(f"{motion.moved_fraction:.0%} moved by more than a hop", fontsize=8)


def _ramp(count: int) -> list[Any]:
    from matplotlib import colormaps

    return [colormaps["viridis"](value) for value in np.linspace(0, 0.9, count)]


def health_figure(run: Run, path: Path) -> Path | None:
    """Draw temperature, pressure, energy and volume against time from the ``thermo.csv`` of an MD folder."""
    source = run.folder / "thermo.csv" if run.folder is not None else None
    if source is None or not source.is_file():
        return None
    with source.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    wanted = (
        ("temperature_K", "T (K)"), ("pressure_bar", "p (bar)"), ("potential_eV", "E (eV)"), ("volume_A3", "V (Å$^3$)"),
    )
    shown = [(key, label) for key, label in wanted if rows and key in rows[0]]
    if not shown or "time_ps" not in rows[0]:
        return None
    figure, axes = new_figure(1, len(shown), 2.5, 2.2)
    times = [_float(row["time_ps"]) for row in rows]
    for panel, (key, label) in zip(np.atleast_1d(axes), shown, strict=True):
        panel.plot(times, [_float(row[key]) for row in rows], color=BLUE, lw=0.7)
        panel.set(xlabel="time (ps)", ylabel=label)
        if key == "temperature_K":
            panel.axhline(run.temperature_K, color=RED, lw=0.9, ls="--")
    figure.suptitle(f"{run.system}, {run.temperature_K:g} K", fontsize=9)
    return save(figure, path)


def _float(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
