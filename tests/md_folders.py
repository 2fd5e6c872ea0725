"""MD folders as the MD steps write them: the record through the steps' own functions, the tables by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ase import Atoms

from dpa_sse.ops.core.files import write_csv
from dpa_sse.ops.md.lammps import THERMO_COLUMNS
from dpa_sse.ops.md.monitor import Monitor
from dpa_sse.ops.md.segments import DEVIATION_COLUMNS
from dpa_sse.ops.md.simulate import RunOutcome, record_outcome
from dpa_sse.ops.results.md import Ensemble, ExplorationTask, MdTask, RunStatus, ThermoSummary


def write_run(
    folder: Path, atoms: Atoms, *, system: str, temperature_K: float, status: RunStatus = "ok", reason: str = "",
    partial: bool = False, n_frames: int = 1, steps: int = 100, dump_every: int = 10, replica: int = 0, seed: int = 1,
    pressure_GPa: float = 0.0, ensemble: Ensemble = "nvt", trajectory: str | None = None,
    steps_per_s: float | None = 37.5, max_temperature_K: float | None = None,
    explored: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``run.json`` and ``status.json`` of a finished run; ``explored``: what an exploration task adds."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = MdTask if explored is None else ExplorationTask
    task = kind(
        system=system, temperature_K=temperature_K, pressure_GPa=pressure_GPa, ensemble=ensemble, replica=replica,
        seed=seed, trajectory=trajectory, timestep_fs=2.0, dump_every=dump_every, steps=steps, equilibration_steps=0,
        restart_every=0, **(explored or {}),
    )
    thermo = ThermoSummary(
        mean_temperature_K=temperature_K, max_temperature_K=max_temperature_K or 1.3 * temperature_K,
        mean_volume_A3=atoms.cell.volume,
    )
    outcome = RunOutcome(
        status, reason, n_frames=n_frames, steps_per_s=steps_per_s, seconds=60.0, thermo=thermo,
        host=Monitor(atoms, 1, melt=False, frame_fs=2.0 * dump_every).summary,
    )
    record_outcome(folder, outcome, task, atoms, usable=partial)
    return folder


def write_trajectory(path: Path, frames: Sequence[Atoms], *, every: int = 10) -> None:
    """Write frames of orthogonal cells as a LAMMPS dump."""
    with path.open("w", encoding="utf-8") as stream:
        for number, atoms in enumerate(frames):
            bounds = "".join(f"0 {length}\n" for length in atoms.cell.lengths())
            stream.write(f"ITEM: TIMESTEP\n{every * number}\nITEM: NUMBER OF ATOMS\n{len(atoms)}\n")
            stream.write(f"ITEM: BOX BOUNDS pp pp pp\n{bounds}ITEM: ATOMS id element xu yu zu\n")
            for index, atom in enumerate(atoms, 1):
                stream.write("{} {} {:.9g} {:.9g} {:.9g}\n".format(index, atom.symbol, *atom.position))


def write_deviations(
    path: Path, max_devi_f: Sequence[float | None], *, every: int = 10, max_devi_v: Sequence[float | None] = ()
) -> None:
    """Write ``model_devi.csv`` with the force deviation of each frame in eV/A (and of the virial), None for NaN."""
    rows: list[dict[str, float | None]] = [
        {"step": every * number, "max_devi_f": value} for number, value in enumerate(max_devi_f)
    ]
    for row, value in zip(rows, max_devi_v, strict=False):
        row["max_devi_v"] = value
    write_csv(path, rows, DEVIATION_COLUMNS)


def write_thermo(path: Path, columns: Mapping[str, Sequence[float]]) -> None:
    """Write ``thermo.csv``; columns that are not given stay empty."""
    assert set(columns) <= set(THERMO_COLUMNS.values())
    rows = [dict(zip(columns, line, strict=True)) for line in zip(*columns.values(), strict=True)]
    write_csv(path, rows, list(THERMO_COLUMNS.values()))
