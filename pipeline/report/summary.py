"""The report's figures for programs: ``summary.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dpa_sse.pipeline.report.inputs import ReportData, number
from dpa_sse.pipeline.report.transport import transport_points

ERRORS = ("pretrain", "zero_shot", "zero_shot_bias", "fine_tuned", "from_scratch", "student", "student_vs_teacher")
"""Evaluations in the order in which the models are made; others follow by name."""

LABELS = {
    "pretrain": "pre-trained",
    "zero_shot": "zero-shot",
    "zero_shot_bias": "zero-shot, bias set",
    "fine_tuned": "fine-tuned",
    "from_scratch": "from scratch",
    "student": "student",
    "student_vs_teacher": "student vs teacher",
}
_ERROR_KEYS = ("energy_mae_meV_atom", "force_mae_meV_A", "virial_mae_meV_atom", "n_frames")


def overall_status(stages: Sequence[Mapping[str, Any]]) -> str | None:
    """Return ``failed``, ``partial`` (a task was lost, a stage not reached) or ``ok``; None when no stage is known."""
    if not stages:
        return None
    states = [str(stage.get("status")) for stage in stages]
    if "failed" in states:
        return "failed"
    lost = any((number(stage.get("tasks_failed")) or 0) > 0 for stage in stages)
    return "partial" if lost or any(state != "ok" for state in states) else "ok"


def summarise(data: ReportData) -> dict[str, Any]:
    """Return the content of ``summary.json``; absent numbers are None."""
    return {
        "name": data.title,
        "status": overall_status(data.stages),
        "stages": [
            {
                "name": stage.get("name"),
                "status": stage.get("status"),
                "seconds": number(stage.get("seconds")),
                "tasks": whole(stage.get("tasks")),
                "tasks_failed": whole(stage.get("tasks_failed")),
            }
            for stage in data.stages
        ],
        "errors": {
            name: {key: (whole if key == "n_frames" else number)(found.numbers.get(key)) for key in _ERROR_KEYS}
            for name, found in data.evaluations.items()
        },
        "concurrent_learning": [
            {
                "iteration": entry.get("iteration", i),
                **{key: whole(entry.get(key)) for key in ("accurate", "candidate", "failed", "labelled")},
            }
            for i, entry in enumerate(data.history)
        ],
        "md": [
            {
                "name": run.name,
                "system": run.run.get("system"),
                "temperature_K": number(run.run.get("temperature_K")),
                "status": run.status,
                "steps_per_s": number(run.run.get("steps_per_s")),
            }
            for run in data.md
        ],
        "conductivity": [
            {
                "temperature_K": p.temperature_K,
                "replicas": p.replicas,
                "verdict": p.verdict or None,
                "sigma_mS_cm": p.sigma_mS_cm,
                "sigma_ci95_mS_cm": p.sigma_ci95_mS_cm,
            }
            for p in transport_points(data)
        ],
    }


def whole(value: Any) -> int | None:
    """Return a count as an integer, or None."""
    x = number(value)
    return None if x is None else round(x)


def ordered_evaluations(data: ReportData) -> list[str]:
    """Return the names of the evaluations in reading order."""
    return [name for name in ERRORS if name in data.evaluations] + sorted(set(data.evaluations) - set(ERRORS))


def label(name: str) -> str:
    """Return the reader's name of an evaluation."""
    return LABELS.get(name, name)
