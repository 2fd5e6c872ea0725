"""Stages that make models: pre-training, fine-tuning, distillation."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from dpa_sse.ops.distillation.op import (
    EvaluateStudent,
    LabelSelfExploration,
    LabelWithTeacher,
    PrepareTeacher,
    RunSelfExploration,
    RunTeacherMd,
    TrainStudent,
    UseTeacher,
)
from dpa_sse.ops.distillation.settings import DistillSettings
from dpa_sse.ops.training.op import (
    AdoptModel,
    CompileModel,
    EvaluatePretrained,
    EvaluateVariants,
    Pretrain,
    TrainCurve,
    TrainVariant,
)
from dpa_sse.ops.training.settings import FinetuneSettings, PretrainSettings
from dpa_sse.ops.validation.op import AskPerson, GateStudent
from dpa_sse.pipeline.config.remote import is_remote
from dpa_sse.pipeline.flows.active import add_rounds, training_of_rounds
from dpa_sse.pipeline.flows.project import ProjectFlow
from dpa_sse.pipeline.graph import ArtifactRef, Artifacts

SAMPLING = ("temperatures_K", "sample_every", "frame_displacement_A", "frame_strain", "max_force_eV_A", "test")
"""Settings of the distillation that decide which frames the teacher labels."""


def add_pretraining(flow: ProjectFlow, pretrain: PretrainSettings, training_data: ArtifactRef | None) -> ArtifactRef:
    """Add pre-training on all collected data, or take the user's model; returns the model folder."""
    flow.stage("04-pretrain")
    if pretrain.model is None:
        return flow.step(
            "pretrain", Pretrain, flow.settings(pretrain=pretrain), title="Pre-training",
            artifacts={"training_data": training_data}, gpu=True,
        )
    model = _model_artifact(flow, pretrain.model)
    name = Path(pretrain.model).name if model else pretrain.model
    op = _adopting_op(flow, pretrain.model)
    return flow.step(
        "pretrain", op, flow.settings(model=name, branch=pretrain.branch), title="Your pre-trained model",
        artifacts={"model": model}, gpu=op is CompileModel,
    )


def add_own_model(flow: ProjectFlow) -> ArtifactRef:
    """Add the user's model in place of a student; returns the model folder."""
    md = flow.project.md
    assert md is not None and md.own_model is not None  # noqa: S101  (for the type checker)
    flow.stage("06-distill")
    op = _adopting_op(flow, md.own_model)
    return flow.step(
        "student", op, flow.settings(model=Path(md.own_model).name), title="Your model",
        artifacts={"model": _model_artifact(flow, md.own_model)}, gpu=op is CompileModel,
    )


def _adopting_op(flow: ProjectFlow, model: str) -> type[AdoptModel]:
    """Return the OP that takes a model: a DPA-4, or a file that cannot be looked into here, may have to be compiled."""
    from dpa_sse.ops.potential.describe import describe_model, is_dpa4

    path = flow.base_dir / Path(model).expanduser()
    if is_remote(model):
        return CompileModel
    if not path.is_file():  # a built-in name
        return CompileModel if model.upper().startswith("DPA4") else AdoptModel
    return CompileModel if any(map(is_dpa4, describe_model(path).branches)) else AdoptModel


def _model_artifact(flow: ProjectFlow, model: str) -> ArtifactRef | None:
    """Return the artifact of a model file; None for the name of a built-in model."""
    if is_remote(model):
        return flow.remote(model)
    path = flow.base_dir / Path(model).expanduser()
    return flow.upload(path) if path.is_file() else None


def add_finetuning(flow: ProjectFlow, artifacts: Artifacts) -> dict[str, ArtifactRef | None]:
    """Add fine-tuning (and the same network from scratch) and the errors before and after.

    Returns
    -------
    dict
        The models and errors; with rounds, also the labelled data after them (``downstream``, ``rounds``).
    """
    project = flow.project
    assert project.finetune is not None  # noqa: S101  (for the type checker)
    found: dict[str, ArtifactRef | None] = {}
    if project.finetune.rounds:
        found["downstream"] = found["rounds"] = add_rounds(flow, artifacts)
        artifacts = {**artifacts, **found}
    variants = [project.finetune.strategy, *(["from_scratch"] if project.finetune.from_scratch else [])]
    inputs = {name: artifacts[name] for name in ("pretrained", "downstream", "training_data")}
    models = flow.fan_out(
        "finetune", TrainVariant,
        flow.settings(
            finetune=training_of_rounds(project.finetune), pretrain=project.pretrain, variants=variants
        ),
        len(variants), title="Fine-tune, and from scratch", artifacts=inputs, gpu=True, grouped=False,
    )
    errors = flow.step(
        "evaluate", EvaluateVariants, flow.settings(variants=variants), title="Errors on held-out trajectories",
        artifacts={**inputs, "variants": models}, gpu=True,
    )
    if project.finetune.curve:
        found["curve"] = _add_curve(flow, project.finetune, artifacts)
    return {**found, "variants": models, "errors": errors}


def _add_curve(flow: ProjectFlow, finetune: FinetuneSettings, artifacts: Artifacts) -> ArtifactRef:
    """Add models on parts of the frames, and their errors."""
    models = [
        {"variant": variant, "frames": frames, "seed": seed}
        for frames in finetune.curve for variant in ("naive", "from_scratch") for seed in range(finetune.curve_seeds)
    ]
    alike = training_of_rounds(finetune).model_copy(update={"curve": [], "strategy": "naive"})
    return flow.fan_out(
        "curve", TrainCurve, flow.settings(finetune=alike, pretrain=flow.project.pretrain, models=models), len(models),
        title="Models on parts of the frames", gpu=True, grouped=False,
        artifacts={name: artifacts[name] for name in ("pretrained", "downstream")},
    )


def add_pretrained_errors(flow: ProjectFlow, artifacts: Artifacts, name: str = "evaluate") -> ArtifactRef:
    """Add the errors of the pre-trained model, for a project that does not fine-tune."""
    return flow.step(
        name, EvaluatePretrained, flow.settings(), title="Errors on held-out trajectories",
        artifacts={"pretrained": artifacts["pretrained"], "training_data": artifacts["training_data"]}, gpu=True,
    )


class Teacher(NamedTuple):
    """What the steps of a distillation share: the teacher's models, its MD tasks, and their number."""

    models: Artifacts
    tasks: ArtifactRef
    n_runs: int


def add_distillation(flow: ProjectFlow, artifacts: Artifacts) -> tuple[ArtifactRef, ArtifactRef, ArtifactRef]:
    """Add teacher MD, teacher labels and the student; returns the teacher's data, all data and the student."""
    distill = flow.project.distill
    assert distill is not None  # noqa: S101  (for the type checker)
    flow.stage("06-distill")
    teacher = _prepare_teacher(flow, distill, artifacts)
    teacher_data = _add_teacher_data(flow, distill, teacher)
    first_student, data = None, teacher_data
    if distill.self_exploration:
        first_student, data = _add_self_exploration(flow, distill, teacher, teacher_data)
    student = flow.step(
        "student", TrainStudent, flow.settings(student=distill.student), title="Student",
        artifacts={"teacher_data": data, "first_student": first_student}, gpu=True,
    )
    return teacher_data, data, student


def add_student(flow: ProjectFlow, artifacts: Artifacts) -> dict[str, ArtifactRef | None]:
    """Add distillation and the errors of the student; returns its data, the student and its errors."""
    teacher_data, data, student = add_distillation(flow, artifacts)
    errors = add_student_errors(flow, artifacts, "evaluate-student", student, teacher_data)
    gates = add_gates(flow, artifacts, student, teacher_data, data) if flow.project.validate.gates else None
    if gates and flow.project.validate.on_warn == "suspend" and not flow.suspends:
        flow.step("ask-person", AskPerson, flow.settings(), title="A person decides", artifacts={"gates": gates})
    return {
        "teacher_data": teacher_data, "student_data": data, "student": student, "student_errors": errors,
        "gates": gates,
    }


def add_model_of_md(flow: ProjectFlow, artifacts: Artifacts) -> dict[str, ArtifactRef | None]:
    """Add the student, its data and errors; or the teacher in its place, where that is to run the MD."""
    project = flow.project
    if project.distilled:
        return add_student(flow, artifacts)
    if project.md and project.md.with_teacher:
        flow.stage("06-distill")
        return {"student": flow.step(
            "teacher", UseTeacher, flow.settings(), title="The teacher, for the MD",
            artifacts={"pretrained": artifacts["pretrained"], "variants": artifacts.get("variants")},
        )}
    return {}


def add_gates(
    flow: ProjectFlow, artifacts: Artifacts, student: ArtifactRef, teacher_data: ArtifactRef, data: ArtifactRef
) -> ArtifactRef:
    """Add the verdict on the student, against its teacher, at the highest temperature of its use."""
    project, distill, md = flow.project, flow.project.distill, flow.project.md
    assert distill is not None  # noqa: S101  (for the type checker)
    temperatures, timestep = (
        (md.temperatures_K, md.timestep_fs) if md else (distill.temperatures_K, distill.timestep_fs)
    )
    return flow.step(
        "gates", GateStudent, flow.settings(
            tier=project.validate.gates, on_fail=project.validate.on_fail, temperature_K=max(temperatures),
            timestep_fs=timestep, mobile=project.conductivity.mobile,
        ),
        title="Gates: a verdict on the student",
        artifacts={
            "student": student, "variants": artifacts.get("variants"), "pretrained": artifacts["pretrained"],
            "teacher_data": teacher_data, "student_data": data,
            "cells": flow.cells("gate-cells", project.target_systems),
        },
        gpu=True,
    )


def add_student_errors(
    flow: ProjectFlow, artifacts: Artifacts, name: str, student: ArtifactRef, teacher_data: ArtifactRef
) -> ArtifactRef:
    """Add the errors of a student, relative to its teacher and to held-out labels."""
    return flow.step(
        name, EvaluateStudent, flow.settings(), title="Errors of the student",
        artifacts={
            "student": student, "teacher_data": teacher_data,
            "labelled": artifacts.get("downstream") or artifacts.get("training_data"),
        },
        gpu=True,
    )


def _prepare_teacher(flow: ProjectFlow, distill: DistillSettings, artifacts: Artifacts) -> Teacher:
    """Add the step that writes the MD tasks: perturbed cells of the target systems at each temperature."""
    systems = flow.project.target_systems
    tasks = flow.step(
        "prepare-teacher", PrepareTeacher, flow.settings(
            distill=flow.subset(
                distill, "perturb", "temperatures_K", "pressure_GPa", "steps", "timestep_fs", "sample_every",
                "self_exploration", "labelled_cells", "ensemble",
            )
        ),
        title="Distillation", artifacts={"cells": flow.cells("target-cells", systems, distill.perturb.arrangements)},
    )
    models = {"pretrained": artifacts["pretrained"], "variants": artifacts.get("variants")}
    return Teacher(models, tasks, distill.n_teacher_runs(len(systems)))


def _add_teacher_data(flow: ProjectFlow, distill: DistillSettings, teacher: Teacher) -> ArtifactRef:
    """Add MD with the teacher, and its labels; returns the data."""
    runs = flow.fan_out(
        "teacher-md", RunTeacherMd, flow.settings(), teacher.n_runs, title="Teacher MD",
        artifacts={"prepared": teacher.tasks, **teacher.models}, gpu=True, grouped=False,
    )
    return flow.step(
        "teacher-labels", LabelWithTeacher, flow.fan_in_settings(distill=flow.subset(distill, *SAMPLING)),
        title="Teacher labels", gpu=True, artifacts={
            "trajectories": runs, **teacher.models, "prepared": teacher.tasks if distill.labelled_cells else None,
        },
    )


def _add_self_exploration(
    flow: ProjectFlow, distill: DistillSettings, teacher: Teacher, teacher_data: ArtifactRef
) -> tuple[ArtifactRef, ArtifactRef]:
    """Add a first student, MD with it, and teacher labels of that; returns the first student and all data."""
    assert distill.self_exploration is not None  # noqa: S101  (for the type checker)
    steps = distill.self_exploration.training_steps or distill.student.steps
    first_student = flow.step(
        "first-student", TrainStudent, flow.settings(student=distill.student.model_copy(update={"steps": steps})),
        title="First student", artifacts={"teacher_data": teacher_data}, gpu=True,
    )
    runs = flow.fan_out(
        "self-exploration", RunSelfExploration, flow.settings(), teacher.n_runs,
        title="MD with the first student", artifacts={"prepared": teacher.tasks, "student": first_student}, gpu=True,
        grouped=False,
    )
    data = flow.step(
        "self-exploration-labels", LabelSelfExploration,
        flow.fan_in_settings(distill=flow.subset(distill, *SAMPLING, "self_exploration")),
        title="Teacher labels for it",
        artifacts={"teacher_data": teacher_data, "trajectories": runs, **teacher.models}, gpu=True,
    )
    return first_student, data
