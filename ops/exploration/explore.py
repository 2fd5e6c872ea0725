"""Exploration: LAMMPS in NPT driven by one model of the ensemble, with the deviation of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dpa_sse.ops.md.lammps import deepmd_lines
from dpa_sse.ops.md.simulate import RunOutcome, record_outcome
from dpa_sse.ops.md.tasks import make_job, open_task, run_job
from dpa_sse.ops.results.md import ExplorationTask


def explore(folder: Path, models: Sequence[Path], type_map: Sequence[str], out: Path) -> None:
    """Run one exploration task; write the trajectory and ``model_devi.csv`` with one row for each frame.

    The deviations are those of DP-GEN: ``max_devi_f`` is the maximum over the atoms of the standard deviation of the
    force within the ensemble (eV/Angstrom; relative where the task has ``epsilon_eV_A``), ``max_devi_v`` that over the
    components of the virial (eV/atom). A run that explodes does not raise: its frames end before the explosion.

    Parameters
    ----------
    folder : Path
        Task folder of :func:`dpa_sse.ops.exploration.prepare.prepare_exploration`; a missing folder is an empty task.
    models : sequence of Path
        All models of the ensemble, in order; the task lists those that passed the sanity MD. The first of them,
        which has the largest cutoff, drives the run.
    type_map : sequence of str
    out : Path

    Raises
    ------
    TransientError
        LAMMPS was killed by a signal.
    """
    found = open_task(folder, ExplorationTask, out)
    if found is None:
        return
    atoms, task = found
    if len(task.models) < 2:
        reason = (
            f"{len(task.models)} of {len(models)} models passed the sanity MD; the deviation needs two (why the others "
            "failed: sanity.json in the folder of the step assemble; more "
            "`concurrent_learning.train.steps` or more initial data help)"
        )
        record_outcome(out, RunOutcome("failed", reason), task, atoms)
        return
    ensemble = [Path(models[index]) for index in task.models]
    potential = partial(deepmd_lines, epsilon_eV_A=task.epsilon_eV_A)
    job = make_job(atoms, task, ensemble, type_map, melt=False, potential=potential)
    # the frames before an explosion are valid, and exactly what exploration looks for
    run_job(job, task, out, usable=lambda outcome: outcome.status == "exploded")
