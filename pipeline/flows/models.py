"""Stages that make models: pre-training, fine-tuning, distillation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dpa_sse.ops.distillation.op import (
    EvaluateStudent,
    LabelSelfExploration,
    LabelWithTeacher,
    PrepareTeacher,
    RunSelfExploration,
    RunTeacherMd,
    TrainStudent,
)
from dpa_sse.ops.training.op import AdoptModel, EvaluatePretrained, EvaluateVariants, Pretrain, TrainVariant
from dpa_sse.ops.training.settings import PretrainSettings
from dpa_sse.pipeline.config.remote import is_remote
from dpa_sse.pipeline.flows.project import ProjectFlow


def add_pretraining(flow: ProjectFlow, pretrain: PretrainSettings, training_data: Any | None) -> Any:
    """Add pre-training on all collected data, or take the user's model; returns the model folder."""
    flow.stage("04-pretrain")
    if pretrain.model is None:
        return flow.step(
            "pretrain", Pretrain, flow.settings(pretrain=pretrain), title="Pre-training",
            artifacts={"training_data": training_data}, gpu=True,
        ).outputs.artifacts["out"]
    path = Path(flow.base_dir / pretrain.model)
    model = flow.upload(path) if path.is_file() else None
    if is_remote(pretrain.model):
        model = flow.remote(pretrain.model)
    return flow.step(
        "pretrain", AdoptModel, flow.settings(model=pretrain.model, branch=pretrain.branch),
        title="Your pre-trained model",
        artifacts={"model": model},
    ).outputs.artifacts["out"]


def add_finetuning(flow: ProjectFlow, artifacts: Mapping[str, Any]) -> tuple[Any, Any]:
    """Add fine-tuning (and the same network from scratch) and the errors before and after."""
    project = flow.project
    assert project.finetune is not None  # noqa: S101  (for the type checker)
    variants = [project.finetune.strategy, *(["from_scratch"] if project.finetune.from_scratch else [])]
    inputs = {name: artifacts[name] for name in ("pretrained", "downstream", "training_data")}
    models = flow.fan_out(
        "finetune", TrainVariant,
        flow.settings(finetune=project.finetune, pretrain=project.pretrain, variants=variants),
        len(variants), title="Fine-tune, and from scratch", artifacts=inputs, gpu=True, grouped=False,
    ).outputs.artifacts["out"]
    errors = flow.step(
        "evaluate", EvaluateVariants, flow.settings(variants=variants), title="Errors on held-out trajectories",
        artifacts={**inputs, "variants": models}, gpu=True,
    ).outputs.artifacts["out"]
    return models, errors


def add_pretrained_errors(flow: ProjectFlow, artifacts: Mapping[str, Any]) -> Any:
    """Add the errors of the pre-trained model, for a project that does not fine-tune."""
    return flow.step(
        "evaluate", EvaluatePretrained, flow.settings(), title="Errors on held-out trajectories",
        artifacts={"pretrained": artifacts["pretrained"], "training_data": artifacts["training_data"]}, gpu=True,
    ).outputs.artifacts["out"]


def add_distillation(flow: ProjectFlow, artifacts: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Add teacher MD, teacher labels and the student; returns the data, the student and its errors."""
    project, distill = flow.project, flow.project.distill
    assert distill is not None  # noqa: S101  (for the type checker)
    flow.stage("06-distill")
    systems = project.target_systems
    prepared = flow.step(
        "prepare-teacher", PrepareTeacher, flow.settings(
            distill=flow.subset(
                distill, "perturb", "temperatures_K", "pressure_GPa", "steps", "timestep_fs", "sample_every",
                "self_exploration",
            )
        ),
        title="Distillation",
        artifacts={"cells": flow.cells("target-cells", systems)},
    ).outputs.artifacts["out"]
    teacher = {"pretrained": artifacts["pretrained"], "variants": artifacts.get("variants")}
    n_runs = len(systems) * distill.perturb.count * len(distill.temperatures_K)
    runs = flow.fan_out(
        "teacher-md", RunTeacherMd, flow.settings(),
        n_runs, title="Teacher MD",
        artifacts={"prepared": prepared, **teacher}, gpu=True, grouped=False,
    )
    sampling = ("temperatures_K", "sample_every", "frame_displacement_A", "frame_strain", "max_force_eV_A", "test")
    teacher_data = flow.step(
        "teacher-labels", LabelWithTeacher, flow.fan_in_settings(distill=flow.subset(distill, *sampling)),
        title="Teacher labels",
        artifacts={"trajectories": runs.outputs.artifacts["out"], **teacher}, gpu=True,
    ).outputs.artifacts["out"]
    data, first_student = teacher_data, None
    if distill.self_exploration:
        steps = distill.self_exploration.training_steps or distill.student.steps
        quick = distill.student.model_copy(update={"steps": steps})
        first_student = flow.step(
            "first-student", TrainStudent, flow.settings(student=quick), title="First student",
            artifacts={"teacher_data": teacher_data}, gpu=True,
        ).outputs.artifacts["out"]
        tried = flow.fan_out(
            "self-exploration", RunSelfExploration, flow.settings(), n_runs,
            title="MD with the first student", artifacts={"prepared": prepared, "student": first_student}, gpu=True,
            grouped=False,
        ).outputs.artifacts["out"]
        data = flow.step(
            "self-exploration-labels", LabelSelfExploration,
            flow.fan_in_settings(distill=flow.subset(distill, *sampling, "self_exploration")),
            title="Teacher labels for it",
            artifacts={"teacher_data": teacher_data, "trajectories": tried, **teacher}, gpu=True,
        ).outputs.artifacts["out"]
    student = flow.step(
        "student", TrainStudent, flow.settings(student=distill.student), title="Student",
        artifacts={"teacher_data": data, "first_student": first_student}, gpu=True,
    ).outputs.artifacts["out"]
    errors = flow.step(
        "evaluate-student", EvaluateStudent, flow.settings(), title="Errors of the student",
        artifacts={"student": student, "teacher_data": teacher_data, "labelled": artifacts.get("downstream")}, gpu=True,
    ).outputs.artifacts["out"]
    return teacher_data, student, errors
