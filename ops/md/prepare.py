"""Task folders of production runs and of teacher runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.md.settings import MdSettings
from dpa_sse.ops.md.tasks import read_cells, write_task

if TYPE_CHECKING:
    pass


def prepare_md(cell_file: Path, settings: MdSettings, seed: int, out: Path) -> int:
    """Write the task folders of all production runs and return their number.

    Parameters
    ----------
    cell_file : Path
        extxyz with the cell (one frame, or one for each system).
    settings : MdSettings
    seed : int
        Seed of the project.
    out : Path
        Receives ``task.000`` ...: ``cell.extxyz`` (supercell) and ``task.json``; for each system all
        temperatures, at each temperature all replicas.

    Returns
    -------
    int
        Systems x temperatures x replicas.
    """
    number = 0
    for atoms in read_cells(cell_file):
        system = str(atoms.info["system"])
        cell = atoms.repeat(settings.supercell)
        cell.info = {"system": system}
        for temperature in settings.temperatures_K:
            for replica in range(settings.replicas):
                task = {
                    "system": system,
                    "ensemble": "nvt",
                    "temperature_K": temperature,
                    "pressure_GPa": settings.pressure_GPa,
                    "replica": replica,
                    "timestep_fs": settings.timestep_fs,
                    "equilibration_steps": round(settings.equilibration_ps * 1000 / settings.timestep_fs),
                    "steps": whole_steps(settings.production_ps * 1000, settings),
                    "dump_every": max(1, round(settings.dump_every_fs / settings.timestep_fs)),
                    "restart_every": max(1, round(settings.restart_every_ps * 1000 / settings.timestep_fs)),
                    "supercell": list(settings.supercell),
                    "seed": derive_seed(seed, "md", system, repr(float(temperature)), replica),
                }
                write_task(out, number, cell, task)
                number += 1
    return number


def whole_steps(duration_fs: float, settings: MdSettings) -> int:
    """Return the steps of a run, a multiple of the dump interval so that the last frame is its end."""
    every = max(1, round(settings.dump_every_fs / settings.timestep_fs))
    return max(1, round(duration_fs / settings.timestep_fs / every)) * every
