"""Short MD with every new model; models that blow up are excluded from exploration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.exploration.prepare import perturbed_cells
from dpa_sse.ops.exploration.settings import ConcurrentLearningSettings
from dpa_sse.ops.exploration.state import current_stage
from dpa_sse.ops.md.simulate import record_outcome, run_lammps_all
from dpa_sse.ops.md.tasks import make_job
from dpa_sse.ops.results.learning import LearningState, SanityCheck, SanityResult
from dpa_sse.ops.results.md import MdRun, MdTask
from dpa_sse.ops.results.status import TaskStatus

if TYPE_CHECKING:
    from ase import Atoms


def sanity_md(
    models: Sequence[Path],
    cells: Path,
    state: LearningState,
    settings: ConcurrentLearningSettings,
    type_map: Sequence[str],
    seed: int,
    out: Path,
) -> SanityCheck:
    """Run NPT at the highest temperature of the stage with each model, from one perturbed cell of each system.

    A model passes if none of its runs explodes. The runs are short, so several are done in parallel with one
    thread each. A finished ``sanity.json`` is returned as it is.

    Parameters
    ----------
    models : sequence of Path
        Model folders of the ensemble.
    cells : Path
        Folder with ``task.000/cell.extxyz`` ... of the perturbing step.
    state : LearningState
    settings : ConcurrentLearningSettings
        With ``sanity_steps`` 0 every model passes without a run.
    type_map : sequence of str
    seed : int
    out : Path
        Receives ``sanity.json`` and ``sanity/model.000/<number of the system>/``.

    Returns
    -------
    SanityCheck
    """
    if (found := SanityCheck.read_if_there(out)) is not None:
        return found
    temperature = max(current_stage(state, settings).temperatures_K)
    starts = {system: pool[0] for system, pool in perturbed_cells(cells).items()}
    results: list[list[MdRun]] = [[] for _ in models]
    if settings.sanity_steps:
        runs = [
            (atoms, _task(system, temperature, settings, derive_seed(seed, "sanity", system, state.iteration)))
            for system, atoms in starts.items()
        ]
        _run_missing(models, runs, type_map, out)
        results = [
            [MdRun.read(_folder(out, model, number)) for number in range(len(runs))] for model in range(len(models))
        ]
    sanity = SanityCheck(
        models=tuple(_result(index, runs, temperature, settings.sanity_steps) for index, runs in enumerate(results))
    )
    sanity.write(out)
    return sanity


def _folder(out: Path, model: int, number: int) -> Path:
    return out / "sanity" / f"model.{model:03d}" / f"{number:03d}"


def _task(system: str, temperature: float, settings: ConcurrentLearningSettings, seed: int) -> MdTask:
    return MdTask(
        system=system, ensemble="npt", temperature_K=temperature, pressure_GPa=0.0, replica=0,
        timestep_fs=settings.timestep_fs, equilibration_steps=0, steps=settings.sanity_steps,
        dump_every=settings.sample_every, restart_every=0, seed=seed,
    )


def _run_missing(
    models: Sequence[Path], runs: Sequence[tuple[Atoms, MdTask]], type_map: Sequence[str], out: Path
) -> None:
    """Do the runs that have no ``status.json`` yet: each of ``runs`` with each model."""
    missing = [
        (folder, task, make_job(atoms, task, [path], type_map, melt=False))
        for model, path in enumerate(models)
        for number, (atoms, task) in enumerate(runs)
        if not TaskStatus.path_in(folder := _folder(out, model, number)).exists()
    ]
    for folder, _, _ in missing:
        folder.mkdir(parents=True, exist_ok=True)
    outcomes = run_lammps_all([(job, folder) for folder, _, job in missing])
    for (folder, task, job), outcome in zip(missing, outcomes, strict=True):
        record_outcome(folder, outcome, task, job.atoms)


def _result(model: int, runs: list[MdRun], temperature: float, steps: int) -> SanityResult:
    bad = [f"{run.system}: {run.status}, {run.reason}" for run in runs if run.status != "ok"]
    hottest = [run.max_temperature_K for run in runs if run.max_temperature_K is not None]
    return SanityResult(
        model=model,
        status="failed" if bad else "ok",
        reason="; ".join(bad),
        max_temperature_K=max(hottest, default=None),
        temperature_K=temperature,
        steps=steps,
    )
