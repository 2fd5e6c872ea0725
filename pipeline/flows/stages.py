"""Each stage group by itself: what it needs of earlier ones comes from the artifact bucket, by keys given later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dpa_sse.ops.conductivity.op import Conductivity
from dpa_sse.ops.core.errors import InputError
from dpa_sse.pipeline.flows.data import add_downstream, add_training_data
from dpa_sse.pipeline.flows.models import add_distillation, add_finetuning, add_pretraining
from dpa_sse.pipeline.flows.production import add_production, add_report
from dpa_sse.pipeline.flows.project import ProjectFlow

INPUTS = {
    "training_data": "Key of the base data: artifact `out` of the step collect, user-data or merge",
    "pretrained": "Key of the pre-trained model: artifact `out` of the step pretrain",
    "variants": "Key of the fine-tuned models: artifact `out` of the step finetune",
    "student": "Key of the student: artifact `out` of the step student",
    "trajectories": "Key of MD runs: artifact `out` of the step md; or a folder with trajectories of your own",
}


def add_stage(flow: ProjectFlow, stage: str) -> None:
    """Add one stage group, and the report on what it has made.

    Raises
    ------
    InputError
        No such stage, or the configuration has no section for it.
    """
    if stage not in _STAGES:
        raise InputError(f"{stage!r} is none of the stages {', '.join(_STAGES)}")
    section, needs, add = _STAGES[stage]
    if section and getattr(flow.project, section) is None:
        raise InputError(f"stage {stage}: the configuration has no section `{section}`")
    given = {name: flow.bucket_input(name, INPUTS[name]) for name in needs}
    artifacts = add(flow, given)
    add_report(flow, artifacts)


def _data(flow: ProjectFlow, given: dict[str, Any]) -> dict[str, Any]:
    return {"training_data": add_training_data(flow)}


def _pretrain(flow: ProjectFlow, given: dict[str, Any]) -> dict[str, Any]:
    assert flow.project.pretrain is not None  # noqa: S101  (for the type checker)
    return given | {"pretrained": add_pretraining(flow, flow.project.pretrain, given["training_data"])}


def _finetune(flow: ProjectFlow, given: dict[str, Any]) -> dict[str, Any]:
    artifacts = given | {"downstream": add_downstream(flow)}
    artifacts["variants"], artifacts["errors"] = add_finetuning(flow, artifacts)
    return artifacts


def _distill(flow: ProjectFlow, given: dict[str, Any]) -> dict[str, Any]:
    artifacts = dict(given)
    artifacts["teacher_data"], artifacts["student"], artifacts["student_errors"] = add_distillation(flow, artifacts)
    return artifacts


def _md(flow: ProjectFlow, given: dict[str, Any]) -> dict[str, Any]:
    artifacts = dict(given)
    artifacts["trajectories"], artifacts["conductivity"] = add_production(flow, given["student"])
    return artifacts


def _conductivity(flow: ProjectFlow, given: dict[str, Any]) -> dict[str, Any]:
    flow.stage("08-conductivity")
    analysis = flow.step(
        "conductivity", Conductivity, flow.fan_in_settings(conductivity=flow.project.conductivity),
        title="Conductivity", artifacts=given,
    ).outputs.artifacts["out"]
    return {"conductivity": analysis}


_STAGES: dict[str, tuple[str, tuple[str, ...], Callable[[ProjectFlow, dict[str, Any]], dict[str, Any]]]] = {
    "data": ("", (), _data),
    "pretrain": ("pretrain", ("training_data",), _pretrain),
    "finetune": ("finetune", ("pretrained", "training_data"), _finetune),
    "distill": ("distill", ("pretrained", "variants"), _distill),
    "md": ("md", ("student",), _md),
    "conductivity": ("", ("trajectories",), _conductivity),
}
STAGES = tuple(_STAGES)
