"""Whether an equilibration was long enough, on series with a known drift."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dpa_sse.ops.core.files import write_csv
from dpa_sse.ops.md.equilibration import drift_of, judge_equilibration
from dpa_sse.ops.md.lammps import THERMO_COLUMNS

N_ATOMS = 50


def noise(rng: np.random.Generator, rows: int, memory: float = 3.0) -> np.ndarray:
    keep, x = float(np.exp(-1 / memory)), np.empty(rows)
    x[0] = rng.normal()
    for k in range(1, rows):
        x[k] = keep * x[k - 1] + np.sqrt(1 - keep**2) * rng.normal()
    return x


def write_rows(path: Path, **columns: np.ndarray) -> None:
    rows = len(next(iter(columns.values())))
    table = {"step": np.arange(rows) * 10, "time_ps": 0.02 * np.arange(rows), **columns}
    names = list(THERMO_COLUMNS.values())
    write_csv(path, [{name: float(table.get(name, np.zeros(rows))[k]) for name in names} for k in range(rows)], names)


def run(
    folder: Path, seed: int, *, volume_drift: float = 0.0, energy_drift: float = 0.0, pressure: float = 0.0,
    measured: bool = True,
) -> Path:
    rng, rows = np.random.default_rng(seed), 200
    time = np.linspace(0, 2, rows)  # the second half, which is judged, drifts by what is given
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(
        folder / "equilibration.csv", volume_A3=1000 * (1 + volume_drift * time + 0.01 * noise(rng, rows)),
        potential_eV=N_ATOMS * (-4 + energy_drift * time + 0.001 * noise(rng, rows)),
    )
    if measured:
        write_rows(folder / "thermo.csv", pressure_bar=1e4 * (pressure + 0.5 * noise(rng, 800)))
    return folder


def test_a_stationary_equilibration_is_accepted(tmp_path: Path) -> None:
    refused = 0
    for seed in range(100):
        found = judge_equilibration(run(tmp_path / str(seed), seed), 0.0, N_ATOMS)
        assert found is not None
        refused += bool(found.reasons)
    assert refused <= 5


@pytest.mark.parametrize(("change", "word"), [
    ({"volume_drift": 0.05, "measured": False}, "volume"), ({"energy_drift": 0.01}, "energy"),
    ({"pressure": 0.6}, "pressure"), ({"pressure": -0.6}, "pressure"),
])
def test_what_is_not_stationary_is_said(change: dict[str, float], word: str, tmp_path: Path) -> None:
    for seed in range(30):
        found = judge_equilibration(run(tmp_path / str(seed), seed, **change), 0.0, N_ATOMS)
        assert found is not None
        assert [word in reason for reason in found.reasons] == [True]


def test_a_measured_pressure_replaces_the_drift_of_the_volume(tmp_path: Path) -> None:
    found = judge_equilibration(run(tmp_path, 1, volume_drift=0.05), 0.0, N_ATOMS)
    assert found is not None
    assert found.volume_drift.value == pytest.approx(0.05, rel=0.2)
    assert found.reasons == ()


def test_the_interval_of_a_drift_covers_it() -> None:
    hits, time = 0, np.linspace(0, 1, 300)
    for seed in range(300):
        found = drift_of(time, 0.02 * time + 0.01 * noise(np.random.default_rng(seed), 300, 5))
        assert found.half95 is not None
        hits += abs(found.value - 0.02) <= found.half95
    assert 0.88 <= hits / 300 <= 0.99


def test_without_equilibration_there_is_nothing_to_judge(tmp_path: Path) -> None:
    assert judge_equilibration(tmp_path, 0.0, N_ATOMS) is None
