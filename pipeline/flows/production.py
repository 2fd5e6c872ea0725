"""Stages that use the student: production MD, its self-check, conductivity, report."""

from __future__ import annotations

from collections.abc import Mapping

from dpa_sse.ops.conductivity.op import Conductivity
from dpa_sse.ops.labelers.op import LabelFrames
from dpa_sse.ops.md.op import PrepareMd, RunMd
from dpa_sse.ops.md.settings import MdSettings
from dpa_sse.ops.training.settings import TrainSettings
from dpa_sse.ops.validation.op import (
    CheckProduction,
    ChooseFrames,
    CorrectStudent,
    CorrectTeacher,
    PrepareMdOfRound,
    RunMdOfRound,
)
from dpa_sse.pipeline.config.registered import with_names
from dpa_sse.pipeline.flows.models import add_student_errors
from dpa_sse.pipeline.flows.project import ProjectFlow
from dpa_sse.pipeline.graph import ArtifactRef, Artifacts
from dpa_sse.pipeline.report.op import Report

REPORTED = (
    "training_data", "pretrained", "variants", "errors", "teacher_data", "student", "student_errors", "gates",
    "rounds", "curve",
    "trajectories", "self_check", "corrected_errors", "conductivity",
)
"""Artifacts that the report reads."""
MD_STAGE, CHECK_STAGE = "07-md", "07-self-check"
FRAME_SAMPLING = ("temperatures_K", "frame_displacement_A", "frame_strain", "max_force_eV_A", "test")
"""Settings of the distillation that production frames are labelled with, too."""
PRETRAINING_SHARE = 5
"""A pre-trained teacher that was not fine-tuned is corrected with a fifth of the steps of its training."""


def add_production(flow: ProjectFlow, artifacts: Artifacts) -> dict[str, ArtifactRef | None]:
    """Add temperatures x replicas of MD, its self-check and the conductivity.

    With ``validate.rounds``, MD and self-check are a loop, which also trains teacher and student on.

    Returns
    -------
    dict
        Trajectories, self-check and conductivity; the student, its data and errors where the loop replaces them.
    """
    project, md = flow.project, flow.project.md
    assert md is not None  # noqa: S101  (for the type checker)
    flow.stage(MD_STAGE)
    cells = flow.cells("md-cells", project.target_systems)
    checked = artifacts.get("pretrained") is not None and project.validate.production_labels > 0  # has a teacher
    found: dict[str, ArtifactRef | None]
    if checked and project.validate.rounds:
        found = _add_rounds(flow, artifacts, cells)
    else:
        tasks = flow.step(
            "prepare-md", PrepareMd, flow.settings(md=_md_settings(flow, md)), title="Production MD",
            artifacts={"cells": cells},
        )
        runs = flow.fan_out(
            "md", RunMd, flow.settings(), md.n_runs(len(project.target_systems)), title="LAMMPS",
            artifacts={"tasks": tasks, "student": artifacts["student"]}, gpu=True, grouped=False,
        )
        found = {"trajectories": runs}
        if checked:
            found["self_check"] = _add_self_check(flow, {**artifacts, **found})
    return {**found, "conductivity": add_analysis(flow, {**artifacts, **found})}


def _md_settings(flow: ProjectFlow, md: MdSettings) -> dict[str, object]:
    """Return the settings of the runs without the place of the user's model, which they do not depend on."""
    return md.with_texts(flow.base_dir).model_dump(mode="json", exclude={"model"})


def _add_self_check(flow: ProjectFlow, artifacts: Artifacts) -> ArtifactRef:
    """Add labels on frames of the production runs, and the verdicts."""
    project = flow.project
    flow.stage(CHECK_STAGE)
    chosen = flow.step(
        "choose-frames", ChooseFrames, flow.settings(check=flow.subset(project.validate, "production_labels")),
        title="Self-check of production", artifacts={"trajectories": artifacts["trajectories"]},
    )
    labelled = flow.fan_out(
        "label-production", LabelFrames, flow.settings(labeler=project.labeler), project.validate.production_labels,
        title="Labels on production frames", artifacts={"selected": chosen, "model": flow.labeler_model()}, gpu=True,
    )
    given = ("trajectories", "student", "variants", "pretrained", "teacher", "downstream", "training_data", "earlier")
    return flow.step(
        "self-check", CheckProduction, flow.settings(check=project.validate), title="Self-check",
        artifacts={**{name: artifacts.get(name) for name in given}, "labelled": labelled}, gpu=True,
    )


def _add_rounds(
    flow: ProjectFlow, artifacts: Artifacts, cells: ArtifactRef
) -> dict[str, ArtifactRef | None]:
    """Add the loop: correct teacher and student (not in the first round), MD, self-check."""
    project, md, distill = flow.project, flow.project.md, flow.project.distill
    assert md is not None and distill is not None  # noqa: S101  (for the type checker)
    names = ("pretrained", "variants", "downstream", "training_data", "student", "student_data")
    given = {name: ref for name in names if (ref := artifacts.get(name)) is not None}
    student = distill.student.model_copy(
        update={"steps": project.validate.student_steps or distill.student.steps}
    )
    teacher = teacher_training(flow)

    def one_round(inputs: Mapping[str, ArtifactRef]) -> dict[str, ArtifactRef]:
        flow.stage(MD_STAGE)
        corrected = flow.step(
            "correct-teacher", CorrectTeacher, flow.settings(train=teacher), title="Production MD",
            artifacts={name: inputs.get(name) for name in ("state", "variants", "pretrained", "training_data")},
            gpu=True,
        )
        improved = flow.step(
            "correct-student", CorrectStudent,
            flow.settings(distill=flow.subset(distill, *FRAME_SAMPLING), student=student), title="Corrected student",
            artifacts={
                "state": inputs["state"], "teacher": corrected, "student": inputs["student"],
                "student_data": inputs["student_data"],
            },
            gpu=True,
        )
        tasks = flow.step(
            "prepare-md", PrepareMdOfRound,
            flow.settings(
                md=_md_settings(flow, md),
                check=flow.subset(project.validate, "production_labels", "rounds", "round_ps"),
            ),
            title="Production MD", artifacts={"cells": inputs["cells"], "state": inputs["state"]},
        )
        runs = flow.fan_out(
            "md", RunMdOfRound, flow.settings(), md.n_runs(len(project.target_systems)), title="LAMMPS",
            artifacts={"tasks": tasks, "student": improved}, gpu=True, grouped=False,
        )
        state = _add_self_check(flow, {
            **inputs, "trajectories": runs, "student": improved, "teacher": corrected, "earlier": inputs["state"],
        })
        return {"state": state, "trajectories": runs, "student": improved}

    results = flow.loop(
        "production", {**given, "cells": cells, "state": artifacts["student"]}, one_round, feeds_back="state",
        also=("trajectories", "student"),
    )
    corrected = results["student"]  # its folder holds its data, with the labels of the corrected teacher
    return {
        "self_check": results["state"], "trajectories": results["trajectories"], "student": corrected,
        "corrected_errors": add_student_errors(flow, artifacts, "evaluate-corrected", corrected, corrected),
    }


def teacher_training(flow: ProjectFlow) -> TrainSettings:
    """Return how the teacher is trained on in a round: as in its latest training, with the steps of a round."""
    project = flow.project
    assert project.pretrain is not None  # noqa: S101  (for the type checker)
    steps, rates = project.validate.teacher_steps, {}
    if project.finetune:
        steps = steps or project.finetune.steps
        rates = {"start_lr": project.finetune.start_lr, "stop_lr": project.finetune.stop_lr}
    elif steps is None and project.pretrain.steps:
        steps = max(1, project.pretrain.steps // PRETRAINING_SHARE)
    names = TrainSettings.model_fields
    given = {name: getattr(project.pretrain, name) for name in names}
    return TrainSettings(**{**given, "steps": steps, **{key: value for key, value in rates.items() if value}})


def add_analysis(flow: ProjectFlow, artifacts: Artifacts) -> ArtifactRef:
    """Add the conductivity of MD runs; returns the analysis."""
    flow.stage("08-conductivity")
    return flow.step(
        "conductivity", Conductivity, flow.fan_in_settings(conductivity=flow.project.conductivity),
        title="Conductivity", artifacts={
            "trajectories": artifacts["trajectories"],
            "labels": artifacts.get("downstream") or artifacts.get("training_data"),
        },
    )


def add_report(flow: ProjectFlow, artifacts: Artifacts) -> None:
    """Add the report on all results that the project has."""
    flow.stage("09-report")
    flow.step(
        "report", Report,
        flow.settings(config=with_names(flow.project).model_copy(update={"on_end": [], "on_end_url": None})),
        title="Report", artifacts={
            name: artifacts[name] for name in REPORTED
            if artifacts.get(name) is not None and (name != "student" or _has_student(flow))
        },
    )


def _has_student(flow: ProjectFlow) -> bool:
    """Return whether the model of the MD is not the teacher, which the report has already."""
    md = flow.project.md
    return md is None or not md.with_teacher
