"""Figures of a single run: displacement, collective motion, distributions, health."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.conductivity.estimate import Estimate
from dpa_sse.ops.conductivity.figures.style import (
    BLACK,
    BLUE,
    COLOURS,
    GREEN,
    ORANGE,
    RED,
    new_figure,
    plain_log,
    save,
    shorten,
)
from dpa_sse.ops.conductivity.framework import SublatticeMotion
from dpa_sse.ops.conductivity.motion import IonMotion, non_gaussian, rose
from dpa_sse.ops.conductivity.nernst_einstein import charge_of
from dpa_sse.ops.conductivity.run import AnalysedRun, RunData
from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.conductivity.tables import ROSES, plotted_lags
from dpa_sse.ops.conductivity.transport import diffusion_tensor


def msd_figure(run: AnalysedRun, settings: ConductivitySettings, path: Path) -> Path | None:
    """Draw MSD (linear with fit, log-log), D against the start of the fit, and self against charge displacement."""
    data = run.data
    if data is None:
        return None
    figure, axes = new_figure(2, 2)
    main = run.estimates.get(settings.mobile[0])
    _linear(axes[0, 0], data, main)
    _logarithmic(axes[0, 1], data, settings, run.verdict)
    _plateau(axes[1, 0], main)
    _collective(axes[1, 1], data, settings)
    hops = main.n_hops if main else None
    text = f"{_title(run)}, {data.length_ps:.4g} ps, {data.n_frames} frames"
    figure.suptitle(text + (f", {hops:.0f} hops" if hops else ""), fontsize=9)
    return save(figure, path)


def _title(run: AnalysedRun) -> str:
    return f"{run.source.system}, {run.source.temperature_K:g} K"


def _linear(axes: Any, data: RunData, main: Estimate | None) -> None:
    for colour, (name, replica) in zip(COLOURS, data.replicas.items(), strict=False):
        lags = plotted_lags(len(replica.msd))
        times = lags * data.dt_ps
        axes.plot(times, replica.msd[lags], color=colour, label=name)
        for style, axis, row in zip((":", "--", "-."), "xyz", replica.components, strict=False):
            axes.plot(times, row[lags], color=colour, lw=0.8, ls=style, label=f"{name} {axis}")
    if len(data.framework_msd[0]):
        axes.plot(*data.framework_msd, color="0.5", label="framework")
    _fit(axes, main)
    axes.set(xlabel="time (ps)", ylabel="MSD (Å$^2$)", xlim=(0, data.length_ps / 2), ylim=(0, None))
    axes.legend(ncols=2)


def _fit(axes: Any, main: Estimate | None) -> None:
    """Draw the fitted line with its 95 % band and the window."""
    if main is None or main.fit is None:
        return
    fitted, (first, last) = main.fit.line, main.fit.window
    times = np.linspace(first, last, 50)
    design = np.column_stack([np.ones_like(times), times])
    line = design @ [fitted.intercept, fitted.slope]
    sigma = np.sqrt(max(1.0, fitted.chi2_red) * np.einsum("ti,ij,tj->t", design, fitted.covariance, design))
    axes.axvspan(first, last, color="0.93", lw=0, zorder=0)
    axes.fill_between(times, line - 1.96 * sigma, line + 1.96 * sigma, color=ORANGE, alpha=0.25, lw=0)
    axes.fill_between(times, line - sigma, line + sigma, color=ORANGE, alpha=0.3, lw=0)
    axes.plot(times, line, color=ORANGE, label="fit, 68 and 95 %")
    axes.axvline(main.fit.start_ps, color=ORANGE, lw=0.8, ls=":")


def _logarithmic(axes: Any, data: RunData, settings: ConductivitySettings, verdict: str) -> None:
    replica = data.replicas[settings.mobile[0]]
    lags = plotted_lags(len(replica.msd))
    times, msd = lags * data.dt_ps, np.maximum(replica.msd[lags], 1e-12)
    axes.loglog(times, msd, color=BLUE, label=settings.mobile[0])
    axes.loglog(times, msd[-1] * times / times[-1], color="0.5", lw=0.8, ls="--", label="slope 1")
    if len(data.framework_msd[0]):
        axes.loglog(*data.framework_msd, color="0.5", label="framework")
    axes.axhline(0.5 * settings.hop_distance_A**2, color="0.7", lw=0.8, ls=":", label="half a squared hop")
    axes.set(xlabel="time (ps)", ylabel="MSD (Å$^2$)")
    axes.set_title(shorten(verdict), fontsize=8)
    right = axes.twinx()
    centres, exponents = local_exponent(times, msd)
    right.plot(centres, exponents, color=GREEN, lw=0.9)
    right.axhline(1, color=GREEN, lw=0.6, ls=":")
    right.set_ylabel("local exponent", color=GREEN)
    right.set_ylim(0, 2.5)
    right.spines["right"].set_visible(True)
    axes.legend(loc="upper left")


def local_exponent(times: np.ndarray, msd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return times and d ln MSD / d ln t, each from the points within a factor of 1.6."""
    centres = np.geomspace(times[0], times[-1], 25)[1:-1]
    found = []
    for centre in centres:
        near = np.abs(np.log(times / centre)) < np.log(1.6)
        steep = np.polyfit(np.log(times[near]), np.log(msd[near]), 1)[0] if near.sum() > 2 else np.nan
        found.append(float(steep))
    return centres, np.array(found)


def _plateau(axes: Any, main: Estimate | None) -> None:
    axes.set(xlabel="start of the fit (ps)", ylabel="D (cm$^2$/s)")
    if main is None or main.fit is None:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "no diffusive regime", transform=axes.transAxes, ha="center", color="0.4")
        return
    plateau = main.fit.plateau
    times = [one.start_ps for one in plateau]
    weights = np.array([one.weight for one in plateau], dtype=float)
    errors = 1.96 * np.array([one.sigma_cm2_s for one in plateau], dtype=float)
    for one, error, weight in zip(plateau, errors, weights / weights.max(), strict=True):
        axes.errorbar(one.start_ps, one.D_cm2_s, error, fmt="o", ms=4, color=BLUE, capsize=2,
                      alpha=0.25 + 0.75 * weight)
    if main.D_cm2_s and main.D_ci95_cm2_s:
        axes.axhline(main.D_cm2_s, color=ORANGE)
        axes.axhspan(*main.D_ci95_cm2_s, color=ORANGE, alpha=0.25, lw=0)
    plain_log(axes.xaxis, max(times) / min(times))
    right = axes.twinx()
    right.plot(times, [one.curvature_sigma for one in plateau], color=GREEN, lw=0.9, marker=".", ms=3)
    right.plot(times, [one.chi2_red for one in plateau], color=GREEN, lw=0.9, ls="--", marker=".", ms=3)
    right.set_ylabel("curvature (sigma), $\\chi^2_{red}$ (dashed)", color=GREEN)
    right.spines["right"].set_visible(True)
    right.set_ylim(0, None)


def _collective(axes: Any, data: RunData, settings: ConductivitySettings) -> None:
    """Draw the summed self displacement and the charge displacement, both per e^2, and the running Haven ratio."""
    total = data.charge_msd["total"]
    lags = plotted_lags(len(total))
    times = lags * data.dt_ps
    tracer = sum(one.n_ions * charge_of(settings, name) ** 2 * one.msd[lags] for name, one in data.replicas.items())
    axes.plot(times, tracer, color=BLUE, label="self, $\\Sigma q^2$ MSD")
    axes.plot(times, total[lags], color=RED, label="collective, $|\\Sigma q \\Delta r|^2$")
    axes.plot(times, total[lags] - tracer, color=RED, lw=0.9, ls=":", label="distinct part")
    axes.axhline(0, color="0.7", lw=0.6)
    axes.set(xlabel="time (ps)", ylabel="charge MSD (e$^2$ Å$^2$)", xlim=(0, times[-1]))
    right = axes.twinx()
    ratio = np.asarray(tracer) / np.maximum(total[lags], 1e-12)
    right.plot(times, ratio, color="0.5", lw=0.8, label="running Haven ratio, 68 %")
    spread = np.exp(np.sqrt(4 / 9 * times / (data.length_ps - times)))  # of one Brownian series, overlapping windows
    right.fill_between(times, ratio / spread, ratio * spread, color="0.6", alpha=0.25, lw=0)
    right.set(ylabel="Haven ratio", ylim=(0, max(2.0, float(np.median(ratio)) * 2)))
    right.spines["right"].set_visible(True)
    handles = [line for line in (*axes.get_lines(), *right.get_lines()) if not str(line.get_label()).startswith("_")]
    axes.legend(handles, [str(line.get_label()) for line in handles], loc="upper left")


def motion_figure(run: AnalysedRun, settings: ConductivitySettings, path: Path) -> Path | None:
    """Draw van Hove functions, non-Gaussian parameter, melting check, jumps, net displacements, densities, tensor."""
    data = run.data
    if data is None or data.figures is None:
        return None
    motion = data.figures.motion
    figure, axes = new_figure(2, 5, 3.0, 2.5)
    _heat(figure, axes[0, 0], motion.times_ps, motion.radii_A, motion.self_part, "4πr$^2$G$_s$(r, t) (1/Å)")
    if motion.distinct_part.size:
        _heat(figure, axes[0, 1], motion.times_ps, motion.distinct_radii_A, motion.distinct_part,
              "G$_d$(r, t) / density", 2.0)
    else:
        axes[0, 1].set_axis_off()
    lags, second, fourth = data.replicas[settings.mobile[0]].fourth
    axes[0, 2].semilogx(lags * data.dt_ps, non_gaussian(second, fourth), color=BLUE)
    axes[0, 2].axhline(0, color="0.7", lw=0.8)
    axes[0, 2].set(xlabel="time (ps)", ylabel="non-Gaussian parameter $\\alpha_2$")
    _sublattices(axes[0, 3], data.figures.sublattices)
    _net(axes[1, 0], motion, settings)
    for panel, (name, title) in zip(axes[1, 1:3], (("xy", "a, b"), ("xz", "a, c")), strict=True):
        image = panel.imshow(np.log10(motion.maps[name].T + 0.1), origin="lower", extent=(0, 1, 0, 1), cmap="cividis",
                             aspect="auto", interpolation="nearest")
        panel.set(xlabel=f"{title[0]} (reduced)", ylabel=f"{title[3]} (reduced)")
        figure.colorbar(image, ax=panel, label="log$_{10}$ density / mean")
    _tensor(axes[1, 3], data, run.estimates.get(settings.mobile[0]), settings)
    for row, (plane, pair) in enumerate(ROSES.items()):
        _rose(figure, axes[row, 4], motion, plane, pair)
    figure.suptitle(f"{settings.mobile[0]} in {_title(run)}, {data.length_ps:.4g} ps", fontsize=9)
    return save(figure, path)


def _heat(
    figure: Any, axes: Any, times: np.ndarray, radii: np.ndarray, table: np.ndarray, label: str,
    most: float | None = None,
) -> None:
    """Draw a van Hove function as a map over time and distance."""
    top = most or float(np.quantile(table[table > 0], 0.98)) if (table > 0).any() else 1.0
    image = axes.pcolormesh(times, radii, table.T, cmap="viridis", vmin=0, vmax=top, shading="nearest", rasterized=True)
    axes.set(xscale="log", xlabel="time (ps)", ylabel="r (Å)")
    figure.colorbar(image, ax=axes, label=label, extend="max")


def _sublattices(axes: Any, motion: SublatticeMotion | None) -> None:
    """Draw the displacement of each sublattice of the framework, and the limit above which it counts as molten."""
    axes.set(xlabel="time (ps)", ylabel="framework, rms displacement (Å)")
    if motion is None:
        axes.text(0.5, 0.5, "no framework", transform=axes.transAxes, ha="center", color="0.4")
        return
    for colour, (name, values) in zip(COLOURS * 3, motion.rms_A.items(), strict=False):
        axes.plot(motion.times_ps, values, color=colour, lw=1, label=name)
    axes.axhline(motion.limit_A, color=BLACK, lw=0.8, ls=":", label="melting")
    axes.set_ylim(0, None)
    axes.legend(ncols=2)


def _rose(figure: Any, axes: Any, motion: IonMotion, plane: str, pair: tuple[int, int]) -> None:
    """Draw the share of the jumps in each direction of a plane."""
    place = axes.get_subplotspec()
    axes.remove()
    panel = figure.add_subplot(place, projection="polar")
    angles, shares = rose(motion.jumps_A, pair)
    panel.bar(angles, shares, width=2 * np.pi / len(angles), color=BLUE, edgecolor="white", lw=0.3)
    panel.set_xticks(np.radians([0, 90, 180, 270]), [plane[0], plane[1], f"−{plane[0]}", f"−{plane[1]}"])
    panel.set_yticklabels([])
    panel.set_title(f"directions of {len(motion.jumps_A)} jumps", fontsize=8)


def _tensor(axes: Any, data: RunData, main: Estimate | None, settings: ConductivitySettings) -> None:
    """Draw the diffusion tensor relative to its mean diagonal."""
    tensor = diffusion_tensor([data], main, settings.mobile[0]) if main else None
    if main is None or main.D_cm2_s is None or tensor is None:
        axes.text(0.5, 0.5, "no diffusion tensor", transform=axes.transAxes, ha="center", color="0.4")
        axes.set_axis_off()
        return
    xx, yy, zz, xy, xz, yz = np.array(tensor) / main.D_cm2_s
    table = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    axes.imshow(table, cmap="PuOr_r", vmin=-2, vmax=2)
    for (i, j), value in np.ndenumerate(table):
        axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8, color=BLACK)
    axes.set_xticks(range(3), "xyz")
    axes.set_yticks(range(3), "xyz")
    axes.set_title("diffusion tensor / D", fontsize=8)


def _net(axes: Any, motion: IonMotion, settings: ConductivitySettings) -> None:
    axes.hist(motion.net_A, bins=20, color=BLUE, alpha=0.8)
    axes.axvline(settings.hop_distance_A, color=BLACK, lw=0.8, ls=":")
    axes.set(xlabel="net displacement (Å)", ylabel="ions")
    axes.set_title(f"{motion.moved_fraction:.0%} moved by more than a hop", fontsize=8)


def health_figure(run: AnalysedRun, path: Path, reference: str = "framework") -> Path | None:
    """Draw temperature, pressure, energy, volume (``thermo.csv`` of an MD folder) and drift against time."""
    folder = run.source.folder
    if folder is None or not (folder / "thermo.csv").is_file():
        return None
    with (folder / "thermo.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    wanted = (
        ("temperature_K", "T (K)"), ("pressure_bar", "p (bar)"), ("potential_eV", "E (eV)"), ("volume_A3", "V (Å$^3$)"),
    )
    shown = [(key, label) for key, label in wanted if rows and key in rows[0]]
    if not shown or "time_ps" not in rows[0]:
        return None
    data = run.data.figures if run.data and reference != "laboratory" else None  # which has no drift
    figure, axes = new_figure(1, len(shown) + (data is not None), 2.5, 2.2)
    times = [_float(row["time_ps"]) for row in rows]
    if data is not None:
        axes[-1].plot(*data.drift, color=BLUE, lw=0.7)
        axes[-1].set(xlabel="time (ps)", ylabel=f"drift of the {reference} (Å)", ylim=(0, None))
    for panel, (key, label) in zip(np.atleast_1d(axes), shown, strict=False):
        panel.plot(times, [_float(row[key]) for row in rows], color=BLUE, lw=0.7)
        panel.set(xlabel="time (ps)", ylabel=label)
        if key == "temperature_K":
            panel.axhline(run.source.temperature_K, color=RED, lw=0.9, ls="--")
    figure.suptitle(_title(run), fontsize=9)
    return save(figure, path)


def _float(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
