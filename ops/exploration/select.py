"""Selection of the frames to label by the trust levels of dpgen2, and the step to the next iteration."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.dataset import read_dataset
from dpa_sse.ops.exploration.diversity import Arrays, arrays_of_blocks, diverse_order
from dpa_sse.ops.exploration.settings import ConcurrentLearningSettings
from dpa_sse.ops.exploration.similarity import KnownFrames, objection
from dpa_sse.ops.exploration.state import current_stage, initial_state, next_state
from dpa_sse.ops.exploration.tasks import write_tasks
from dpa_sse.ops.exploration.trust import BEYOND, Deviations, Exploration, sort_frames
from dpa_sse.ops.md.trajectory import Frame, read_dump
from dpa_sse.ops.results.dataset import FailedTask
from dpa_sse.ops.results.learning import DroppedCandidates, IterationReport, LearningState, SanityCheck
from dpa_sse.ops.results.md import ExplorationRun
from dpa_sse.ops.results.status import TaskStatus

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["initial_state", "select_candidates", "static_label_count"]

@dataclass
class Choice:
    """Selected frames, and the number of candidates left out, by reason."""

    frames: list[Atoms] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=lambda: {"unphysical": 0, "known": 0, "similar": 0})
    passed_over: int = 0


def static_label_count(settings: ConcurrentLearningSettings) -> int:
    """Return the largest number of labelling tasks of an iteration."""
    return math.ceil(settings.max_selected / settings.frames_per_task)


def select_candidates(
    state: LearningState,
    settings: ConcurrentLearningSettings,
    results: Sequence[Path],
    dataset: Path | None,
    seed: int,
    out: Path,
    *,
    sanity: SanityCheck | None = None,
    model: Path | None = None,
    systems: Collection[str] = (),
) -> IterationReport:
    """Sort the explored frames by deviation, select candidates, and write the input of the next steps.

    Accurate, candidate and failed are those of dpgen2 (``ExplorationReportTrustLevelsRandom``, or
    ``ExplorationReportAdaptiveLower``). A frame also counts as failed when its deviation is not a number, or when the
    run exploded before it. Candidates are taken in a seeded random order; unphysical ones, those that are in
    the data set already, and those closer than 0.05 Angstrom (dRMSD) to a selected one are left out.

    Parameters
    ----------
    state : LearningState
        State before this iteration.
    settings : ConcurrentLearningSettings
    results : sequence of Path
        Output folders of the exploration tasks; empty tasks are skipped.
    dataset : Path, optional
        Current data set.
    seed : int
    out : Path
        Receives ``tasks/task.000/frames.extxyz`` ..., ``report.json`` and ``state.json``.
    sanity : SanityCheck, optional
        Outcome of the sanity MD, for the report.
    model : Path, optional
        Model whose descriptor tells how different candidates are; needed for diverse ones.
    systems : collection of str
        Systems that were to be explored: one without any run keeps the stage from converging.

    Returns
    -------
    IterationReport

    Raises
    ------
    FatalError
        No frame is accurate or a candidate: there is nothing to label, and the next models would be trained on the
        same data again.
    """
    runs, failures = read_explorations(results)
    found = sort_frames(runs, state, settings)
    found = replace(found, missing=sorted(set(systems) - {run.record.system for run in runs}))
    rng = np.random.default_rng(derive_seed(seed, "select", state.iteration))
    frames = _load(runs, found.candidates)
    order = rng.permutation(len(found.candidates))
    if settings.selection == "diverse" and model is not None and len(order) > settings.max_selected:
        candidates = [frames[place].atoms() for place in found.candidates]
        order = diverse_order(candidates, order, settings.max_selected, _trained_on(dataset), model)
    choice = _choose(runs, found.candidates, frames, order, settings.max_selected, KnownFrames(dataset))
    write_tasks(choice.frames, settings.frames_per_task, out / "tasks")
    report = IterationReport(
        iteration=state.iteration,
        stage=state.stage,
        accurate=found.count("accurate"),
        candidate=found.count("candidate"),
        failed=found.count("failed"),
        accurate_ratio=found.share("accurate"),
        candidate_ratio=found.share("candidate"),
        failed_ratio=found.share("failed"),
        relative=any(run.record.epsilon_eV_A is not None for run in runs),
        max_devi_f=float(found.forces.max()) if found.forces.size else None,
        mean_devi_f=float(found.forces.mean()) if found.forces.size else None,
        max_devi_v_eV_atom=float(found.virials.max()) if found.virials.size else None,
        groups=tuple(found.groups),
        converged=found.converged,
        selected=len(choice.frames),
        dropped=DroppedCandidates(**choice.dropped),
        passed_over=choice.passed_over,
        runs=len(runs),
        runs_exploded=sum(run.record.status == "exploded" for run in runs),
        runs_failed=failures,
        sanity=sanity.models if sanity is not None else (),
        message=_message(found, len(runs), state, settings),
    )
    report.write(out)
    if advice := _hopeless(report, state, settings, runs):
        raise FatalError(advice)
    next_state(state, settings, report).write(out)
    return report


def read_explorations(results: Sequence[Path]) -> tuple[list[Exploration], list[FailedTask]]:
    """Return the runs with frames, and the failed tasks with their reasons."""
    runs, failures = [], []
    for folder in results:
        status = TaskStatus.of_folder(folder)
        if status.usable:
            runs.append(_read_exploration(folder))
        elif status.status == "failed":
            failures.append(FailedTask(task=folder.name, reason=status.reason))
    return runs, failures


def _read_exploration(folder: Path) -> Exploration:
    record = ExplorationRun.read(folder)
    every = round(record.dump_every_fs / record.timestep_fs)
    steps = [number * every for number in range(record.n_frames_expected)]
    with (folder / "model_devi.csv").open(newline="", encoding="utf-8") as stream:
        rows = {int(row["step"]): row for row in csv.DictReader(stream)}
    forces, virials = (
        np.array([
            float(rows.get(step, {}).get(name) or BEYOND) if number < record.n_frames else BEYOND
            for number, step in enumerate(steps)
        ])
        for name in ("max_devi_f", "max_devi_v")
    )
    return Exploration(folder, record, steps, forces, virials)


def _choose(
    runs: Sequence[Exploration], candidates: Sequence[tuple[int, int]], frames: dict[tuple[int, int], Frame],
    order: np.ndarray, limit: int, known: KnownFrames,
) -> Choice:
    """Take candidates in this order up to the limit."""
    choice = Choice()
    taken: dict[str, list[np.ndarray]] = {}
    for place in order:
        if len(choice.frames) == limit:
            choice.passed_over += 1
            continue
        run, number = candidates[place]
        frame = frames[run, number]
        atoms = frame.atoms()
        if reason := objection(atoms, known, taken):
            choice.dropped[reason] += 1
            continue
        record = runs[run].record
        atoms.info = {
            "system": record.system,
            "trajectory": f"{record.system}.i{record.iteration:02d}.r{run:03d}",
            "temperature_K": record.temperature_K,
            "pressure_GPa": record.pressure_GPa,
            "step": frame.step,
            **_deviation(runs[run], number),
        }
        choice.frames.append(atoms)
    return choice


def _deviation(run: Exploration, number: int) -> dict[str, float]:
    """Return the deviations of a frame under names with their units."""
    name = "max_devi_f_eV_A" if run.record.epsilon_eV_A is None else "max_devi_f_relative"
    virial = float(run.virials[number])
    return {name: float(run.forces[number]), **({"max_devi_v_eV_atom": virial} if virial < BEYOND else {})}


def _trained_on(dataset: Path | None) -> list[Arrays]:
    """Return the training frames of a data set."""
    if dataset is None:
        return []
    type_map, blocks = read_dataset(dataset)
    return arrays_of_blocks([block for block in blocks if block.split == "train"], type_map)


def _load(runs: Sequence[Exploration], candidates: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Frame]:
    wanted = set(candidates)
    frames: dict[tuple[int, int], Frame] = {}
    for run in sorted({run for run, _ in candidates}):
        for number, frame in enumerate(read_dump(runs[run].folder / "traj.lammpstrj")):
            if (run, number) in wanted:
                frames[run, number] = frame
    return frames


def _hopeless(
    report: IterationReport, state: LearningState, settings: ConcurrentLearningSettings, runs: Sequence[Exploration]
) -> str:
    """Return why concurrent learning cannot continue from an exploration, and what to change; empty if it can."""
    if report.accurate or report.candidate:
        return ""
    stage, place = current_stage(state, settings), f"concurrent_learning.stages.{state.stage}"
    if not runs:
        what = "no run produced frames"
    else:
        numbers = np.concatenate([run.forces for run in runs])
        finite = numbers[numbers < BEYOND]
        upper = ", ".join(dict.fromkeys(group.upper for group in report.groups))
        what = f"all {report.failed} frames are at or above the upper trust level ({upper})"
        unit = "" if report.relative else " eV/A"
        what += f", their median deviation is {np.median(finite):.2g}{unit}" if finite.size else " or not a number"
        if report.runs_exploded:
            what += f"; {report.runs_exploded} of {report.runs} runs exploded"
    temperatures = f"{min(stage.temperatures_K):g}" + (
        f" to {max(stage.temperatures_K):g}" if len(stage.temperatures_K) > 1 else ""
    )
    return (
        f"exploration failed as a whole in iteration {state.iteration} ({temperatures} K): {what}. There is nothing to "
        "label, and the next models would be trained on the same data again. Start with a stage at lower temperatures "
        f"or with fewer steps (`{place}`), start from more data (`perturb.count`, `aimd.steps`), train for longer "
        "(`concurrent_learning.train.steps`), or, if such deviations are as small as the forces allow, raise "
        f"the upper trust level (`concurrent_learning.trust.{'relative.hi' if report.relative else 'force_hi_eV_A'}`)"
    )


def _message(found: Deviations, n_runs: int, state: LearningState, settings: ConcurrentLearningSettings) -> str:
    """Return the outcome in one sentence."""
    accurate = found.share("accurate")
    if not n_runs or accurate is None:
        return "no exploration run produced frames; nothing to label"
    last = state.iteration_in_stage + 1 >= current_stage(state, settings).max_iterations
    share = f"{100 * accurate:.0f} % of the frames are accurate"
    for group in found.groups:
        if group.adaptive:
            share += f", lower trust level {group.lower}"
    open_ = [name for group in found.groups if not group.converged for name in group.systems]
    if len(found.groups) > 1 and open_ and len(open_) < sum(len(group.systems) for group in found.groups):
        share += f"; not converged: {', '.join(open_)}"
    if found.missing:
        share += f"; no run of {', '.join(found.missing)}"
    if found.converged and not state.iteration_in_stage:
        return (
            f"stage {state.stage} converged at once: {share} for models that have seen no frame of it; does it explore "
            "more than the data before it?"
        )
    if found.converged:
        return f"stage {state.stage} converged: {share}"
    if last:
        return f"stage {state.stage} not converged after its last iteration: {share}"
    return f"stage {state.stage} continues: {share}"
