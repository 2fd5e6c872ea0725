"""From the results of the steps to what the report reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.files import read_json, write_json
from dpa_sse.ops.runtime.groups import results
from dpa_sse.pipeline.report.inputs import ReportInputs
from dpa_sse.pipeline.runs.folder import Run
from dpa_sse.pipeline.runs.provenance import provenance
from dpa_sse.pipeline.runs.stage_status import stage_status
from dpa_sse.pipeline.runs.stage_times import split_starts

WORDS = {"done": "ok", "failed": "failed", "running": "unfinished", "waiting": "skipped"}


def report_inputs(made: Mapping[str, Any], config: Path, run: Path | None, work: Path) -> ReportInputs:
    """Return the inputs of the report.

    Parameters
    ----------
    made : mapping
        Result folders by name (training_data, pretrained, errors, teacher_data, student, student_errors,
        conductivity; variants and trajectories are lists); absent ones are missing, None or empty.
    config : Path
        Resolved configuration.
    run : Path or None
        Run folder, for times and failures; None in a pod.
    work : Path
        Receives the small files that are made for the report.
    """
    errors = [folder for folder in (made.get("errors"), made.get("student_errors")) if folder]
    evaluations = {
        path.parent.name: path.parent
        for folder in errors
        for name in ("evaluation.json", "errors.json")
        for path in sorted(folder.glob(f"*/{name}"))
    }
    student = made.get("student")
    filtered = made.get("teacher_data")
    return ReportInputs(
        config=config,
        provenance=_provenance(run, work),
        stages=_stages(run, work),
        seed_data=made["training_data"] / "dataset" if made.get("training_data") else None,
        learning_state=made.get("training_data"),
        models=models_of(made),
        evaluations=evaluations,
        distill_filter=filtered / "filter.json" if filtered else None,
        parity=student / "parity.json" if student else None,
        md=as_folders(made.get("trajectories")),
        conductivity=made.get("conductivity"),
    )


def models_of(made: Mapping[str, Any]) -> dict[str, Path]:
    """Return the model folders by the name that the report gives them."""
    found: dict[str, Path] = {}
    if made.get("training_data"):
        for folder in sorted((made["training_data"] / "models").glob("model.*")):
            found[f"ensemble-{int(folder.name[6:])}"] = folder
    if made.get("pretrained"):
        found["pretrain"] = made["pretrained"]
    for folder in as_folders(made.get("variants")):
        if (folder / "model.json").is_file():
            strategy = read_json(folder / "model.json").get("strategy")
            found["from_scratch" if strategy == "from_scratch" else "finetune"] = folder
    if made.get("student"):
        found["student"] = made["student"]
    return found


def as_folders(value: Any) -> list[Path]:
    """Return result folders from groups of a fan-out, or from a plain list of folders."""
    folders = [Path(item) for item in value or []]
    return results(folders) if folders and folders[0].name.startswith("group.") else folders


def inputs_of_run(run: Run, work: Path) -> ReportInputs:
    """Return the inputs of the report from a run folder, whatever of it has finished."""
    finished = run.finished()

    def latest(step: str) -> list[Path]:
        return [folder for task, folder in sorted(finished.items()) if task == step or task.startswith(f"{step}-")]

    def only(step: str) -> Path | None:
        return finished.get(step)

    merged = [folder for task, folder in sorted(finished.items()) if task.startswith("merge-i")]
    made = {
        "training_data": merged[-1] if merged else only("user-data") or only("collect"),
        "pretrained": only("pretrain"),
        "errors": only("evaluate"),
        "teacher_data": only("teacher-labels"),
        "student": only("student"),
        "student_errors": only("evaluate-student"),
        "conductivity": only("conductivity"),
        "variants": latest("finetune"),
        "trajectories": [folder for folder in latest("md") if (folder / "run.json").is_file()],
    }
    return report_inputs(made, run.folder / "config.resolved.yaml", run.folder, work)


def _provenance(run: Path | None, work: Path) -> Path:
    if run is not None and (run / "manifest.json").is_file():
        return run / "manifest.json"
    provenance(0).write(work / "provenance.json")
    return work / "provenance.json"


def _stages(run: Path | None, work: Path) -> Path | None:
    if run is None:
        return None
    found = Run(run)
    events = found.events()
    _, latest = split_starts(events)
    began = latest[0].time if latest else 0.0
    rows = [
        {
            "name": stage.name,
            "title": stage.title,
            "status": WORDS[stage.status] if not (stage.failed and stage.done) else "partial",
            "seconds": round(stage.seconds, 1),
            "ended_after_s": round((stage.ended or began) - began, 1),
            "tasks": stage.tasks,
            "tasks_failed": stage.failed,
            "tasks_earlier": stage.cached,
            "failures": [{"task": one.task, "reason": one.reason} for one in stage.failures],
        }
        for stage in stage_status(found.plan(), events)
        if stage.name != "09-report"
    ]
    write_json(work / "stages.json", rows)
    return work / "stages.json"
