"""Short MD with every new model; models that blow up are excluded from exploration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpa_sse.ops.core.files import read_json
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.exploration.prepare import perturbed_cells
from dpa_sse.ops.exploration.settings import ConcurrentLearningSettings
from dpa_sse.ops.exploration.state import current_stage
from dpa_sse.ops.md.simulate import Job, Outcome, finish, simulate_all
from dpa_sse.ops.md.tasks import make_job, run_record
from dpa_sse.ops.results.learning import LearningState, SanityCheck, SanityResult
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

    A model passes when none of its runs explodes. The runs are short, so several run at the same time with one thread
    each. A finished ``sanity.json`` is returned as it is.

    Parameters
    ----------
    models : sequence of Path
        Model folders of the ensemble.
    cells : Path
        Folder with ``task.000/cell.extxyz`` ... of the perturbing step.
    state : LearningState
    settings : ConcurrentLearningSettings
        With ``sanity_steps = 0`` every model passes without a run.
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
    results: list[list[dict[str, Any]]] = [[] for _ in models]
    if settings.sanity_steps:
        _run_missing(models, starts, temperature, state, settings, type_map, seed, out)
        results = [
            [read_json(_folder(out, model, number) / "run.json") for number in range(len(starts))]
            for model in range(len(models))
        ]
    sanity = SanityCheck(
        models=tuple(_result(index, runs, temperature, settings.sanity_steps) for index, runs in enumerate(results))
    )
    sanity.write(out)
    return sanity


def _folder(out: Path, model: int, number: int) -> Path:
    return out / "sanity" / f"model.{model:03d}" / f"{number:03d}"


def _run_missing(
    models: Sequence[Path],
    starts: dict[str, Atoms],
    temperature: float,
    state: LearningState,
    settings: ConcurrentLearningSettings,
    type_map: Sequence[str],
    seed: int,
    out: Path,
) -> None:
    """Run those that have no ``status.json`` yet."""
    runs: list[tuple[Job, Path]] = []
    records = []
    for model, path in enumerate(models):
        for number, (system, atoms) in enumerate(starts.items()):
            folder = _folder(out, model, number)
            if TaskStatus.path_in(folder).exists():
                continue
            folder.mkdir(parents=True, exist_ok=True)
            task = {
                "system": system, "ensemble": "npt", "temperature_K": temperature, "pressure_GPa": 0.0, "replica": 0,
                "timestep_fs": settings.timestep_fs, "equilibration_steps": 0, "steps": settings.sanity_steps,
                "dump_every": settings.sample_every, "restart_every": 0,
                "seed": derive_seed(seed, "sanity", system, state.iteration),
            }
            runs.append((make_job(atoms, task, [path], type_map, melt=False), folder))
            records.append(run_record(atoms, task))
    outcomes: list[Outcome] = simulate_all(runs)
    for (_, folder), record, outcome in zip(runs, records, outcomes, strict=True):
        finish(folder, outcome, record)


def _result(model: int, runs: list[dict[str, Any]], temperature: float, steps: int) -> SanityResult:
    bad = [f"{run['system']}: {run['status']}, {run['reason']}" for run in runs if run["status"] != "ok"]
    hottest = [run["max_temperature_K"] for run in runs if run["max_temperature_K"] is not None]
    return SanityResult(
        model=model,
        status="failed" if bad else "ok",
        reason="; ".join(bad),
        max_temperature_K=max(hottest, default=None),
        temperature_K=temperature,
        steps=steps,
    )
