"""Task folders of one exploration: temperature x pressure x perturbed cell of the current stage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.exploration.settings import ConcurrentLearningSettings
from dpa_sse.ops.exploration.state import current_stage
from dpa_sse.ops.md.tasks import CELL, read_cells, write_task
from dpa_sse.ops.results.dataset import DatasetInfo
from dpa_sse.ops.results.learning import LearningState, SanityCheck
from dpa_sse.ops.results.md import COUPLINGS, ExplorationTask

if TYPE_CHECKING:
    from ase import Atoms

RESTART_EVERY = 200


def static_task_count(settings: ConcurrentLearningSettings, n_systems: int) -> int:
    """Return the largest number of exploration tasks that any stage can have."""
    return n_systems * max(len(stage.state_points()) * stage.cells_per_system for stage in settings.stages)


def prepare_exploration(
    state: LearningState,
    settings: ConcurrentLearningSettings,
    cells: Path,
    sanity: SanityCheck,
    seed: int,
    out: Path,
    held_out: frozenset[tuple[str, str]] = frozenset(),
    cutoffs_A: Sequence[float] = (),
) -> int:
    """Write the exploration tasks of the current stage and return their number.

    The number may be smaller than :func:`static_task_count`; a missing task folder is an empty task.

    Parameters
    ----------
    state : LearningState
    settings : ConcurrentLearningSettings
    cells : Path
        Folder with ``task.000/cell.extxyz`` ... of the perturbing step.
    sanity : SanityCheck
        Outcome of the sanity MD; models that failed do not explore.
    seed : int
        Seed of the project.
    out : Path
        Receives ``task.000`` ...
    held_out : set of (str, str)
        System and trajectory of the held-out runs: no exploration starts from their cells, because its frames go to
        the training set.
    cutoffs_A : sequence of float
        Of the models. LAMMPS builds neighbour lists for the model that drives a run, so that has the largest one: the
        others would miss neighbours. By default, all are equal.

    Returns
    -------
    int

    Raises
    ------
    FatalError
        There are no perturbed cells.
    """
    stage, iteration = current_stage(state, settings), state.iteration
    out.mkdir(parents=True, exist_ok=True)
    models = sorted(sanity.passed, key=lambda index: -cutoffs_A[index]) if cutoffs_A else sanity.passed
    number = 0
    for system, every in perturbed_cells(cells).items():
        pool = [atoms for atoms in every if (system, str(atoms.info.get("trajectory"))) not in held_out]
        rng = np.random.default_rng(derive_seed(seed, "explore cells", system, iteration))
        chosen = rng.permutation(len(pool))[: stage.cells_per_system]
        for temperature, pressure in stage.state_points():
            for cell in chosen:
                task = ExplorationTask(
                    system=system,
                    cell=pool[cell].info.get("trajectory", str(cell)),
                    iteration=iteration,
                    stage=state.stage,
                    models=tuple(models),
                    template=settings.lammps_template,
                    epsilon_eV_A=settings.trust_in(stage, system).epsilon_eV_A,
                    ensemble="nvt" if stage.ensemble == "nvt" else "npt",
                    coupling=COUPLINGS[stage.ensemble],
                    temperature_K=temperature,
                    pressure_GPa=pressure,
                    replica=0,
                    timestep_fs=settings.timestep_fs,
                    equilibration_steps=0,
                    steps=stage.steps,
                    dump_every=settings.sample_every,
                    restart_every=RESTART_EVERY,
                    seed=derive_seed(
                        seed, "explore", system, iteration, repr(float(temperature)), repr(float(pressure)), int(cell)
                    ),
                )
                write_task(out, number, pool[cell], task)
                number += 1
    return number


def held_out_trajectories(dataset: Path) -> frozenset[tuple[str, str]]:
    """Return system and name of the trajectories of a data set that are held out for validation and test."""
    info = DatasetInfo.read_if_there(dataset)
    parts = info.systems if info else ()
    return frozenset((part.system, name) for part in parts if part.split != "train" for name in part.trajectories)


def perturbed_cells(cells: Path) -> dict[str, list[Atoms]]:
    """Return the perturbed cells of each system, in the order of their task folders.

    Raises
    ------
    FatalError
        There are none.
    """
    found: dict[str, list[Atoms]] = defaultdict(list)
    for folder in sorted(cells.glob("task.*")):
        for atoms in read_cells(folder / CELL):
            found[str(atoms.info["system"])].append(atoms)
    if not found:
        raise FatalError(f"no perturbed cell (task.000/{CELL}) in {cells}")
    return dict(found)
