"""Results of a workflow as a run folder of this machine: the same files in the same places as after a local run."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.core.foreign import inside, printable
from dpa_sse.ops.core.removal import remove_tree
from dpa_sse.ops.runtime.events import LOG, Event
from dpa_sse.ops.runtime.store import S3Bucket
from dpa_sse.pipeline.engines.argo.bucket import download_artifact
from dpa_sse.pipeline.engines.argo.nodes import ArgoWorkflow, Pods
from dpa_sse.pipeline.runs.folder import CONFIG, Run

if TYPE_CHECKING:
    from dpa_sse.pipeline.config.schema import Project

MAIN_STEPS = (
    "merge", "collect", "user-data", "simplify-select", "pretrain", "finetune", "evaluate", "evaluate-student",
    "teacher-labels", "student", "gates", "correct-student", "evaluate-corrected", "self-check", "conductivity",
    "report",
)
"""Downloaded by default: models, data, numbers, report; no raw trajectories."""
DOWNLOADED = ".downloaded"
"""Marks a complete task folder."""


def config_of(workflow: ArgoWorkflow) -> Project:
    """Return the configuration that a workflow was rendered from (it is an input of its last step).

    Raises
    ------
    InputError
        The workflow has no such step.
    """
    from dpa_sse.pipeline.config.schema import Project

    spec = workflow.data["spec"]
    if "workflowTemplateRef" in spec:  # started by `argo submit --from` or a CronWorkflow
        spec = workflow.data.get("status", {}).get("storedWorkflowTemplateSpec", {})
    for template in spec.get("templates", []):
        for group in template.get("steps", []):
            for step in group:
                for item in step.get("arguments", {}).get("artifacts", []):
                    if step["name"] == "report" and item["name"] == "settings" and "raw" in item:
                        from dpa_sse.ops.runtime.inline import decode_text

                        return Project.model_validate(json.loads(decode_text(item["raw"]["data"]))["config"])
    raise InputError(f"{workflow.name}: no report step, whose settings hold the configuration")


def download(
    workflow: ArgoWorkflow, bucket: S3Bucket, run: Run, steps: Sequence[str], print_line: Callable[[str], None]
) -> int:
    """Download the results of steps into a run folder; returns the number of tasks.

    Tasks that are there already are not downloaded again. Of a loop, the last iteration is downloaded unless a step is
    named with its iteration.

    Parameters
    ----------
    workflow : ArgoWorkflow
    bucket : S3Bucket
    run : Run
    steps : sequence of str
        Names of steps or tasks; none: the main results.
    print_line : callable
        Called with one line per step.

    Raises
    ------
    InputError
        A step does not belong to the workflow, or has no result yet.
    """
    from dpa_sse.pipeline.config import resolved_yaml

    run.create()
    plan = workflow.plan
    stages = {step.name: step.stage for step in plan}
    finished = [pods for pods in workflow.pods() if pods.node.get("phase") == "Succeeded"]
    chosen = _chosen(finished, steps, stages)
    write_text(run.folder / CONFIG, resolved_yaml(config_of(workflow)))
    run.write_plan(plan)
    folders: dict[str, str] = {}
    for pods in chosen:
        key = _artifact_key(pods)
        if key is None:
            continue
        stage = inside(run.folder / "tasks", stages[pods.step])
        for task, folder in _download_pods(bucket, key, pods, stage, print_line).items():
            folders[task] = folder.relative_to(run.folder).as_posix()
    _write_events(workflow, run, folders)
    return len(folders)


def _chosen(finished: list[Pods], steps: Sequence[str], stages: dict[str, str]) -> list[Pods]:
    named = [pods for pods in finished if not steps or pods.step in steps or set(pods.tasks) & set(steps)]
    if unknown := [step for step in steps if step not in stages and not any(step in pods.tasks for pods in named)]:
        raise InputError(f"{unknown[0]}: no such step, or no result yet; steps: {', '.join(stages)}")
    if not steps:
        named = [pods for pods in finished if pods.step in MAIN_STEPS]
    by_step: dict[str, list[Pods]] = {}
    for pods in named:
        by_step.setdefault(pods.step, []).append(pods)
    chosen = []
    for step, group in by_step.items():
        last = group[-1].tasks[0].rsplit("-i", 1)[-1][:3] if "-i" in group[-1].tasks[0] else ""
        asked = any(set(pods.tasks) & set(steps) for pods in group)
        chosen += [pods for pods in group if asked or not last or f"{step}-i{last}" in pods.tasks[0]]
    return chosen


def _artifact_key(pods: Pods) -> str | None:
    for node in (pods.node, *pods.attempts[::-1]):
        for item in (node.get("outputs") or {}).get("artifacts") or []:
            if item["name"] == "out" and "s3" in item:
                return str(item["s3"]["key"])
    return None


def _download_pods(
    bucket: S3Bucket, key: str, pods: Pods, stage: Path, print_line: Callable[[str], None]
) -> dict[str, Path]:
    """Return the folders of the tasks of one step or group."""
    targets = {task: inside(stage, f"{task}--{_tag(pods)}") for task in pods.tasks}
    if not all((target / DOWNLOADED).exists() for target in targets.values()):
        print_line(f"{printable(pods.key)} ...")
        work = inside(stage, f".{pods.key}")
        remove_tree(work, stage)
        values = pods.values
        grouped = "group_size" in values
        place = f"{key}/group.{int(values.get('group', 0)):03d}" if grouped else key
        if not download_artifact(bucket, place, work):
            raise InputError(f"{pods.key}: no object {place} in the bucket: deleted, or not this bucket")
        for task, target in targets.items():
            remove_tree(target, stage)
            source = work / f"task.{task.rpartition('-')[2]}" if grouped else work / "out"
            if source.is_symlink() or not source.is_dir():
                raise InputError(f"{pods.key}: its artifact has no folder {source.name}: not a result of this step")
            source.rename(target)
            (target / DOWNLOADED).touch()
        remove_tree(work, stage)
    return targets


def _tag(pods: Pods) -> str:
    return str(pods.node["id"]).rsplit("-", 1)[-1]


def _write_events(workflow: ArgoWorkflow, run: Run, folders: dict[str, str]) -> None:
    """Write the event log of the workflow, with the folders of the downloaded tasks."""
    events = [Event(time=0.0, kind="run-start")]
    events += [event.model_copy(update={"folder": folders.get(event.task)}) for event in workflow.events()]
    if workflow.state in ("done", "failed", "refused", "stopped"):
        events.append(Event(time=events[-1].time, kind="run-end", code=int(workflow.state != "done")))
    write_text(run.folder / LOG, "".join(event.line() for event in events))
