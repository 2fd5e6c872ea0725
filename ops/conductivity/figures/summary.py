"""Figures over all runs: Arrhenius, replicas, composition series, parity with experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.conductivity.comparison import compare, extrapolated_systems
from dpa_sse.ops.conductivity.figures.style import (
    BLACK,
    BLUE,
    COLOURS,
    ORANGE,
    RED,
    SKY,
    new_figure,
    plain_log,
    save,
    shorten,
    shorten_middle,
)
from dpa_sse.ops.conductivity.readers.points_table import MeasuredValue
from dpa_sse.ops.results.conductivity import ArrheniusResult, ConductivityResult, PooledTransport, RunTransport

_TICKS = (200, 250, 300, 350, 400, 500, 600, 800, 1000, 1300)


def arrhenius_figure(result: ConductivityResult, path: Path, measured: Sequence[MeasuredValue] = ()) -> Path | None:
    """Draw D against 1000/T: limits as arrows, line with band, extrapolations hollow, experiments as stars."""
    if not any(entry.D_cm2_s or entry.D_upper95_cm2_s for entry in result.temperatures):
        return None
    figure, axes = new_figure(1, 1, 4.6, 3.6)
    axes.set_yscale("log")
    for colour, (system, line) in zip(COLOURS * 20, result.arrhenius_by_system.items(), strict=False):
        entries = [entry for entry in result.temperatures if entry.system == system]
        _system(axes, entries, line, system, colour)
        stars = [m for m in measured if m.system == system and m.D_cm2_s]
        axes.plot([1000 / m.temperature_K for m in stars], [m.D_cm2_s for m in stars], "*", color=colour, ms=9,
                  mec=BLACK, mew=0.5, label=f"{system}, experiment" if stars else None)
    axes.set(xlabel="1000 / T (1/K)", ylabel="D (cm$^2$/s)")
    low, high = axes.get_xlim()
    top = axes.secondary_xaxis("top", functions=(_invert, _invert))
    top.set_xticks([T for T in _TICKS if low <= 1000 / T <= high])
    top.set_xlabel("T (K)")
    axes.legend(loc="lower left")
    return save(figure, path)


def _invert(x: Any) -> Any:
    return 1000 / np.maximum(np.asarray(x, dtype=float), 1e-9)


def _system(
    axes: Any, entries: Sequence[PooledTransport], line: ArrheniusResult, system: str, colour: str
) -> None:
    """Draw the points and the line of one system."""
    label: str | None = system
    if line.Ea_eV is not None and line.Ea_ci95_eV is not None:
        error = (line.Ea_ci95_eV[1] - line.Ea_ci95_eV[0]) / 2
        label = f"{system}, $E_a$ = {line.Ea_eV:.2f} ± {error:.2f} eV"
        _band(axes, line, colour)
    for entry in sorted(entries, key=lambda one: not one.D_cm2_s):  # the legend shows a point, not a limit
        x, D, upper = 1000 / entry.temperature_K, entry.D_cm2_s, entry.D_upper95_cm2_s
        if D and entry.D_ci95_cm2_s:
            low, high = entry.D_ci95_cm2_s
            axes.errorbar(x, D, [[D - low], [high - D]], fmt="o", color=colour, ms=5, capsize=2, label=label)
        elif upper:
            axes.errorbar(x, upper, 0.6 * upper, uplims=True, fmt="_", color=colour, ms=7, label=label)
        else:
            continue
        label = None


def _band(axes: Any, line: ArrheniusResult, colour: str) -> None:
    """Draw line and 95 % band of a fit, and the extrapolated points hollow."""
    if line.curve is not None:
        x = 1000 / np.array(line.curve.temperature_K)
        axes.plot(x, line.curve.D_cm2_s, color=colour, lw=1)
        axes.fill_between(x, line.curve.D_low95_cm2_s, line.curve.D_high95_cm2_s, color=colour, alpha=0.15, lw=0)
    for point in line.extrapolated:
        if point.D_cm2_s is None or point.D_ci95_cm2_s is None:
            continue
        spread = [[point.D_cm2_s - point.D_ci95_cm2_s[0]], [point.D_ci95_cm2_s[1] - point.D_cm2_s]]
        axes.errorbar(1000 / point.temperature_K, point.D_cm2_s, spread, fmt="o", mfc="white", color=colour, ms=5,
                      capsize=2)


def replica_figure(result: ConductivityResult, path: Path) -> Path | None:
    """Draw D of every run with its interval and time blocks, and the pooled value of each temperature."""
    pooled = [entry for entry in result.temperatures if entry.n_runs > 0 and entry.D_cm2_s]
    if not pooled:
        return None
    rows = [(entry, [run for run in result.runs if run.source in entry.sources]) for entry in pooled]
    count = sum(len(runs) + 1 for _, runs in rows)
    figure, axes = new_figure(1, 1, 4.8, 1.2 + 0.22 * count)
    labels: list[str] = []
    for entry, runs in rows:
        for run in runs:
            _blocks(axes, run, len(labels))
            _interval(axes, run, len(labels), "o", BLUE)
            labels.append(shorten_middle(run.source, 32))
        _interval(axes, entry, len(labels), "D", ORANGE)
        labels.append(f"{shorten(entry.system, 20)} {entry.temperature_K:g} K, pooled")
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("D (cm$^2$/s), 95 %\nsmall: time blocks over their\nmean, first half filled")
    figure.set_figwidth(3.2 + 0.08 * max(len(label) for label in labels))  # the layout does not make room for them
    figure.get_layout_engine().set(w_pad=0.12)  # text is a little wider in PNG than in SVG, which the layout is for
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    plain_log(axes.xaxis, high / low)
    return save(figure, path)


def _interval(axes: Any, entry: RunTransport | PooledTransport, y: int, marker: str, colour: str) -> None:
    """Draw D with its interval, or the upper limit, in a row."""
    D, interval = entry.D_cm2_s, entry.D_ci95_cm2_s
    if D and interval:
        spread = [[D - interval[0]], [interval[1] - D]]
        axes.errorbar(D, y, xerr=spread, fmt=marker, ms=4, color=colour, capsize=2)
    elif entry.D_upper95_cm2_s:
        axes.plot(entry.D_upper95_cm2_s, y, marker="<", color=colour, ms=4)


def _blocks(axes: Any, run: RunTransport, y: int) -> None:
    """Draw the scatter of the time blocks of a run about its D, those of its first half filled.

    Blocks are fitted at short lags, so their mean has a bias that D does not have; it is removed.
    """
    blocks = np.array([D for one in (run.estimator.block_D_cm2_s if run.estimator else ()) for D in one], dtype=float)
    if len(blocks) == 0 or not run.D_cm2_s:
        return
    for k, D in enumerate(blocks * run.D_cm2_s / blocks.mean()):
        if D > 0:
            axes.plot(D, y + 0.25, "o", ms=2, mew=0.5, color="0.5", mfc="0.5" if k < len(blocks) / 2 else "white")


def series_figure(result: ConductivityResult, path: Path, measured: Sequence[MeasuredValue] = ()) -> Path | None:
    """Draw the extrapolated conductivity against composition x, which the measured table holds, with experiment."""
    calculated = extrapolated_systems(result)
    composition = {m.system: m.x for m in measured if m.x is not None}
    points = sorted(
        ((composition[system], value) for system, value in calculated.items() if system in composition),
        key=lambda point: point[0],
    )
    if len(points) < 2:
        return None
    figure, axes = new_figure(1, 1, 3.8, 2.9)
    x = [one for one, _ in points]
    sigma = np.array([value.sigma_mS_cm for _, value in points])
    low, high = np.array([value.sigma_ci95_mS_cm for _, value in points]).T
    spread = [sigma - low, high - sigma]
    axes.errorbar(x, sigma, spread, fmt="o-", mfc="white", color=BLUE, capsize=2, label="extrapolated")
    stars = sorted((m.x, m.sigma_mS_cm) for m in measured if m.x is not None and m.sigma_mS_cm)
    if stars:
        axes.plot(*zip(*stars, strict=True), "*--", color=RED, ms=9, label="experiment")
    axes.set(xlabel="composition x", ylabel=f"σ at {points[0][1].temperature_K:g} K (mS/cm)", yscale="log")
    axes.legend()
    return save(figure, path)


def activation_figure(result: ConductivityResult, path: Path, measured: Sequence[MeasuredValue] = ()) -> Path | None:
    """Draw the activation energy of each system as a bar with its 95 % interval, experiments as stars."""
    found = {
        system: (line.Ea_eV, *line.Ea_ci95_eV) for system, line in result.arrhenius_by_system.items()
        if line.Ea_eV is not None and line.Ea_ci95_eV is not None
    }
    if len(found) < 2:
        return None
    figure, axes = new_figure(1, 1, max(3.0, 1.4 + 0.5 * len(found)), 2.9)
    places = np.arange(len(found))
    energies, low, high = np.array(list(found.values())).T
    axes.bar(places, energies, yerr=[energies - low, high - energies], color=SKY, ecolor=BLUE, capsize=3, width=0.6,
             label="calculated")
    stars = [(list(found).index(m.system), m.Ea_eV) for m in measured if m.system in found and m.Ea_eV]
    if stars:
        axes.plot(*zip(*stars, strict=True), "*", color=RED, ms=9, mec=BLACK, mew=0.5, label="experiment")
        axes.legend()
    axes.set_xticks(places, [shorten(name, 24) for name in found], rotation=30, ha="right")
    top = max(float(high.max()), *(energy for _, energy in stars), 0.0)
    axes.set(ylabel="activation energy (eV)", ylim=(min(0.0, float(low.min())), 1.35 * top if stars else None))
    return save(figure, path)


@dataclass(frozen=True)
class _Pair:
    """A measured and a calculated number; ``spread`` is the distance to the ends of an interval, low and high."""

    system: str
    measured: float
    calculated: float
    spread: tuple[float, float]
    measured_spread: tuple[float, float] | None = None


def parity_figure(result: ConductivityResult, path: Path, measured: Sequence[MeasuredValue] = ()) -> Path | None:
    """Draw calculated against measured conductivity and activation energy, with asymmetric intervals."""
    sigmas, energies = [], []
    for m, found in ((one.measured, one.calculated) for one in compare(result, measured)):
        if m.sigma_mS_cm:
            ends = None
            if m.sigma_low_mS_cm and m.sigma_high_mS_cm:
                ends = (m.sigma_mS_cm - m.sigma_low_mS_cm, m.sigma_high_mS_cm - m.sigma_mS_cm)
            spread = _spread(found.sigma_mS_cm, found.sigma_ci95_mS_cm)
            sigmas.append(_Pair(m.system, m.sigma_mS_cm, found.sigma_mS_cm, spread, ends))
        if m.Ea_eV:
            energies.append(_Pair(m.system, m.Ea_eV, found.Ea_eV, _spread(found.Ea_eV, found.Ea_ci95_eV)))
    if not sigmas and not energies:
        return None
    figure, axes = new_figure(1, 2, 3.3, 3.0)
    for panel, pairs, unit in ((axes[0], sigmas, "σ (mS/cm)"), (axes[1], energies, "$E_a$ (eV)")):
        _parity(panel, pairs)
        panel.set(xlabel=f"measured {unit}", ylabel=f"calculated {unit}")
    if sigmas:
        for axis in (axes[0].xaxis, axes[0].yaxis):
            low, high = axis.get_view_interval()
            plain_log(axis, high / max(low, 1e-30) if low > 0 else np.inf)
    return save(figure, path)


def _spread(value: float, ci95: tuple[float, float]) -> tuple[float, float]:
    return value - ci95[0], ci95[1] - value


def _parity(axes: Any, pairs: Sequence[_Pair]) -> None:
    """Draw one panel of the parity figure."""
    values = []
    for colour, pair in zip(COLOURS * 20, pairs, strict=False):
        x_spread = [[end] for end in pair.measured_spread] if pair.measured_spread else None
        y_spread = [[end] for end in pair.spread]
        axes.errorbar(pair.measured, pair.calculated, y_spread, x_spread, fmt="o", color=colour, capsize=2,
                      label=pair.system)
        values += [pair.measured, pair.calculated]
    if values:
        ends = [0.7 * min(values), 1.4 * max(values)]
        axes.plot(ends, ends, color="0.5", lw=0.8, ls="--")
        axes.legend()
