"""Task folders of LAMMPS runs: a cell and ``task.json`` with all numbers of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.core.files import read_json, write_json
from dpa_sse.ops.md.lammps import Simulation
from dpa_sse.ops.md.monitor import temperature_limit
from dpa_sse.ops.md.simulate import Job
from dpa_sse.ops.results.status import EMPTY, TaskStatus

if TYPE_CHECKING:
    from ase import Atoms

CELL = "cell.extxyz"
THERMO_EVERY = 10


def write_task(out: Path, number: int, atoms: Atoms, task: dict[str, Any]) -> None:
    """Write one task folder: the cell and ``task.json``."""
    from ase.io import write

    folder = out / f"task.{number:03d}"
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / CELL, atoms, format="extxyz")
    write_json(folder / "task.json", task)


def read_task(task: Path) -> tuple[Atoms, dict[str, Any]] | None:
    """Return the cell and the numbers of a task folder, or None when there is no such task."""
    if not (task / "task.json").exists():
        return None
    return read_cells(task / CELL)[0], read_json(task / "task.json")


def finished(out: Path) -> bool:
    """Say whether a task was finished before; makes its folder otherwise."""
    out.mkdir(parents=True, exist_ok=True)
    return TaskStatus.path_in(out).exists()


def write_empty(out: Path) -> None:
    """Write the status of a task that does not exist in this iteration."""
    EMPTY.write(out)


def read_cells(path: Path) -> list[Atoms]:
    """Read the cells of an extxyz file.

    Raises
    ------
    FatalError
        The file is missing or can not be read.
    InputError
        A cell has no ``system`` in its info.
    """
    from ase.io import read

    try:
        cells = cast("list[Atoms]", read(path, index=":", format="extxyz"))
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise FatalError(f"can not read the cells in {path}: {error}") from error
    if not cells:
        raise FatalError(f"no cell in {path}")
    for atoms in cells:
        if "system" not in atoms.info:
            raise InputError(f"{path}: a cell without `system=` in its comment line")
    return cells


def make_job(
    atoms: Atoms, settings: dict[str, Any], models: Sequence[Path], type_map: Sequence[str], *, melt: bool
) -> Job:
    """Return the run that a ``task.json`` describes."""
    temperature = float(settings["temperature_K"])
    every = int(settings["dump_every"])
    simulation = Simulation(
        ensemble=settings["ensemble"],
        temperature_K=temperature,
        pressure_GPa=float(settings["pressure_GPa"]),
        timestep_fs=float(settings["timestep_fs"]),
        steps=int(settings["steps"]),
        dump_every=every,
        thermo_every=THERMO_EVERY,
        seed=int(settings["seed"]),
        restart_every=int(settings["restart_every"]),
        deviation_every=every,
        max_temperature_K=temperature_limit(temperature),
    )
    return Job(atoms, models, type_map, simulation, int(settings["equilibration_steps"]), melt)


def run_record(atoms: Atoms, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the part of ``run.json`` that is known before the run."""
    timestep = float(settings["timestep_fs"])
    return {
        **{key: settings[key] for key in ("system", "temperature_K", "pressure_GPa", "ensemble", "replica", "seed")},
        "trajectory": settings.get("trajectory"),
        "timestep_fs": timestep,
        "dump_every_fs": settings["dump_every"] * timestep,
        "steps": settings["steps"],
        "equilibration_steps": settings["equilibration_steps"],
        "n_atoms": len(atoms),
        "composition": dict(sorted(Counter(atoms.get_chemical_symbols()).items())),
    }
