"""The whole DAG: the stage groups joined, without those for which the configuration has no section."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.engines.platform import Platform, Resources
from dpa_sse.pipeline.flows.data import add_downstream, add_training_data
from dpa_sse.pipeline.flows.models import (
    add_finetuning,
    add_model_of_md,
    add_own_model,
    add_pretrained_errors,
    add_pretraining,
)
from dpa_sse.pipeline.flows.production import add_production, add_report
from dpa_sse.pipeline.flows.project import ProjectFlow
from dpa_sse.pipeline.flows.targets import add_targets
from dpa_sse.pipeline.graph import ArtifactRef
from dpa_sse.pipeline.runs.folder import Run

if TYPE_CHECKING:
    from dpa_sse.pipeline.engines.slurm.platform import SlurmPlatform


def build(
    project: Project, base_dir: Path, folder: Path, resources: Resources, platform: Platform | None = None
) -> ProjectFlow:
    """Return the DAG of a project.

    Parameters
    ----------
    project : Project
        The configuration.
    base_dir : Path
        Folder that relative paths in it refer to.
    folder : Path
        Gets the input files of the DAG (cells, settings).
    resources : Resources
        Available to the tasks.
    platform : Platform, optional
        Where the DAG is to run; this machine by default.
    """
    flow = ProjectFlow(project, base_dir, folder, resources, platform)
    artifacts: dict[str, ArtifactRef | None] = {}
    if project.simulates_only:
        artifacts["student"] = add_own_model(flow)
        artifacts |= add_production(flow, artifacts)
        add_report(flow, artifacts)
        return flow
    artifacts["training_data"] = add_training_data(flow)
    if project.targets:
        assert project.pretrain is not None  # noqa: S101  (a rule of the configuration)
        artifacts["pretrained"] = add_pretraining(flow, project.pretrain, artifacts["training_data"])
        if artifacts["training_data"] is not None:
            artifacts["errors"] = add_pretrained_errors(flow, artifacts, "evaluate-pretrained")
        add_targets(flow, artifacts)
        return flow
    if project.pretrain and project.pretrain.model is None and project.downstream:
        with flow.side_by_side():
            artifacts["pretrained"] = add_pretraining(flow, project.pretrain, artifacts["training_data"])
            artifacts["downstream"] = flow.branch("new-compound", lambda: add_downstream(flow))
    elif project.pretrain:
        artifacts["pretrained"] = add_pretraining(flow, project.pretrain, artifacts["training_data"])
    if project.downstream and "downstream" not in artifacts:
        artifacts["downstream"] = add_downstream(flow)
    if project.finetune:
        artifacts |= add_finetuning(flow, artifacts)
    elif project.pretrain and artifacts["training_data"] is not None:
        artifacts["errors"] = add_pretrained_errors(flow, artifacts)
    artifacts |= add_model_of_md(flow, artifacts)
    if project.md:
        artifacts |= add_production(flow, artifacts)
    add_report(flow, artifacts)
    return flow


def build_from_run(run: Run) -> ProjectFlow:
    """Return the DAG of a run folder (called by the engine's driver)."""
    from dpa_sse.pipeline.engines.local.engine import machine_resources
    from dpa_sse.pipeline.runs.configuration import load_run_config

    project = load_run_config(run).project
    resources = machine_resources(project)
    return build(project, run.base_dir, run.engine / "inputs", resources, platform_of(project, run.base_dir, resources))


def platform_of(project: Project, base_dir: Path, resources: Resources) -> SlurmPlatform | None:
    """Return the batch system that a project runs on; None for this machine."""
    from dpa_sse.pipeline.config.batch_presets import jobs_of
    from dpa_sse.pipeline.engines.slurm.platform import SlurmPlatform

    if project.engine.system is None:
        return None
    return SlurmPlatform(resources, jobs_of(project.engine.batch, base_dir))
