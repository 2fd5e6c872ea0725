"""CSV tables beside ``conductivity.json``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.conductivity.motion import non_gaussian, rose
from dpa_sse.ops.conductivity.run import Run
from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.core.files import write_csv

_COLUMNS = (
    "kind", "source", "system", "temperature_K", "length_ps", "n_runs", "verdict", "D_cm2_s", "D_low95_cm2_s",
    "D_high95_cm2_s", "D_upper95_cm2_s", "sigma_NE_mS_cm", "sigma_NE_low95_mS_cm", "sigma_NE_high95_mS_cm",
    "sigma_collective_mS_cm", "sigma_collective_low95_mS_cm", "sigma_collective_high95_mS_cm", "haven_ratio",
    "haven_low95", "haven_high95", "t_start_ps", "n_hops",
)
_INTERVALS = {
    "D_ci95_cm2_s": "D_{}95_cm2_s", "sigma_NE_ci95_mS_cm": "sigma_NE_{}95_mS_cm",
    "sigma_collective_ci95_mS_cm": "sigma_collective_{}95_mS_cm", "haven_ci95": "haven_{}95",
}

ROSES = {"xy": (0, 1), "xz": (0, 2)}
"""Planes in which the directions of jumps are shown."""


def write_tables(runs: Sequence[Run], result: dict[str, Any], settings: ConductivitySettings, out: Path) -> None:
    """Write ``conductivity.csv``, ``arrhenius.csv``, ``activation.csv`` and ``msd_<run>.csv`` for each run."""
    rows = [_row("run", entry) for entry in result["runs"]] + [_row("all", entry) for entry in result["temperatures"]]
    write_csv(out / "conductivity.csv", rows, _COLUMNS)
    points = [
        {
            "system": entry["system"], "temperature_K": entry["temperature_K"],
            "inverse_1000_K": 1000 / entry["temperature_K"],
            "D_cm2_s": row.get("D_cm2_s"), "D_low95_cm2_s": row.get("D_low95_cm2_s"),
            "D_high95_cm2_s": row.get("D_high95_cm2_s"), "D_upper95_cm2_s": row.get("D_upper95_cm2_s"),
            "sigma_NE_mS_cm": row.get("sigma_NE_mS_cm"), "verdict": entry["verdict"],
            "fitted": entry["temperature_K"] in result["arrhenius_by_system"][entry["system"]]["points_used"],
        }
        for entry in result["temperatures"]
        for row in [_row("all", entry)]
    ]
    columns = (
        "system", "temperature_K", "inverse_1000_K", "D_cm2_s", "D_low95_cm2_s", "D_high95_cm2_s", "D_upper95_cm2_s",
        "sigma_NE_mS_cm", "fitted", "verdict",
    )
    write_csv(out / "arrhenius.csv", points, columns)
    lines = [
        {"system": system, "Ea_eV": line["Ea_eV"], "Ea_low95_eV": low, "Ea_high95_eV": high,
         "n_temperatures": len(line["points_used"])}
        for system, line in result["arrhenius_by_system"].items()
        for low, high in [line.get("Ea_ci95_eV") or (None, None)]
    ]
    write_csv(
        out / "activation.csv", lines, ("system", "Ea_eV", "Ea_low95_eV", "Ea_high95_eV", "n_temperatures")
    )
    for run in runs:
        if run.parts:
            write_msd(run, out / f"msd_{run.source}.csv")


def _row(kind: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry with its intervals split into two columns."""
    row = {"kind": kind, "source": entry.get("source") or "+".join(entry.get("sources", []))} | entry
    for key, name in _INTERVALS.items():
        low, high = entry.get(key) or (None, None)
        row[name.format("low")], row[name.format("high")] = low, high
    return row


def plotted_lags(n_lags: int) -> np.ndarray:
    """Return some 300 lags from 1 to n_lags - 1 for tables and plots: every one at first, then log-spaced."""
    ratio = max(1.01, n_lags ** (1 / 250))
    steps = np.rint(ratio ** np.arange(int(np.log(n_lags) / np.log(ratio)) + 1)).astype(int)
    return np.unique(np.clip(np.append(steps, n_lags - 1), 1, n_lags - 1))


def write_motion(run: Run, folder: Path) -> None:
    """Write what ``motion_<run>.svg`` shows: van Hove functions, non-Gaussian parameter, displacements, densities."""
    motion = run.motion
    if motion is None:
        return
    curves = [("self", motion.radii_A, motion.self_part), ("distinct", motion.distinct_radii_A, motion.distinct_part)]
    rows = [
        {"part": part, "time_ps": f"{time:.6g}", "r_A": f"{r:.4g}", "value": f"{value:.6g}"}
        for part, radii, table in curves
        for time, line in zip(motion.times_ps, table, strict=True)
        for r, value in zip(radii, line, strict=True)
    ]
    write_csv(folder / f"motion_{run.source}_van_hove.csv", rows, ("part", "time_ps", "r_A", "value"))
    lags, second, fourth = next(iter(run.parts.values())).fourth
    alpha = non_gaussian(second, fourth)
    rows = [
        {"time_ps": f"{lag * run.dt_ps:.6g}", "alpha_2": f"{value:.6g}"} for lag, value in zip(lags, alpha, strict=True)
    ]
    write_csv(folder / f"motion_{run.source}_non_gaussian.csv", rows, ("time_ps", "alpha_2"))
    rows = [{"ion": str(k), "net_displacement_A": f"{value:.6g}"} for k, value in enumerate(motion.net_A)]
    write_csv(folder / f"motion_{run.source}_net.csv", rows, ("ion", "net_displacement_A"))
    rows = [
        {"plane": plane, "i": str(i), "j": str(j), "density_over_mean": f"{value:.4g}"}
        for plane, table in motion.maps.items()
        for (i, j), value in np.ndenumerate(table)
    ]
    write_csv(folder / f"motion_{run.source}_density.csv", rows, ("plane", "i", "j", "density_over_mean"))
    rows = [
        {"plane": plane, "angle_deg": f"{np.degrees(angle):.4g}", "share": f"{share:.6g}"}
        for plane, axes in ROSES.items()
        for angle, share in zip(*rose(motion.jumps_A, axes), strict=True)
    ]
    write_csv(folder / f"motion_{run.source}_jumps.csv", rows, ("plane", "angle_deg", "share"))
    if run.host_rms:
        rms = {name: values for name, values in run.host_rms.items() if name != "limit_A"}
        columns = {name if name == "time_ps" else f"rms_{name}_A": values for name, values in rms.items()}
        rows = [{name: f"{values[k]:.6g}" for name, values in columns.items()} for k in range(len(rms["time_ps"]))]
        write_csv(folder / f"motion_{run.source}_host.csv", rows, list(columns))


def write_drift(run: Run, folder: Path) -> None:
    """Write the drift of the reference, which ``health_<run>.svg`` shows beside the columns of ``thermo.csv``."""
    rows = [{"time_ps": f"{t:.6g}", "drift_A": f"{value:.6g}"} for t, value in zip(*run.drift, strict=True)]
    write_csv(folder / f"health_{run.source}_drift.csv", rows, ("time_ps", "drift_A"))


def write_comparison(pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]], path: Path) -> None:
    """Write measured and calculated values side by side."""
    rows = [
        {"system": m["system"], "x": m["x"], "source": m["source"], "measured_sigma_mS_cm": m["sigma_mS_cm"],
         "sigma_mS_cm": own["sigma_mS_cm"], "sigma_low95_mS_cm": own["sigma_ci95_mS_cm"][0],
         "sigma_high95_mS_cm": own["sigma_ci95_mS_cm"][1], "measured_Ea_eV": m["Ea_eV"], "Ea_eV": own["Ea_eV"],
         "Ea_low95_eV": own["Ea_ci95_eV"][0], "Ea_high95_eV": own["Ea_ci95_eV"][1]}
        for m, own in pairs
    ]
    columns = (
        "system", "x", "source", "measured_sigma_mS_cm", "sigma_mS_cm", "sigma_low95_mS_cm", "sigma_high95_mS_cm",
        "measured_Ea_eV", "Ea_eV", "Ea_low95_eV", "Ea_high95_eV",
    )
    write_csv(path, rows, columns)


def write_msd(run: Run, path: Path) -> None:
    """Write MSD per species (total, x, y, z) and the collective displacement of one run, A^2."""
    lags = plotted_lags(len(next(iter(run.parts.values())).msd))
    columns: dict[str, np.ndarray] = {"time_ps": lags * run.dt_ps}
    for name, part in run.parts.items():
        columns[f"msd_{name}_A2"] = part.msd[lags]
        for axis, row in zip("xyz", part.components, strict=False):
            columns[f"msd_{name}_{axis}_A2"] = row[lags]
    columns["charge_msd_e2_A2"] = run.charge_msd["total"][lags]
    columns["n_origins"] = (run.n_frames - lags).astype(float)
    rows = [
        {name: f"{values[k]:.8g}" for name, values in columns.items()} for k in range(len(lags))
    ]
    write_csv(path, rows, list(columns))
