"""Single stage groups: the results of earlier ones come from the artifact bucket, by keys that are given later."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from dpa_sse.ops.core.errors import InputError
from dpa_sse.pipeline.flows.data import add_downstream, add_training_data
from dpa_sse.pipeline.flows.models import add_finetuning, add_pretraining, add_student
from dpa_sse.pipeline.flows.production import add_analysis, add_production, add_report
from dpa_sse.pipeline.flows.project import ProjectFlow
from dpa_sse.pipeline.graph import ArtifactRef

Given: TypeAlias = dict[str, ArtifactRef | None]

INPUTS = {
    "training_data": "Key of the base data: artifact `out` of the step collect, user-data or merge",
    "pretrained": "Key of the pre-trained model: artifact `out` of the step pretrain",
    "variants": "Key of the fine-tuned models: artifact `out` of the step finetune",
    "student": "Key of the student: artifact `out` of the step student",
    "trajectories": "Key of MD runs: artifact `out` of the step md; or a folder with your own trajectories",
}


def add_stage(flow: ProjectFlow, stage: str) -> None:
    """Add one stage group, and the report on its results.

    Raises
    ------
    InputError
        There is no such stage, or the configuration has no section for it.
    """
    if stage not in _STAGES:
        raise InputError(f"{stage!r} is not one of the stages {', '.join(_STAGES)}")
    section, needs, add = _STAGES[stage]
    if flow.project.targets and stage not in ("data", "pretrain"):
        raise InputError(f"stage {stage}: a project with `targets` has it for all targets at once; render the whole "
                         "project")
    if section and getattr(flow.project, section) is None:
        raise InputError(f"stage {stage}: the configuration has no section `{section}`")
    given: Given = {name: flow.bucket_input(name, INPUTS[name]) for name in needs}
    artifacts = add(flow, given)
    add_report(flow, artifacts)


def _data(flow: ProjectFlow, given: Given) -> Given:
    found = add_training_data(flow)
    if found is None:
        raise InputError("stage data: nothing is labelled in this project, and it has no `data`")
    return {"training_data": found}


def _pretrain(flow: ProjectFlow, given: Given) -> Given:
    assert flow.project.pretrain is not None  # noqa: S101  (for the type checker)
    return given | {"pretrained": add_pretraining(flow, flow.project.pretrain, given["training_data"])}


def _finetune(flow: ProjectFlow, given: Given) -> Given:
    artifacts = given | {"downstream": add_downstream(flow)}
    return artifacts | add_finetuning(flow, artifacts)


def _distill(flow: ProjectFlow, given: Given) -> Given:
    return given | add_student(flow, given)


def _md(flow: ProjectFlow, given: Given) -> Given:
    return given | add_production(flow, given)


def _conductivity(flow: ProjectFlow, given: Given) -> Given:
    return {"conductivity": add_analysis(flow, given)}


_STAGES: dict[str, tuple[str, tuple[str, ...], Callable[[ProjectFlow, Given], Given]]] = {
    "data": ("", (), _data),
    "pretrain": ("pretrain", ("training_data",), _pretrain),
    "finetune": ("finetune", ("pretrained", "training_data"), _finetune),
    "distill": ("distill", ("pretrained", "variants"), _distill),
    "md": ("md", ("student",), _md),
    "conductivity": ("", ("trajectories",), _conductivity),
}
STAGES = tuple(_STAGES)
