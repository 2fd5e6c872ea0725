"""CSV tables of the analysis."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from dpa_sse.ops.conductivity.analyse import Analysis
from dpa_sse.ops.conductivity.comparison import ComparedSystem
from dpa_sse.ops.conductivity.motion import non_gaussian, rose
from dpa_sse.ops.conductivity.run import AnalysedRun, FigureData, RunData
from dpa_sse.ops.core.files import write_csv
from dpa_sse.ops.results.conductivity import ConductivityResult, PooledTransport, RunTransport

_COLUMNS = (
    "kind", "source", "system", "temperature_K", "length_ps", "n_runs", "verdict", "D_cm2_s", "D_low95_cm2_s",
    "D_high95_cm2_s", "D_upper95_cm2_s", "sigma_NE_mS_cm", "sigma_NE_low95_mS_cm", "sigma_NE_high95_mS_cm",
    "sigma_collective_mS_cm", "sigma_collective_low95_mS_cm", "sigma_collective_high95_mS_cm", "haven_ratio",
    "haven_low95", "haven_high95", "t_start_ps", "n_hops",
)
_ARRHENIUS_COLUMNS = (
    "system", "temperature_K", "inverse_1000_K", "D_cm2_s", "D_low95_cm2_s", "D_high95_cm2_s", "D_upper95_cm2_s",
    "sigma_NE_mS_cm", "fitted", "verdict",
)
_RANKING_COLUMNS = (
    "system", "temperature_K", "best_rank", "worst_rank", "sigma_mS_cm", "sigma_low95_mS_cm", "sigma_high95_mS_cm",
    "Ea_eV", "Ea_low95_eV", "Ea_high95_eV", "p_better_than_next",
)
_Field = str | float | None

ROSES = {"xy": (0, 1), "xz": (0, 2)}
"""Planes in which the directions of jumps are shown."""


def write_tables(analysis: Analysis, out: Path) -> None:
    """Write ``conductivity.csv``, ``arrhenius.csv``, ``activation.csv``, ``ranking.csv``, ``msd_<run>.csv`` per run."""
    result = analysis.result
    rows = [*map(_row, result.runs), *map(_row, result.temperatures)]
    write_csv(out / "conductivity.csv", rows, _COLUMNS)
    write_csv(out / "arrhenius.csv", _arrhenius_rows(result), _ARRHENIUS_COLUMNS)
    lines = [
        {"system": system, "Ea_eV": line.Ea_eV, "Ea_low95_eV": low, "Ea_high95_eV": high,
         "n_temperatures": len(line.points_used)}
        for system, line in result.arrhenius_by_system.items()
        for low, high in [line.Ea_ci95_eV or (None, None)]
    ]
    write_csv(out / "activation.csv", lines, ("system", "Ea_eV", "Ea_low95_eV", "Ea_high95_eV", "n_temperatures"))
    if result.ranking:
        write_csv(out / "ranking.csv", _ranking_rows(result), _RANKING_COLUMNS)
    for run in analysis.runs:
        if run.data is not None:
            write_msd(run.data, out / f"msd_{run.source.label}.csv")


def _row(entry: RunTransport | PooledTransport) -> dict[str, _Field]:
    """Return an entry with its intervals split into two columns."""
    row: dict[str, _Field] = {
        "system": entry.system, "temperature_K": entry.temperature_K, "length_ps": entry.length_ps,
        "verdict": entry.verdict, "D_cm2_s": entry.D_cm2_s,
        "D_upper95_cm2_s": entry.D_upper95_cm2_s, "sigma_NE_mS_cm": entry.sigma_NE_mS_cm,
        "sigma_collective_mS_cm": entry.sigma_collective_mS_cm, "haven_ratio": entry.haven_ratio,
        "t_start_ps": entry.t_start_ps, "n_hops": entry.n_hops,
    }
    if isinstance(entry, RunTransport):
        row |= {"kind": "run", "source": entry.source}
    else:
        row |= {"kind": "all", "source": "+".join(entry.sources), "n_runs": entry.n_runs}
    for name, interval in (
        ("D_{}95_cm2_s", entry.D_ci95_cm2_s), ("sigma_NE_{}95_mS_cm", entry.sigma_NE_ci95_mS_cm),
        ("sigma_collective_{}95_mS_cm", entry.sigma_collective_ci95_mS_cm), ("haven_{}95", entry.haven_ci95),
    ):
        row[name.format("low")], row[name.format("high")] = interval or (None, None)
    return row


def _ranking_rows(result: ConductivityResult) -> Iterable[dict[str, _Field]]:
    """Yield a row for each system, the best first; the last column is about the one in the next row."""
    following = [one.system for one in result.ranking[1:]]
    for one, after in zip(result.ranking, [*following, ""], strict=True):
        line, (lowest, highest) = result.arrhenius_by_system[one.system], one.sigma_ci95_mS_cm
        low, high = line.Ea_ci95_eV or (None, None)
        yield {
            "system": one.system, "temperature_K": one.temperature_K, "best_rank": one.rank_ci95[0],
            "worst_rank": one.rank_ci95[1], "sigma_mS_cm": one.sigma_mS_cm, "sigma_low95_mS_cm": lowest,
            "sigma_high95_mS_cm": highest, "Ea_eV": line.Ea_eV, "Ea_low95_eV": low,
            "Ea_high95_eV": high, "p_better_than_next": one.better_than.get(after),
        }


def _arrhenius_rows(result: ConductivityResult) -> Iterable[dict[str, _Field]]:
    for entry in result.temperatures:
        fitted = entry.temperature_K in result.arrhenius_by_system[entry.system].points_used
        yield _row(entry) | {"inverse_1000_K": 1000 / entry.temperature_K, "fitted": fitted}


def plotted_lags(n_lags: int) -> np.ndarray:
    """Return about 300 lags from 1 to n_lags - 1 for tables and plots: every one at first, then log-spaced."""
    ratio = max(1.01, n_lags ** (1 / 250))
    steps = np.rint(ratio ** np.arange(int(np.log(n_lags) / np.log(ratio)) + 1)).astype(int)
    return np.unique(np.clip(np.append(steps, n_lags - 1), 1, n_lags - 1))


def write_motion(run: AnalysedRun, folder: Path) -> None:
    """Write what ``motion_<run>.svg`` shows: van Hove functions, non-Gaussian parameter, displacements, densities."""
    if run.data is None or run.data.figures is None:
        return
    data, name, motion = run.data, run.source.label, run.data.figures.motion
    curves = [("self", motion.radii_A, motion.self_part), ("distinct", motion.distinct_radii_A, motion.distinct_part)]
    rows = [
        {"part": part, "time_ps": f"{time:.6g}", "r_A": f"{r:.4g}", "value": f"{value:.6g}"}
        for part, radii, table in curves
        for time, line in zip(motion.times_ps, table, strict=True)
        for r, value in zip(radii, line, strict=True)
    ]
    write_csv(folder / f"motion_{name}_van_hove.csv", rows, ("part", "time_ps", "r_A", "value"))
    lags, second, fourth = next(iter(data.replicas.values())).fourth
    alpha = non_gaussian(second, fourth)
    rows = [
        {"time_ps": f"{lag * data.dt_ps:.6g}", "alpha_2": f"{value:.6g}"}
        for lag, value in zip(lags, alpha, strict=True)
    ]
    write_csv(folder / f"motion_{name}_non_gaussian.csv", rows, ("time_ps", "alpha_2"))
    rows = [{"ion": str(k), "net_displacement_A": f"{value:.6g}"} for k, value in enumerate(motion.net_A)]
    write_csv(folder / f"motion_{name}_net.csv", rows, ("ion", "net_displacement_A"))
    rows = [
        {"plane": plane, "i": str(i), "j": str(j), "density_over_mean": f"{value:.4g}"}
        for plane, table in motion.maps.items()
        for (i, j), value in np.ndenumerate(table)
    ]
    write_csv(folder / f"motion_{name}_density.csv", rows, ("plane", "i", "j", "density_over_mean"))
    rows = [
        {"plane": plane, "angle_deg": f"{np.degrees(angle):.4g}", "share": f"{share:.6g}"}
        for plane, axes in ROSES.items()
        for angle, share in zip(*rose(motion.jumps_A, axes), strict=True)
    ]
    write_csv(folder / f"motion_{name}_jumps.csv", rows, ("plane", "angle_deg", "share"))
    sublattices = run.data.figures.sublattices
    if sublattices is not None:
        rms = {f"rms_{element}_A": values for element, values in sublattices.rms_A.items()}
        _write_columns(folder / f"motion_{name}_framework.csv", {"time_ps": sublattices.times_ps} | rms, 6)


def _write_columns(path: Path, columns: dict[str, np.ndarray], digits: int) -> None:
    """Write arrays of equal length as the columns of a table."""
    count = len(next(iter(columns.values())))
    rows = [{name: f"{values[k]:.{digits}g}" for name, values in columns.items()} for k in range(count)]
    write_csv(path, rows, list(columns))


def write_drift(figures: FigureData, path: Path) -> None:
    """Write the drift of the reference, which ``health_<run>.svg`` shows next to the columns of ``thermo.csv``."""
    _write_columns(path, dict(zip(("time_ps", "drift_A"), figures.drift, strict=True)), 6)


def write_comparison(pairs: Iterable[ComparedSystem], path: Path) -> None:
    """Write measured and calculated values side by side."""
    columns = (
        "system", "x", "source", "measured_sigma_mS_cm", "sigma_mS_cm", "sigma_low95_mS_cm", "sigma_high95_mS_cm",
        "measured_Ea_eV", "Ea_eV", "Ea_low95_eV", "Ea_high95_eV",
    )
    rows = [
        (one.measured.system, one.measured.x, one.measured.source, one.measured.sigma_mS_cm, one.calculated.sigma_mS_cm,
         *one.calculated.sigma_ci95_mS_cm, one.measured.Ea_eV, one.calculated.Ea_eV, *one.calculated.Ea_ci95_eV)
        for one in pairs
    ]
    write_csv(path, [dict(zip(columns, row, strict=True)) for row in rows], columns)


def write_msd(data: RunData, path: Path) -> None:
    """Write MSD per species (total, x, y, z) and the collective displacement of one run, A^2."""
    lags = plotted_lags(len(next(iter(data.replicas.values())).msd))
    columns: dict[str, np.ndarray] = {"time_ps": lags * data.dt_ps}
    for name, replica in data.replicas.items():
        columns[f"msd_{name}_A2"] = replica.msd[lags]
        for axis, row in zip("xyz", replica.components, strict=False):
            columns[f"msd_{name}_{axis}_A2"] = row[lags]
    columns["charge_msd_e2_A2"] = data.charge_msd["total"][lags]
    columns["n_origins"] = (data.n_frames - lags).astype(float)
    _write_columns(path, columns, 8)
