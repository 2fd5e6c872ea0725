"""Stages that use the student: production MD, conductivity, report."""

from __future__ import annotations

from dpa_sse.ops.conductivity.op import Conductivity
from dpa_sse.ops.md.op import PrepareMd, RunMd
from dpa_sse.pipeline.flows.project import ProjectFlow
from dpa_sse.pipeline.graph import ArtifactRef, Artifacts
from dpa_sse.pipeline.report.op import Report

REPORTED = (
    "training_data", "pretrained", "variants", "errors", "teacher_data", "student", "student_errors", "trajectories",
    "conductivity",
)
"""Artifacts that the report reads."""


def add_production(flow: ProjectFlow, student: ArtifactRef | None) -> tuple[ArtifactRef, ArtifactRef]:
    """Add temperatures x replicas of MD and the conductivity; returns the trajectories and the analysis."""
    project, md = flow.project, flow.project.md
    assert md is not None  # noqa: S101  (for the type checker)
    flow.stage("07-md")
    systems = project.target_systems
    tasks = flow.step(
        "prepare-md", PrepareMd, flow.settings(md=md), title="Production MD",
        artifacts={"cells": flow.cells("md-cells", systems)},
    )
    runs = flow.fan_out(
        "md", RunMd, flow.settings(), md.n_runs(len(systems)), title="LAMMPS",
        artifacts={"tasks": tasks, "student": student}, gpu=True, grouped=False,
    )
    return runs, add_analysis(flow, runs)


def add_analysis(flow: ProjectFlow, trajectories: ArtifactRef | None) -> ArtifactRef:
    """Add the conductivity of MD runs; returns the analysis."""
    flow.stage("08-conductivity")
    return flow.step(
        "conductivity", Conductivity, flow.fan_in_settings(conductivity=flow.project.conductivity),
        title="Conductivity", artifacts={"trajectories": trajectories},
    )


def add_report(flow: ProjectFlow, artifacts: Artifacts) -> None:
    """Add the report on all results that the project has."""
    flow.stage("09-report")
    flow.step(
        "report", Report, flow.settings(config=flow.project), title="Report",
        artifacts={name: artifacts[name] for name in REPORTED if artifacts.get(name) is not None},
    )
