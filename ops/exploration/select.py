"""Choice of the frames to label, by the trust levels of dpgen2, and the step to the next iteration."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpa_sse.ops.core.files import atomic_path, write_json
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.exploration.settings import ConcurrentLearningSettings, TrustSettings
from dpa_sse.ops.exploration.similarity import NEAR, KnownFrames, distance, pair_distances
from dpa_sse.ops.exploration.state import current_stage, initial_state, next_state
from dpa_sse.ops.md.monitor import CLOSEST, Geometry
from dpa_sse.ops.md.trajectory import Frame, read_dump
from dpa_sse.ops.results.md import ExplorationRun
from dpa_sse.ops.results.status import TaskStatus

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["initial_state", "select_candidates", "static_label_count"]

BEYOND = 1.0e3  # eV/Angstrom; stands for a frame that exploded or has no deviation


@dataclass
class Exploration:
    """One exploration run: its record and the deviation of each frame that it should have."""

    folder: Path
    record: ExplorationRun
    steps: list[int]
    deviations: np.ndarray  # max_devi_f, eV/Angstrom; BEYOND where there is no number


@dataclass
class Choice:
    """Chosen frames, and how many candidates were left out and why."""

    frames: list[Atoms] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=lambda: {"unphysical": 0, "known": 0, "similar": 0})
    passed_over: int = 0


def static_label_count(settings: ConcurrentLearningSettings) -> int:
    """Return the largest number of labelling tasks of an iteration."""
    return math.ceil(settings.max_selected / settings.frames_per_task)


def select_candidates(
    state: dict[str, Any],
    settings: ConcurrentLearningSettings,
    results: Sequence[Path],
    dataset: Path | None,
    seed: int,
    out: Path,
    *,
    sanity: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Sort the explored frames by their deviation, choose candidates, and write what the next steps need.

    Accurate, candidate and failed are those of dpgen2's ``ExplorationReportTrustLevelsRandom``: ``max_devi_f``
    below ``lo``, between, at or above ``hi``. A frame counts as failed as well when its deviation is not a number,
    or when the run had exploded before it. Candidates are taken in a seeded random order; left out are
    unphysical ones, those that the data set holds already, and those nearer than 0.05 Angstrom (dRMSD) to a
    chosen one.

    Parameters
    ----------
    state : dict
        State before this iteration.
    settings : ConcurrentLearningSettings
    results : sequence of Path
        Output folders of the exploration tasks; empty tasks are skipped.
    dataset : Path, optional
        The data set so far.
    seed : int
    out : Path
        Receives ``tasks/task.000/frames.extxyz`` ..., ``report.json`` and ``state.json``.
    sanity : sequence of dict
        Results of the sanity MD, for the report.

    Returns
    -------
    dict
        The report.
    """
    runs, failures = read_explorations(results)
    report = _counts(runs, settings.trust, settings.conv_accuracy)
    candidates = report.pop("candidates")
    rng = np.random.default_rng(derive_seed(seed, "select", int(state["iteration"])))
    choice = _choose(runs, candidates, settings.max_selected, KnownFrames(dataset), rng)
    _write_tasks(choice.frames, settings.frames_per_task, out / "tasks")
    report = {
        "iteration": int(state["iteration"]), "stage": int(state["stage"]), **report,
        "selected": len(choice.frames), "dropped": choice.dropped, "passed_over": choice.passed_over,
        "runs": len(runs), "runs_exploded": sum(run.record.status == "exploded" for run in runs),
        "runs_failed": failures, "sanity": list(sanity),
    }
    report["message"] = _message(report, state, settings)
    write_json(out / "report.json", report)
    write_json(out / "state.json", next_state(state, settings, report))
    return report


def read_explorations(results: Sequence[Path]) -> tuple[list[Exploration], list[dict[str, str]]]:
    """Return the runs that gave frames, and the tasks that failed with their reasons."""
    runs, failures = [], []
    for folder in results:
        status = TaskStatus.of_folder(folder)
        if status.usable:
            runs.append(_read_exploration(folder))
        elif status.status == "failed":
            failures.append({"task": folder.name, "reason": status.reason})
    return runs, failures


def _read_exploration(folder: Path) -> Exploration:
    record = ExplorationRun.read(folder)
    with (folder / "model_devi.csv").open(newline="", encoding="utf-8") as stream:
        rows = {int(row["step"]): row["max_devi_f"] for row in csv.DictReader(stream)}
    every = round(record.dump_every_fs / record.timestep_fs)
    steps = [number * every for number in range(record.n_frames_expected)]
    values = [float(rows.get(step) or BEYOND) for step in steps]
    usable = [min(value, BEYOND) if number < record.n_frames else BEYOND for number, value in enumerate(values)]
    return Exploration(folder, record, steps, np.array(usable))


def _counts(runs: Sequence[Exploration], trust: TrustSettings, conv_accuracy: float) -> dict[str, Any]:
    """Return dpgen2's counts, ratios and verdict, and the candidates as (run, frame) pairs."""
    empty = {
        "accurate": 0, "candidate": 0, "failed": 0, "accurate_ratio": None, "candidate_ratio": None,
        "failed_ratio": None, "max_devi_f_eV_A": None, "mean_devi_f_eV_A": None,
    }
    levels = {"force_lo_eV_A": trust.force_lo_eV_A, "force_hi_eV_A": trust.force_hi_eV_A}
    if not runs:
        return {**empty, **levels, "converged": False, "candidates": []}
    from dpgen2.exploration.deviation import DeviManager, DeviManagerStd
    from dpgen2.exploration.report import ExplorationReportTrustLevelsRandom

    deviations = DeviManagerStd()
    for run in runs:
        deviations.add(DeviManager.MAX_DEVI_F, run.deviations)
    report = ExplorationReportTrustLevelsRandom(trust.force_lo_eV_A, trust.force_hi_eV_A, conv_accuracy=conv_accuracy)
    report.record(deviations)
    accurate, failed = (sum(map(len, sets)) for sets in (report.traj_accu, report.traj_fail))
    converged = bool(report.converged())
    ratios = [report.accurate_ratio(), report.candidate_ratio(), report.failed_ratio()]
    chosen = report.get_candidate_ids()
    candidates = sorted((run, int(frame)) for run, frames in enumerate(chosen) for frame in frames)
    numbers = np.concatenate([run.deviations for run in runs])
    numbers = numbers[numbers < BEYOND]
    return {
        "accurate": accurate, "candidate": len(candidates), "failed": failed,
        **dict(zip(("accurate_ratio", "candidate_ratio", "failed_ratio"), ratios, strict=True)),
        "max_devi_f_eV_A": float(numbers.max()) if numbers.size else None,
        "mean_devi_f_eV_A": float(numbers.mean()) if numbers.size else None,
        **levels, "converged": converged, "candidates": candidates,
    }


def _choose(
    runs: Sequence[Exploration], candidates: Sequence[tuple[int, int]], limit: int, known: KnownFrames,
    rng: np.random.Generator,
) -> Choice:
    """Take candidates in random order until there are enough."""
    choice = Choice()
    frames = _load(runs, candidates)
    taken: dict[str, list[np.ndarray]] = {}
    for place in rng.permutation(len(candidates)):
        if len(choice.frames) == limit:
            choice.passed_over += 1
            continue
        run, number = candidates[place]
        frame = frames[run, number]
        reason = _objection(frame, known, taken)
        if reason:
            choice.dropped[reason] += 1
            continue
        atoms = frame.atoms()
        record = runs[run].record
        atoms.info = {
            "system": record.system,
            "trajectory": f"{record.system}.i{record.iteration:02d}.r{run:03d}",
            "temperature_K": record.temperature_K,
            "pressure_GPa": record.pressure_GPa,
            "step": frame.step,
            "max_devi_f_eV_A": float(runs[run].deviations[number]),
        }
        choice.frames.append(atoms)
    return choice


def _load(runs: Sequence[Exploration], candidates: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Frame]:
    wanted = set(candidates)
    frames: dict[tuple[int, int], Frame] = {}
    for run in sorted({run for run, _ in candidates}):
        for number, frame in enumerate(read_dump(runs[run].folder / "traj.lammpstrj")):
            if (run, number) in wanted:
                frames[run, number] = frame
    return frames


def _objection(frame: Frame, known: KnownFrames, taken: dict[str, list[np.ndarray]]) -> str | None:
    """Return why a candidate is left out; remember it when it is not."""
    if Geometry(frame.symbols).measure(frame.cell, frame.positions)[0] < CLOSEST:
        return "unphysical"
    atoms = frame.atoms()
    if known.holds(atoms):
        return "known"
    group = taken.setdefault("".join(frame.symbols), [])
    distances = pair_distances(atoms)
    if any(distance(distances, other) < NEAR for other in group):
        return "similar"
    group.append(distances)
    return None


def _write_tasks(frames: Sequence[Atoms], group: int, out: Path) -> None:
    """Write the chosen frames in groups of ``group``; no folder for an empty group."""
    from ase.io import write

    out.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(frames), group)):
        with atomic_path(out / f"task.{number:03d}" / "frames.extxyz") as temporary:
            write(temporary, frames[start : start + group], format="extxyz")


def _message(report: dict[str, Any], state: dict[str, Any], settings: ConcurrentLearningSettings) -> str:
    """Return what happened in a sentence."""
    if not report["runs"]:
        return "no exploration run gave frames; nothing to label"
    last = int(state["iteration_in_stage"]) + 1 >= current_stage(state, settings).max_iterations
    share = f"{100 * report['accurate_ratio']:.0f} % of the frames are accurate"
    if report["converged"]:
        return f"stage {report['stage']} converged: {share}"
    if last:
        return f"stage {report['stage']} not converged after its last iteration: {share}"
    return f"stage {report['stage']} goes on: {share}"
