"""Figures over all runs: Arrhenius, replicas, composition series, parity with experiment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

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

_TICKS = (200, 250, 300, 350, 400, 500, 600, 800, 1000, 1300)


def arrhenius_figure(result: dict[str, Any], path: Path, measured: Sequence[dict[str, Any]] = ()) -> Path | None:
    """Draw D against 1000/T: limits as arrows, line with band, extrapolations hollow, experiments as stars."""
    if not any(entry.get("D_cm2_s") or entry.get("D_upper95_cm2_s") for entry in result["temperatures"]):
        return None
    figure, axes = new_figure(1, 1, 4.6, 3.6)
    axes.set_yscale("log")
    for colour, (system, line) in zip(COLOURS * 20, result["arrhenius_by_system"].items(), strict=False):
        entries = [entry for entry in result["temperatures"] if entry["system"] == system]
        _system(axes, entries, line, system, colour)
        stars = [m for m in measured if m["system"] == system and m["D_cm2_s"]]
        axes.plot([1000 / m["temperature_K"] for m in stars], [m["D_cm2_s"] for m in stars], "*", color=colour, ms=9,
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


def _system(axes: Any, entries: list[dict[str, Any]], line: dict[str, Any], system: str, colour: str) -> None:
    """Draw the points and the line of one system."""
    label: str | None = system
    if line["Ea_eV"] is not None:
        error = (line["Ea_ci95_eV"][1] - line["Ea_ci95_eV"][0]) / 2
        label = f"{system}, $E_a$ = {line['Ea_eV']:.2f} ± {error:.2f} eV"
        _band(axes, line, colour)
    for entry in sorted(entries, key=lambda one: not one.get("D_cm2_s")):  # the legend shows a point, not a limit
        x, D, upper = 1000 / entry["temperature_K"], entry.get("D_cm2_s"), entry.get("D_upper95_cm2_s")
        if D:
            low, high = entry["D_ci95_cm2_s"]
            axes.errorbar(x, D, [[D - low], [high - D]], fmt="o", color=colour, ms=5, capsize=2, label=label)
        elif upper:
            axes.errorbar(x, upper, 0.6 * upper, uplims=True, fmt="_", color=colour, ms=7, label=label)
        else:
            continue
        label = None


def _band(axes: Any, line: dict[str, Any], colour: str) -> None:
    """Draw line and 95 % band of a fit, and the extrapolated points hollow."""
    curve = line["curve"]
    x = 1000 / np.array(curve["temperature_K"])
    axes.plot(x, curve["D_cm2_s"], color=colour, lw=1)
    axes.fill_between(x, curve["D_low95_cm2_s"], curve["D_high95_cm2_s"], color=colour, alpha=0.15, lw=0)
    for point in line["extrapolated"]:
        D = point["D_cm2_s"]
        low, high = point["D_ci95_cm2_s"]
        axes.errorbar(1000 / point["temperature_K"], D, [[D - low], [high - D]], fmt="o", mfc="white", color=colour,
                      ms=5, capsize=2)


def replica_figure(result: dict[str, Any], path: Path) -> Path | None:
    """Draw D of every run with its interval and time blocks, and the pooled value of each temperature."""
    pooled = [entry for entry in result["temperatures"] if entry.get("n_runs", 0) > 0 and entry.get("D_cm2_s")]
    if not pooled:
        return None
    rows = [(entry, [run for run in result["runs"] if run["source"] in entry["sources"]]) for entry in pooled]
    count = sum(len(runs) + 1 for _, runs in rows)
    figure, axes = new_figure(1, 1, 4.8, 1.2 + 0.22 * count)
    labels, y = [], 0
    for entry, runs in rows:
        for run in [*runs, entry]:
            D, interval = run.get("D_cm2_s"), run.get("D_ci95_cm2_s")
            if run is not entry:
                _blocks(axes, run, y)
            colour = ORANGE if run is entry else BLUE
            if D and interval:
                axes.errorbar(D, y, xerr=[[D - interval[0]], [interval[1] - D]], fmt="D" if run is entry else "o", ms=4,
                              color=colour, capsize=2)
            elif run.get("D_upper95_cm2_s"):
                axes.plot(run["D_upper95_cm2_s"], y, marker="<", color=colour, ms=4)
            pooled_name = f"{shorten(entry['system'], 20)} {entry['temperature_K']:g} K, pooled"
            labels.append(pooled_name if run is entry else shorten_middle(run["source"], 32))
            y += 1
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("D (cm$^2$/s), 95 %\nsmall: time blocks over their\nmean, first half filled")
    figure.set_figwidth(3.2 + 0.08 * max(len(label) for label in labels))  # the layout does not make the room
    figure.get_layout_engine().set(w_pad=0.12)  # text is a little wider in PNG than in SVG, for which it is laid out
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    plain_log(axes.xaxis, high / low)
    return save(figure, path)


def _blocks(axes: Any, run: dict[str, Any], y: float) -> None:
    """Draw the scatter of the time blocks of a run about its D, those of its first half filled.

    Blocks are fitted at short lags, so their mean has a bias that D has not; it is taken off.
    """
    blocks = np.array([D for one in (run.get("estimator") or {}).get("block_D_cm2_s", []) for D in one])
    if len(blocks) == 0 or not run.get("D_cm2_s"):
        return
    for k, D in enumerate(blocks * run["D_cm2_s"] / blocks.mean()):
        if D > 0:
            axes.plot(D, y + 0.25, "o", ms=2, mew=0.5, color="0.5", mfc="0.5" if k < len(blocks) / 2 else "white")


def room_temperature(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return system -> extrapolated conductivity at the first temperature, with interval and activation energy."""
    found = {}
    for system, line in result["arrhenius_by_system"].items():
        point = next((one for one in line["extrapolated"] if "sigma_mS_cm" in one), None)
        if point is not None:
            found[system] = {"Ea_eV": line["Ea_eV"], "Ea_ci95_eV": line["Ea_ci95_eV"], **point}
    return found


def measured_pairs(
    result: dict[str, Any], measured: Sequence[dict[str, Any]]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return (measured, calculated) for every measured system that was calculated."""
    own = room_temperature(result)
    return [(m, own[m["system"]]) for m in measured if m["system"] in own]


def series_figure(result: dict[str, Any], path: Path, measured: Sequence[dict[str, Any]] = ()) -> Path | None:
    """Draw the extrapolated conductivity against composition x, with experiment; x stands in the measured table."""
    own = room_temperature(result)
    composition = {m["system"]: m["x"] for m in measured if m["x"] is not None}
    points = sorted((composition[system], value) for system, value in own.items() if system in composition)
    if len(points) < 2:
        return None
    figure, axes = new_figure(1, 1, 3.8, 2.9)
    x = [one for one, _ in points]
    sigma = np.array([value["sigma_mS_cm"] for _, value in points])
    low, high = np.array([value["sigma_ci95_mS_cm"] for _, value in points]).T
    spread = [sigma - low, high - sigma]
    axes.errorbar(x, sigma, spread, fmt="o-", mfc="white", color=BLUE, capsize=2, label="extrapolated")
    stars = sorted((m["x"], m["sigma_mS_cm"]) for m in measured if m["x"] is not None and m["sigma_mS_cm"])
    if stars:
        axes.plot(*zip(*stars, strict=True), "*--", color=RED, ms=9, label="experiment")
    axes.set(xlabel="composition x", ylabel=f"σ at {points[0][1]['temperature_K']:g} K (mS/cm)", yscale="log")
    axes.legend()
    return save(figure, path)


def activation_figure(
    result: dict[str, Any], path: Path, measured: Sequence[dict[str, Any]] = ()
) -> Path | None:
    """Draw the activation energy of each system as a bar with its 95 % interval, experiments as stars."""
    found = {
        system: line for system, line in result["arrhenius_by_system"].items() if line.get("Ea_eV") is not None
    }
    if len(found) < 2:
        return None
    figure, axes = new_figure(1, 1, max(3.0, 1.4 + 0.5 * len(found)), 2.9)
    places = np.arange(len(found))
    energies = np.array([line["Ea_eV"] for line in found.values()])
    low, high = np.array([line["Ea_ci95_eV"] for line in found.values()]).T
    axes.bar(places, energies, yerr=[energies - low, high - energies], color=SKY, ecolor=BLUE, capsize=3, width=0.6,
             label="calculated")
    stars = [(list(found).index(m["system"]), m["Ea_eV"]) for m in measured if m["system"] in found and m["Ea_eV"]]
    if stars:
        axes.plot(*zip(*stars, strict=True), "*", color=RED, ms=9, mec=BLACK, mew=0.5, label="experiment")
        axes.legend()
    axes.set_xticks(places, [shorten(name, 24) for name in found], rotation=30, ha="right")
    top = max(float(high.max()), *(energy for _, energy in stars), 0.0)
    axes.set(ylabel="activation energy (eV)", ylim=(min(0.0, float(low.min())), 1.35 * top if stars else None))
    return save(figure, path)


def parity_figure(result: dict[str, Any], path: Path, measured: Sequence[dict[str, Any]] = ()) -> Path | None:
    """Draw calculated against measured conductivity and activation energy, with asymmetric intervals."""
    pairs = measured_pairs(result, measured)
    sigmas = [(m, value) for m, value in pairs if m["sigma_mS_cm"]]
    energies = [(m, value) for m, value in pairs if m["Ea_eV"]]
    if not sigmas and not energies:
        return None
    figure, axes = new_figure(1, 2, 3.3, 3.0)
    for panel, rows, key, unit in (
        (axes[0], sigmas, "sigma_mS_cm", "σ (mS/cm)"), (axes[1], energies, "Ea_eV", "$E_a$ (eV)"),
    ):
        _parity(panel, rows, key)
        panel.set(xlabel=f"measured {unit}", ylabel=f"calculated {unit}")
    if sigmas:
        for axis in (axes[0].xaxis, axes[0].yaxis):
            low, high = axis.get_view_interval()
            plain_log(axis, high / max(low, 1e-30) if low > 0 else np.inf)
    return save(figure, path)


def _parity(axes: Any, rows: list[tuple[dict[str, Any], dict[str, Any]]], key: str) -> None:
    """Draw one panel of the parity figure."""
    interval = {"sigma_mS_cm": "sigma_ci95_mS_cm", "Ea_eV": "Ea_ci95_eV"}[key]
    values = []
    for colour, (m, value) in zip(COLOURS * 20, rows, strict=False):
        low, high = value[interval]
        y = value[key]
        spread = None
        if key == "sigma_mS_cm" and m["sigma_low_mS_cm"] and m["sigma_high_mS_cm"]:
            spread = [[m[key] - m["sigma_low_mS_cm"]], [m["sigma_high_mS_cm"] - m[key]]]
        axes.errorbar(m[key], y, [[y - low], [high - y]], spread, fmt="o", color=colour, capsize=2, label=m["system"])
        values += [m[key], y]
    if values:
        ends = [0.7 * min(values), 1.4 * max(values)]
        axes.plot(ends, ends, color="0.5", lw=0.8, ls="--")
        axes.legend()
