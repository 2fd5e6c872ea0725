"""Exploration: LAMMPS NPT driven by one model of the ensemble, with the deviation of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dpa_sse.ops.exploration.settings import ConcurrentLearningSettings
from dpa_sse.ops.md.simulate import Outcome, finish, simulate
from dpa_sse.ops.md.tasks import finished, make_job, read_task, run_record, write_empty


def explore(
    task: Path, models: Sequence[Path], type_map: Sequence[str], settings: ConcurrentLearningSettings, out: Path
) -> None:
    """Run one exploration task; write the trajectory and ``model_devi.csv`` with one row for each frame.

    The deviations are those of DP-GEN: ``max_devi_f`` is the largest, over the atoms, of the standard deviation of the
    force over the models (eV/Angstrom). A run that explodes does not raise: its frames end before the explosion.

    Parameters
    ----------
    task : Path
        Task folder of the preparing step; a folder that does not exist is an empty task.
    models : sequence of Path
        All models of the ensemble in their order; the task names those that passed the sanity MD. The first of them
        drives.
    type_map : sequence of str
    settings : ConcurrentLearningSettings
    out : Path
    """
    if finished(out):
        return
    found = read_task(task)
    if found is None:
        write_empty(out)
        return
    atoms, numbers = found
    record = {
        **run_record(atoms, numbers), "models": numbers["models"], "iteration": numbers["iteration"],
        "stage": numbers["stage"], "cell": numbers["cell"],
        "n_frames_expected": numbers["steps"] // settings.sample_every + 1,
    }
    if len(numbers["models"]) < 2:
        reason = f"{len(numbers['models'])} of {len(models)} models passed the sanity MD; the deviation needs two"
        finish(out, Outcome("failed", reason), record)
        return
    ensemble = [Path(models[index]) for index in numbers["models"]]
    outcome = simulate(make_job(atoms, numbers, ensemble, type_map, melt=False), out)
    # the frames before an explosion are good, and exactly what is looked for
    finish(out, outcome, record, partial=outcome.status == "exploded")
