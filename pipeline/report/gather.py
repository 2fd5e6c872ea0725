"""From the results of the steps to the inputs of the report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dpa_sse.ops.results.active import CurvePoint
from dpa_sse.ops.results.dataset import FailedTask
from dpa_sse.ops.results.evaluation import Evaluation
from dpa_sse.ops.results.md import MdRun
from dpa_sse.ops.results.model import ModelInfo
from dpa_sse.ops.runtime.events import Event
from dpa_sse.ops.runtime.groups import results
from dpa_sse.pipeline.report.inputs import ReportInputs
from dpa_sse.pipeline.report.records import StageRecord, StageState
from dpa_sse.pipeline.runs.folder import Run
from dpa_sse.pipeline.runs.plan import PlannedStep
from dpa_sse.pipeline.runs.provenance import provenance
from dpa_sse.pipeline.runs.stage_status import stage_status
from dpa_sse.pipeline.runs.stage_times import split_starts
from dpa_sse.pipeline.runs.targets import TargetView

STATES: dict[str, StageState] = {"done": "ok", "failed": "failed", "running": "unfinished", "waiting": "skipped"}


@dataclass(frozen=True)
class FinishedSteps:
    """Result folders of the finished steps; those of a fan-out are lists of folders or of its groups."""

    training_data: Path | None = None
    pretrained: Path | None = None
    errors: Path | None = None
    teacher_data: Path | None = None
    student: Path | None = None
    student_errors: Path | None = None
    gates: Path | None = None
    rounds: Path | None = None
    self_check: Path | None = None
    corrected_errors: Path | None = None
    conductivity: Path | None = None
    variants: Sequence[Path] | None = None
    trajectories: Sequence[Path] | None = None
    curve: Sequence[Path] | None = None


def report_inputs(
    steps: FinishedSteps, config: Path, run: Path | None, work: Path, view: TargetView | None = None
) -> ReportInputs:
    """Return the inputs of the report.

    Parameters
    ----------
    steps : FinishedSteps
    config : Path
        Resolved configuration.
    run : Path or None
        Run folder, for times and failures; None in a pod.
    work : Path
        Receives the provenance of a run without one.
    view : TargetView, optional
        What the run has of a target, for a page about that target.
    """
    student_errors = steps.corrected_errors or steps.student_errors  # those of the model that ran the MD
    folders = [folder for folder in (steps.errors, student_errors) if folder]
    return ReportInputs(
        config=config,
        provenance=_provenance(run, work),
        stages=() if not run else _stages(view.plan, view.events) if view else stages_of_run(Run(run)),
        seed_data=steps.training_data / "dataset" if steps.training_data else None,
        learning_state=steps.training_data,
        models=models_of(steps),
        evaluations={
            path.parent.name: path.parent for folder in folders for path in sorted(folder.glob(f"*/{Evaluation.FILE}"))
        },
        teacher_filter=steps.teacher_data,
        parity=_parity(steps.student),
        md=flatten_groups(steps.trajectories),
        gates=steps.gates,
        rounds=steps.rounds,
        curve=[folder for folder in flatten_groups(steps.curve) if (folder / CurvePoint.FILE).is_file()],
        self_check=steps.self_check,
        conductivity=steps.conductivity,
    )


def _parity(student: Path | None) -> Path | None:
    """Return the comparison of the files of a student; a model that was made elsewhere has none."""
    path = student / "parity.json" if student else None
    return path if path and path.is_file() else None


def models_of(steps: FinishedSteps) -> dict[str, Path]:
    """Return the model folders by their name in the report."""
    found: dict[str, Path] = {}
    if steps.training_data:
        for folder in sorted((steps.training_data / "models").glob("model.*")):
            found[f"ensemble-{int(folder.name[6:])}"] = folder
    if steps.pretrained:
        found["pretrain"] = steps.pretrained
    for folder in flatten_groups(steps.variants):
        if (folder / "model.json").is_file():
            info = ModelInfo.read(folder)
            found["from_scratch" if info.strategy == "from_scratch" else "finetune"] = folder
    if steps.student:
        found["student"] = steps.student
    return found


def flatten_groups(folders: Sequence[Path] | None) -> list[Path]:
    """Return the result folders of a fan-out, given as they are or as groups."""
    found = [Path(folder) for folder in folders or ()]
    return results(found) if found and found[0].name.startswith("group.") else found


def inputs_of_run(run: Run, work: Path) -> ReportInputs:
    """Return the inputs of the report from the run folder of a project with one compound: all finished steps."""
    return report_inputs(
        finished_steps(run.finished(), run.ended()), run.folder / "config.resolved.yaml", run.folder, work
    )


def finished_steps(finished: Mapping[str, Path], ended: Mapping[str, Path]) -> FinishedSteps:
    """Return the results of a project with one compound by the names of its tasks; ``ended`` has failed ones, too."""
    def latest(step: str) -> list[Path]:
        return [folder for task, folder in sorted(finished.items()) if task == step or task.startswith(f"{step}-")]

    def of_rounds(step: str) -> list[Path]:
        """Return the results of a step of the loop back to labels, those of the last round last."""
        return [folder for task, folder in sorted(finished.items()) if re.fullmatch(rf"{step}-i\d+", task)]

    students = of_rounds("correct-student")
    md = f"md-i{len(students) - 1:03d}-" if students else "md-"  # runs with the final student
    return FinishedSteps(
        training_data=base_data(finished),
        pretrained=finished.get("pretrain"),
        errors=finished.get("evaluate") or finished.get("evaluate-pretrained"),
        teacher_data=finished.get("teacher-labels"),
        student=final_student(finished),
        student_errors=finished.get("evaluate-student"),
        gates=ended.get("gates"),  # a verdict that has ended the run, too
        rounds=last_round(finished),
        conductivity=finished.get("conductivity"),
        variants=latest("finetune"),
        curve=latest("curve"),
        trajectories=[folder for task, folder in _productions(ended) if task.startswith(md)],
        self_check=self_check_folder(finished),
        corrected_errors=finished.get("evaluate-corrected"),
    )


BASE_DATA = ("collect", "user-data", "simplify-select", "merge")
"""Steps that make the data of the base systems, the last one last."""


def base_data(finished: Mapping[str, Path]) -> Path | None:
    """Return the data of the base systems as the latest finished step has left them; None if there are none."""
    for step in reversed(BASE_DATA):
        found = [folder for task, folder in sorted(finished.items()) if re.fullmatch(rf"{step}(-i\d+)?", task)]
        if found:
            return found[-1]
    return None


def production_folders(run: Run) -> list[Path]:
    """Return the production runs of the last round that has any; one that melted or exploded is a result, too."""
    return [folder for _, folder in _productions(run.ended())]


def _productions(ended: Mapping[str, Path]) -> list[tuple[str, Path]]:
    """Return task and folder of the production runs of the last round that has any."""
    rounds: dict[str, list[tuple[str, Path]]] = {}
    for task, folder in sorted(ended.items()):
        if (one := re.fullmatch(r"md(-i\d+)?(-\d+)?", task)) and (folder / MdRun.FILE).is_file():
            rounds.setdefault(one[1] or "", []).append((task, folder))
    return rounds[max(rounds)] if rounds else []


def self_check_folder(finished: Mapping[str, Path]) -> Path | None:
    """Return the folder of the self-check of the last round."""
    rounds = sorted(task for task in finished if re.fullmatch(r"self-check-i\d+", task))
    return finished[rounds[-1]] if rounds else None


def last_round(finished: Mapping[str, Path]) -> Path | None:
    """Return the folder of the data of the last round of active fine-tuning."""
    rounds = {
        int(one[1]): folder for task, folder in finished.items() if (one := re.fullmatch(r"round(\d+)-collect", task))
    }
    return rounds[max(rounds)] if rounds else None


def final_student(finished: Mapping[str, Path]) -> Path | None:
    """Return the folder of the student that ran the production: that of the last round of the loop back to labels."""
    rounds = sorted(task for task in finished if re.fullmatch(r"correct-student-i\d+", task))
    return finished[rounds[-1]] if rounds else finished.get("student")


def _provenance(run: Path | None, work: Path) -> Path:
    if run is not None and (run / "manifest.json").is_file():
        return run / "manifest.json"
    provenance(0).write(work / "provenance.json")
    return work / "provenance.json"


def _remarks(events: Sequence[Event], stage: str) -> tuple[str, ...]:
    """Return the remarks on reused results of a stage, each once."""
    reused = [event for event in events if event.kind == "cached" and event.stage == stage]
    return tuple(sorted({event.reason for event in reused if event.reason}))


def stages_of_run(run: Run) -> list[StageRecord]:
    """Return the stages of a run."""
    return with_hours(_stages(run.plan(), run.events()), run)


def with_hours(stages: list[StageRecord], run: Run) -> list[StageRecord]:
    """Return the stages with what their jobs on a batch system have used."""
    from dpa_sse.pipeline.engines.slurm.usage import run_usage

    usage = run_usage(run.engine)
    used = {one.stage: one for one in usage.stages} if usage else {}
    return [
        replace(stage, core_hours=used[stage.name].core_hours, gpu_hours=used[stage.name].gpu_hours,
                hours_by=usage.source) if usage and stage.name in used else stage
        for stage in stages
    ]


def _stages(plan: Sequence[PlannedStep], events: Sequence[Event]) -> list[StageRecord]:
    _, latest = split_starts(events)
    began = latest[0].time if latest else 0.0
    return [
        StageRecord(
            name=stage.name,
            title=stage.title,
            status=STATES[stage.status] if not (stage.failed and stage.done) else "partial",
            seconds=round(stage.seconds, 1),
            ended_after_s=round((stage.ended or began) - began, 1),
            tasks=stage.tasks,
            tasks_failed=stage.failed,
            tasks_earlier=stage.cached,
            other_versions=_remarks(latest, stage.name),
            failures=tuple(FailedTask(task=one.task, reason=one.reason) for one in stage.failures),
        )
        for stage in stage_status(plan, events)
        if stage.name != "09-report"
    ]
