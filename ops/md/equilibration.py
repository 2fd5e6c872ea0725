"""Whether the NPT equilibration was long enough for its mean cell to be used in the run at constant volume."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.results.md import Drift, EquilibrationSummary

BAR_PER_GPA = 1.0e4
MAX_VOLUME_DRIFT = 0.01
"""Of the volume, over the averaging window: 1 % is about 0.2 GPa in a sulfide."""
MAX_ENERGY_DRIFT_EV = 0.003
"""Per atom, over the averaging window."""
MAX_PRESSURE_ERROR_GPA = 0.2
CERTAIN = 2.0
"""The energy must drift by this many times its 95 % uncertainty: a short window underestimates the correlation."""
MIN_SAMPLES = 4
"""Independent samples that a trend needs."""


def judge_equilibration(folder: Path, pressure_GPa: float, n_atoms: int) -> EquilibrationSummary | None:
    """Return the drifts in the second half of the equilibration and the pressure of the run that follows.

    The second half is what the mean cell is taken from. A drift counts if it is larger than its 95 % uncertainty, with
    the correlation of the rows taken into account, and large enough to matter. The mean pressure of the run at constant
    volume tests the mean cell directly: it must be that of the equilibration. Where it is known, it replaces the drift
    of the volume, which in a short window may be a slow oscillation.

    Parameters
    ----------
    folder : Path
        With ``equilibration.csv`` and ``thermo.csv``.
    pressure_GPa : float
        Target.
    n_atoms : int

    Returns
    -------
    EquilibrationSummary or None
        None without rows of either; without equilibration, only the pressure is judged.
    """
    rows = _columns(folder / "equilibration.csv")
    volume = energy = None
    if rows and len(rows["volume_A3"]) >= MIN_SAMPLES:
        half = len(rows["volume_A3"]) // 2
        window = {name: values[half:] for name, values in rows.items()}
        volume = drift_of(window["time_ps"], window["volume_A3"] / window["volume_A3"].mean())
        energy = drift_of(window["time_ps"], window["potential_eV"] / n_atoms)
    pressure = _pressure(_columns(folder / "thermo.csv"))
    if volume is None and pressure is None:
        return None
    reasons = []
    measured = pressure is not None and pressure.half95 is not None
    if volume is not None and _counts(volume, MAX_VOLUME_DRIFT) and not measured:
        reasons.append(f"the volume still drifted by {100 * volume.value:+.1f} % as the equilibration ended")
    if energy is not None and _counts(energy, MAX_ENERGY_DRIFT_EV, CERTAIN):
        reasons.append(f"the energy still drifted by {1000 * energy.value:+.1f} meV/atom as the equilibration ended")
    if pressure is not None and _differs(pressure, pressure_GPa):
        reasons.append(
            f"the pressure of the run is {pressure.value:.2f} GPa instead of {pressure_GPa:g}: its volume is not "
            "that of this pressure (a longer equilibration?)"
        )
    return EquilibrationSummary(
        volume_drift=volume, energy_drift_eV_atom=energy, pressure_GPa=pressure, reasons=tuple(reasons)
    )


def drift_of(time: NDArray[np.float64], values: NDArray[np.float64]) -> Drift:
    """Return the change of a quantity over a window, from a straight line, and its 95 % uncertainty."""
    from scipy.stats import t

    x = time - time.mean()
    slope, span = float((x * values).sum() / (x**2).sum()), float(np.ptp(time))
    rest = values - values.mean() - slope * x
    inefficiency = _inefficiency(rest)
    samples = len(values) / inefficiency
    if samples < MIN_SAMPLES:
        return Drift(value=slope * span, half95=None)
    error = float(np.sqrt((rest**2).sum() / (len(values) - 2) / (x**2).sum() * inefficiency))
    return Drift(value=slope * span, half95=float(t.ppf(0.975, samples - 2)) * error * span)


def _pressure(rows: dict[str, NDArray[np.float64]] | None) -> Drift | None:
    """Return the mean pressure of a run, GPa, and its 95 % uncertainty."""
    from scipy.stats import t

    values = rows["pressure_bar"] / BAR_PER_GPA if rows else np.empty(0)
    if len(values) < MIN_SAMPLES:
        return None
    samples = len(values) / _inefficiency(values - values.mean())
    if samples < MIN_SAMPLES:
        return Drift(value=float(values.mean()), half95=None)
    half = float(t.ppf(0.975, samples - 1) * values.std(ddof=1) / np.sqrt(samples))
    return Drift(value=float(values.mean()), half95=half)


def _counts(drift: Drift, limit: float, certain: float = 1.0) -> bool:
    return drift.half95 is not None and abs(drift.value) > max(limit, certain * drift.half95)


def _differs(pressure: Drift, target: float) -> bool:
    return pressure.half95 is not None and abs(pressure.value - target) > max(MAX_PRESSURE_ERROR_GPA, pressure.half95)


def _inefficiency(rest: NDArray[np.float64]) -> float:
    """Return the number of rows per independent sample: 1 + 2 sum of the autocorrelation up to its first zero."""
    power = float((rest**2).mean())
    if power == 0:
        return 1.0
    total = 1.0
    for lag in range(1, len(rest) // 2):
        value = float((rest[:-lag] * rest[lag:]).mean()) / power
        if value <= 0:
            break
        total += 2 * value
    return total


def _columns(path: Path) -> dict[str, NDArray[np.float64]] | None:
    """Return the columns of a table of LAMMPS rows; None if there is none, or a number is missing."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    if not rows or any(value == "" for row in rows for value in row.values()):
        return None
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
