"""From a project to an Argo workflow: the same DAG as that of a local run, rendered offline and reproducibly."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpa_sse.ops.labelers.registry import labeler_files
from dpa_sse.pipeline.config.cluster import ClusterPreset
from dpa_sse.pipeline.config.cluster_presets import load_cluster_preset
from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.engines.argo.limits import Limits
from dpa_sse.pipeline.engines.argo.platform import ArgoPlatform, refuse
from dpa_sse.pipeline.engines.argo.postprocess import AFTER_GATES, WorkflowInfo, complete_workflow
from dpa_sse.pipeline.engines.platform import Resources
from dpa_sse.pipeline.flows.main import build
from dpa_sse.pipeline.flows.project import ProjectFlow
from dpa_sse.pipeline.flows.stages import add_stage
from dpa_sse.pipeline.graph import Flow


@dataclass(frozen=True)
class Rendered:
    """A workflow, and the texts that have to be uploaded to the bucket before it is submitted, by their keys."""

    workflow: dict[str, Any]
    preset: ClusterPreset
    outside: dict[str, str]
    remarks: list[str]


def render(
    project: Project, base_dir: Path, *, outside_bytes: int | None = None, stage: str | None = None
) -> Rendered:
    """Return the workflow of a project.

    Parameters
    ----------
    project : Project
    base_dir : Path
        Folder that relative paths of the configuration refer to.
    outside_bytes : int, optional
        Inputs with a longer text are referred to by their key in the bucket; by default none are.
    stage : str, optional
        Only this stage group (:mod:`dpa_sse.pipeline.flows.stages`); its inputs are parameters of the workflow.

    Raises
    ------
    InputError
        The workflow would exceed a limit of Argo or Kubernetes, or the preset is wrong.
    """
    preset = load_cluster_preset(project.cluster, base_dir)
    failure = project.failure
    resources = Resources(
        threads_per_task=project.resources.threads_per_task,
        retries=failure.retries,
        task_timeout_s=(failure.task_timeout_min or 0.0) * 60,
    )
    platform = ArgoPlatform(preset, resources, project.labeler.kind, outside_bytes)

    def make() -> Flow:
        if stage is None:
            return build(project, base_dir, Path(folder), resources, platform)
        flow = ProjectFlow(project, base_dir, Path(folder), resources, platform)
        add_stage(flow, stage)
        return flow

    with tempfile.TemporaryDirectory() as folder:
        workflow = lower(make, platform)
    learning = project.concurrent_learning
    iterations = sum(one.max_iterations for one in learning.stages) if learning else 0
    if project.simplify:
        iterations = max(iterations, project.simplify.max_iterations)
    remarks = Limits(workflow).remarks(iterations)
    if project.labeler.folders and not labeler_files(project.labeler, project.type_map):
        remarks.append(
            f"labeler: the pseudopotentials of {project.labeler.kind} are not on this machine (pseudo_dir), so they do "
            "not travel with the tasks: the image must have them"
        )
    return Rendered(workflow, preset, platform.outside, remarks)


# foreign: a workflow of Argo
def lower(make: Callable[[], Flow], platform: ArgoPlatform) -> dict[str, Any]:
    """Return the Argo workflow of the DAG that ``make`` builds for the platform.

    Raises
    ------
    InputError
        It would exceed a limit of Argo or Kubernetes.
    """
    with _dflow_offline():
        flow = make()
        rendered = flow.workflow.to_dict()
    workflow = complete_workflow(rendered, platform, workflow_info(flow))
    refuse(Limits(workflow).problems())
    return workflow


def workflow_info(flow: Flow) -> WorkflowInfo:
    """Return what a person sees of the workflow, and the plan that `status` reads."""
    shown = {"name", "stage", "title", "tasks", "loop"}
    plan = json.dumps([step.model_dump(include=shown) for step in flow.plan], separators=(",", ":"))
    if not isinstance(flow, ProjectFlow):
        return WorkflowInfo(flow.name, flow.name, "", plan)
    project = flow.project
    waits = [AFTER_GATES] if project.validate.on_warn == "suspend" else []
    return WorkflowInfo(
        flow.name, project.name, project_outline(project), plan, (*waits, *project.cluster.suspend)
    )


def project_outline(project: Project) -> str:
    """Return elements, systems and target of a project as a short list in Markdown."""
    systems = ", ".join(system.name for system in project.systems[:5])
    more = f" and {len(project.systems) - 5} more" if len(project.systems) > 5 else ""
    lines = [f"Elements: {', '.join(project.type_map)}"]
    if systems:
        lines.append(f"Systems: {systems}{more}")
    if project.downstream:
        lines.append(f"Fine-tuned for: {', '.join(one.name for one in project.new_systems)}")
    if project.targets:
        lines.append(f"Targets: {', '.join(one.name for one in project.chosen_targets)}")
    return "\n".join(f"- {line}" for line in lines)


@contextmanager
def _dflow_offline() -> Iterator[None]:
    """Configure dflow to make templates for Argo, without traces of this machine and with reproducible names."""
    from dflow import config, s3_config

    before = dict(config), dict(s3_config), random.getstate()
    config.update(mode="default", token=None, save_path_as_parameter=False, detach=False)
    s3_config.update(
        endpoint="", console="", access_key="", secret_key="", repo_key=None, repo=None, prefix="", repo_prefix=""
    )
    random.seed(0)  # dflow draws the suffixes of its names
    try:
        yield
    finally:
        config.update(before[0])
        s3_config.update(before[1])
        random.setstate(before[2])
