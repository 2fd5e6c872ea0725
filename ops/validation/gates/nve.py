"""G4: does the model conserve energy, and does the error of the integrator fall as it must with the time step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.validation.gates.base import Array, GateSettings, Measurement, Potential, Reference, Value
from dpa_sse.ops.validation.gates.dynamics import Batch, Segment, Trajectory, run_segments, start_batch
from dpa_sse.ops.validation.gates.shared import heated
from dpa_sse.ops.validation.gates.statistics import slope_with_interval

if TYPE_CHECKING:
    from ase import Atoms

PARTS = 4
"""Parts of a run whose ratios of RMS give the interval of the order."""


def measure(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> Measurement:
    """Run NVE from the end of the model's own MD, with the intended time step and with half of it."""
    from scipy.stats import t as student

    del reference
    found = Measurement()
    runs = {halves: _run(model, structures[0], settings, halves) for halves in (1, 2)}
    broken = [why for run in runs.values() for why in run.ended if why]
    found.values["broken_runs"] = Value(float(len(broken)), None, sum(len(run.ended) for run in runs.values()))
    if broken:
        found.notes.append(f"a run ended early: {broken[0]}")
        return found
    atoms = len(structures[0])
    series = {halves: (run.energy + run.kinetic) / atoms * 1000 for halves, run in runs.items()}
    times = {halves: np.arange(len(one)) * runs[halves].dt_fs / 1000 for halves, one in series.items()}
    length = float(times[1][-1])
    fits = [slope_with_interval(times[1], series[1][:, k]) for k in range(series[1].shape[1])]
    drift = float(np.mean([slope for slope, _ in fits]))  # its sign shows where energy goes
    slopes = np.array([slope for slope, _ in fits])
    half = float(np.sqrt(np.mean([one**2 for _, one in fits]) / len(fits)))
    if len(slopes) > 1:  # the runs may drift differently
        half = max(half, float(student.ppf(0.975, len(slopes) - 1) * slopes.std(ddof=1) / np.sqrt(len(slopes))))
    limit = settings.protocol["resolve_meV_atom_ps"]
    missing = length * (max(1.0, half / max(limit - abs(drift), 0.2 * limit)) ** (2 / 3) - 1)
    found.values["drift"] = Value(drift, (drift - half, drift + half), len(fits), more=f"{missing:.1f} ps more of NVE")
    kinetic = float((runs[1].kinetic / atoms * 1000).std())
    share = float(np.sqrt(np.mean(slopes**2))) * length / kinetic
    found.values["drift_over_kinetic"] = Value(share, None, len(fits))
    found.values["order"] = _order(times, series)
    rms = {halves: float(np.sqrt(np.mean(_detrended(times[halves], one) ** 2))) for halves, one in series.items()}
    found.notes.append(
        f"{len(fits)} runs of {length:.2g} ps; RMS of the total energy {rms[1]:.3g} meV/atom at "
        f"{settings.timestep_fs:g} fs, {rms[2]:.3g} at {settings.timestep_fs / 2:g} fs"
    )
    found.table = [
        {"time_ps": float(times[halves][k]), "timestep_fs": settings.timestep_fs / halves,
         "total_energy_meV_atom": float(one[k, 0] - one[:, 0].mean())}
        for halves, one in series.items() for k in range(0, len(one), max(1, len(one) // 400))
    ]
    return found


def _run(model: Potential, atoms: Atoms, settings: GateSettings, halves: int) -> Trajectory:
    """Return NVE runs with the time step divided by ``halves``; they start from the same positions and velocities."""
    start = _start(model, atoms, settings)
    steps = max(20, round(settings.protocol["nve_ps"] * 1000 / settings.timestep_fs)) * halves
    top = settings.temperature_K
    segment = Segment(steps, top, top, 0.0, 1)
    run, = run_segments(model, start, [segment], settings.timestep_fs / halves, settings.seed, limit_K=5 * top)
    return run


def _start(model: Potential, atoms: Atoms, settings: GateSettings) -> Batch:
    """Return the last frames of the model's own MD with new velocities of its temperature."""
    copies = settings.count("copies")
    run = heated(model, atoms, settings).hold
    seed = derive_seed(settings.seed, "nve")
    batch = start_batch(model, atoms, copies, settings.temperature_K, seed)
    whole = [k for k in run.whole if np.isfinite(run.energy[-1, k])][:copies]
    for place, copy in enumerate(whole):
        batch.positions[place] = run.positions[-1, copy]
    labels = model.evaluate(batch.symbols, batch.positions, np.repeat(batch.cell[None], copies, axis=0))
    batch.forces, batch.energy = labels.force, labels.energy
    return batch


def _detrended(time: Array, series: Array) -> Array:
    x = (time - time.mean())[:, None]
    slope = (x * series).sum(axis=0) / (x**2).sum()
    return np.asarray(series - series.mean(axis=0) - slope * x)


def _order(times: dict[int, Array], series: dict[int, Array]) -> Value:
    """Return log2 of the RMS of the total energy over that at half the time step: 2 for velocity Verlet."""
    from scipy.stats import t

    rest = {halves: _detrended(times[halves], one) for halves, one in series.items()}
    logs = []
    for part in range(PARTS):
        rms = {}
        for halves, one in rest.items():
            size = len(one) // PARTS
            rms[halves] = np.sqrt((one[part * size : (part + 1) * size] ** 2).mean(axis=0))
        logs += np.log2(rms[1] / rms[2]).tolist()
    whole = float(np.log2(np.sqrt((rest[1] ** 2).mean()) / np.sqrt((rest[2] ** 2).mean())))
    half = float(t.ppf(0.975, len(logs) - 1) * np.std(logs, ddof=1) / np.sqrt(len(logs)))
    return Value(whole, (whole - half, whole + half), len(logs), more="longer runs of NVE")
