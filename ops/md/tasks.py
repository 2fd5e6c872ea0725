"""Task folders of LAMMPS runs: a cell and ``task.json``, and the steps that all kinds of runs share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.md.lammps import PotentialLines, Simulation, deepmd_lines
from dpa_sse.ops.md.simulate import Job, RunOutcome, record_outcome, run_lammps
from dpa_sse.ops.results.md import MdTask
from dpa_sse.ops.results.status import EMPTY, TaskStatus

if TYPE_CHECKING:
    from ase import Atoms

CELL = "cell.extxyz"
Task = TypeVar("Task", bound=MdTask)


def write_task(out: Path, number: int, atoms: Atoms, task: MdTask) -> None:
    """Write the folder ``task.NNN`` with the cell and ``task.json``."""
    from ase.io import write

    folder = out / f"task.{number:03d}"
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / CELL, atoms, format="extxyz")
    task.write(folder)


def read_task(folder: Path, kind: type[Task]) -> tuple[Atoms, Task] | None:
    """Return the cell and the task of a task folder; None if there is no such task."""
    task = kind.read_if_there(folder)
    return None if task is None else (read_cells(folder / CELL)[0], task)


def open_task(folder: Path, kind: type[Task], out: Path) -> tuple[Atoms, Task] | None:
    """Return the cell and the task that are to be run, and create the folder of the result.

    Returns
    -------
    tuple of ase.Atoms and MdTask, or None
        None if there is nothing to do: the result exists already, or there is no such task, which is recorded as empty.
    """
    out.mkdir(parents=True, exist_ok=True)
    if TaskStatus.path_in(out).exists():
        return None
    found = read_task(folder, kind)
    if found is None:
        EMPTY.write(out)
    return found


def run_job(
    job: Job,
    task: MdTask,
    out: Path,
    *,
    usable: Callable[[RunOutcome], bool],
    continued_from: int | None = None,
    keep: Callable[[RunOutcome], None] | None = None,
) -> None:
    """Run LAMMPS and write ``run.json`` and ``status.json``.

    Parameters
    ----------
    job : Job
    task : MdTask
        From which the job was made.
    out : Path
    usable : callable
        Whether the frames before the end of a run that is not ``ok`` can be used.
    continued_from : int, optional
        Steps of the finished run that this one continues.
    keep : callable, optional
        Called before the working folder is removed.

    Raises
    ------
    TransientError
        LAMMPS was killed by a signal; the same call resumes the run.
    """
    outcome = run_lammps(job, out)
    if keep is not None:
        keep(outcome)
    record_outcome(out, outcome, task, job.atoms, usable=usable(outcome), continued_from=continued_from)


def read_cells(path: Path) -> list[Atoms]:
    """Read the cells of an extxyz file.

    Raises
    ------
    FatalError
        The file is missing, cannot be read, or contains no cell.
    InputError
        A cell has no ``system`` in its info.
    """
    from ase.io import read

    try:
        cells = cast("list[Atoms]", read(path, index=":", format="extxyz"))
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise FatalError(f"cannot read the cells in {path}: {error}") from error
    if not cells:
        raise FatalError(f"no cell in {path}")
    for atoms in cells:
        if "system" not in atoms.info:
            raise InputError(f"{path}: a cell lacks `system=` in its comment line")
    return cells


def make_job(
    atoms: Atoms,
    task: MdTask,
    models: Sequence[Path],
    type_map: Sequence[str],
    *,
    melt: bool,
    potential: PotentialLines = deepmd_lines,
) -> Job:
    """Return the run that a ``task.json`` describes; with ``melt`` it stops when the host framework melts."""
    return Job(atoms, models, type_map, Simulation.of(task), task.equilibration_steps, melt, potential, task.template)
