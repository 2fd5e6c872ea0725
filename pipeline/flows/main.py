"""The whole DAG: the stage groups joined, each of them left out where the configuration has no section for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.engines.platform import Platform, Resources
from dpa_sse.pipeline.flows.data import add_campaign, add_downstream
from dpa_sse.pipeline.flows.models import add_distillation, add_finetuning, add_pretrained_errors, add_pretraining
from dpa_sse.pipeline.flows.production import add_production, add_report
from dpa_sse.pipeline.flows.project import ProjectFlow
from dpa_sse.pipeline.runs.folder import Run


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
        Receives the input files of the DAG (cells, settings).
    resources : Resources
        What the tasks may use.
    platform : Platform, optional
        Where the DAG is to run; this machine by default.
    """
    flow = ProjectFlow(project, base_dir, folder, resources, platform)
    made: dict[str, Any] = {}
    made["campaign"] = add_campaign(flow)
    if project.pretrain and project.pretrain.model is None and project.downstream:
        with flow.side_by_side():
            made["pretrained"] = add_pretraining(flow, project.pretrain, made["campaign"])
            made["downstream"] = flow.branch("new-compound", lambda: add_downstream(flow))
    elif project.pretrain:
        made["pretrained"] = add_pretraining(flow, project.pretrain, made["campaign"])
    if project.downstream and "downstream" not in made:
        made["downstream"] = add_downstream(flow)
    if project.finetune:
        made["variants"], made["errors"] = add_finetuning(flow, made)
    elif project.pretrain and made["campaign"] is not None:
        made["errors"] = add_pretrained_errors(flow, made)
    if project.distill:
        made["filter"], made["student"], made["student_errors"] = add_distillation(flow, made)
    if project.md:
        made["trajectories"], made["conductivity"] = add_production(flow, made["student"])
    add_report(flow, made)
    return flow


def build_from_run(run: Run) -> ProjectFlow:
    """Return the DAG of a run folder (called by the engine's driver)."""
    from dpa_sse.pipeline.engines.local.engine import machine_resources
    from dpa_sse.pipeline.runs.configuration import load_run_config

    project = load_run_config(run).project
    return build(project, run.base_dir, run.engine / "inputs", machine_resources(project))
