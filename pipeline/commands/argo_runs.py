"""Commands about a workflow on a cluster, with the output of the commands about local runs."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.exit_codes import DONE, FAILED
from dpa_sse.ops.core.foreign import printable
from dpa_sse.ops.runtime.events import Event
from dpa_sse.pipeline.commands.monitor import print_status, print_task_names
from dpa_sse.pipeline.commands.run_target import RunTarget
from dpa_sse.pipeline.engines.argo import nodes
from dpa_sse.pipeline.engines.argo.cluster import ArgoRun, Cluster
from dpa_sse.pipeline.runs.folder import now
from dpa_sse.pipeline.runs.outcome import exit_code
from dpa_sse.pipeline.runs.progress import event_line, status_rows, table
from dpa_sse.pipeline.runs.stage_status import StageStatus, stage_status

if TYPE_CHECKING:
    from dpa_sse.pipeline.runs.folder import Run

POLL_S = 3.0
ENDED = ("done", "failed", "refused", "stopped")


def show_status(run: ArgoRun, cluster: Cluster, *, as_json: bool) -> int:
    """Print the stages of a workflow with their progress, and why tasks have failed."""
    workflow = cluster.get(run)
    stages, state = _stages(workflow), workflow.state
    print_status(run.name, state, stages, as_json=as_json, place="pods: ")
    if as_json:
        return DONE
    from rich.console import Console

    console = Console(highlight=False)
    for event in workflow.events():
        if event.kind == "retry":
            console.print(event_line(event), markup=False)
    message = workflow.message
    if state in ("failed", "waiting") and message and not any(stage.failures for stage in stages):
        console.print(message, markup=False)
    if state == "suspended":
        console.print(f"Waiting for your approval; continue with: dpa-sse resume {_name(run)}", markup=False)
    return DONE


def watch(run: ArgoRun, cluster: Cluster) -> int:
    """Show the progress of a workflow until it ends."""
    live = None
    if sys.stdout.isatty():
        from rich.live import Live

        live = Live(auto_refresh=False)
        live.__enter__()
    shown: set[tuple[str, str, str]] = set()
    state = ""
    try:
        while state not in ENDED:
            workflow = cluster.get(run)
            state = workflow.state
            for event in workflow.events():
                mark = (event.kind, event.task, str(event.folder))
                text = event_line(event)
                if mark not in shown and text and live is None:
                    print(text)
                shown.add(mark)
            sys.stdout.flush()
            if live is not None:
                live.update(table(status_rows(_stages(workflow), now()), f"{run.name}: {state}"), refresh=True)
            if state not in ENDED:
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        return DONE  # the workflow itself continues
    finally:
        if live is not None:
            live.__exit__(None, None, None)
    print(f"{run.name}: {state}")
    return exit_code(state)


def show_logs(run: ArgoRun, cluster: Cluster, task: str | None, lines: int) -> int:
    """Print the last lines of the logs of the pods of a task, or of all failed tasks; else the names of the tasks."""
    workflow = cluster.get(run)
    all_pods = workflow.pods()
    if task is None:
        chosen = [pods for pods in all_pods if pods.node.get("phase") in ("Failed", "Error")]
        if not chosen:
            print_task_names(_name(run), workflow.events())
            return DONE
    else:
        chosen = [pods for pods in all_pods if task in (pods.key, pods.step, *pods.tasks)]
    if not chosen:
        near = [name for pods in all_pods for name in pods.tasks if name.startswith(str(task))]
        hint = f"; tasks that start with it: {', '.join(near[:8])}" if near else ""
        raise InputError(printable(f"{task}: no such task in {run.name}{hint}"))
    for pods in chosen:
        for number, node in reversed(list(enumerate(pods.attempts, start=1))):
            print(printable(f"--- {pods.key}, pod {number} of {len(pods.attempts)}: {node.get('phase', '')} "
                            f"{nodes.readable(node.get('message', ''))}".rstrip()))
            print(printable(_log(run, cluster, node, lines)))
    return DONE


def _log(run: ArgoRun, cluster: Cluster, node: dict[str, Any], lines: int) -> str:
    text = cluster.pod_log(run, str(node["id"]), lines)
    if text is not None:
        return text.rstrip()
    kept = [item for item in (node.get("outputs") or {}).get("artifacts") or [] if item["name"] == "main-logs"]
    if not kept:
        return "(the pod no longer exists and its log was not stored)"
    from dpa_sse.pipeline.engines.argo.bucket import open_bucket

    data = open_bucket(cluster, run.namespace).get(kept[0]["s3"]["key"]) or b""
    return "\n".join(data.decode("utf-8", "replace").rstrip().splitlines()[-lines:])


def stop(run: ArgoRun, cluster: Cluster) -> int:
    """End the pods of a workflow; what has finished is kept."""
    state = cluster.get(run).state
    if state in ENDED:
        print(f"{run.name}: nothing is running")
        return DONE
    cluster.stop(run)
    print(f"{run.name}: stopped; continue it with: dpa-sse resume {_name(run)}")
    return DONE


def resume(run: ArgoRun, cluster: Cluster) -> int:
    """Open the gate that a workflow waits at, or submit a failed or stopped workflow again.

    Its finished tasks are found in the store of the namespace: only what failed, and what depends on it, is computed.
    """
    state = cluster.get(run).state
    if state == "suspended":
        opened = cluster.open_gates(run)
        print(printable(f"{run.name}: resumed ({', '.join(opened)})"))
        return DONE
    if state not in ("failed", "refused", "stopped"):
        print(f"{run.name}: {state}; nothing to resume")
        return DONE if state == "done" else FAILED
    again = dataclasses.replace(run, name=cluster.resubmit(run))
    again.record()
    print(f"{run.name}: resumed as {again.name}; finished tasks are taken from the store")
    print(f"Follow it with: dpa-sse watch {_name(again)}")
    return DONE


def _download(run: ArgoRun, cluster: Cluster, steps: Sequence[str], out: Path | None) -> Run:
    """Download results into a run folder and return it."""
    from dpa_sse.pipeline.engines.argo.bucket import open_bucket
    from dpa_sse.pipeline.engines.argo.results import download
    from dpa_sse.pipeline.runs.folder import Run
    from dpa_sse.pipeline.runs.places import default_runs_folder

    workflow = cluster.get(run)
    target = Run((out or run.folder or default_runs_folder() / run.name).resolve())
    count = download(workflow, open_bucket(cluster, run.namespace), target, steps, print)
    dataclasses.replace(run, folder=target.folder).record()
    print(f"{target.folder}: {count} task{'s' * (count != 1)}")
    return target


def download_results(run: ArgoRun, cluster: Cluster, steps: Sequence[str], out: Path | None) -> int:
    """Download results and complete the run folder: links to models and data, report."""
    from dpa_sse.pipeline.commands.run_end import write_report
    from dpa_sse.pipeline.commands.run_links import publish

    target = _download(run, cluster, steps, out)
    publish(target)
    if "report" in target.finished():
        write_report(target, "done")
    return DONE


def report(run: ArgoRun, cluster: Cluster, out: Path | None) -> int:
    """Download the main results and the report; for an unfinished workflow, write the report of what there is."""
    from dpa_sse.pipeline.commands.run_end import write_report
    from dpa_sse.pipeline.commands.run_links import publish

    target = _download(run, cluster, [], out)
    publish(target)
    state = cluster.get(run).state
    path = write_report(target, "done" if "report" in target.finished() else state)
    print(f"Report: {path}")
    return DONE


def _stages(workflow: nodes.ArgoWorkflow) -> list[StageStatus]:
    events = workflow.events()
    if workflow.state in ENDED:
        events.append(Event(kind="run-end", time=events[-1].time if events else 0.0))
    return stage_status(workflow.plan, events)


def _name(run: ArgoRun) -> str:
    if run.folder is not None:
        return run.folder.name if run.folder.parent.name == "runs" else str(run.folder)
    return f"argo:{run.namespace}/{run.name}"


class ArgoTarget(RunTarget):
    """A workflow on a cluster, and the connection to that cluster."""

    def __init__(self, run: ArgoRun, cluster: Cluster) -> None:
        self.run, self.cluster = run, cluster

    def show_status(self, *, as_json: bool, only: Sequence[str] = ()) -> int:
        """Print the stages with their progress, and why tasks have failed."""
        if only:
            raise InputError(
                "--only is for run folders on this machine: the nodes of a workflow are those of all targets"
            )
        return show_status(self.run, self.cluster, as_json=as_json)

    def watch(self) -> int:
        """Show the progress until the workflow ends."""
        return watch(self.run, self.cluster)

    def show_logs(self, task: str | None, lines: int) -> int:
        """Print the logs of the pods of a task, or of all failed tasks; else the names of the tasks."""
        return show_logs(self.run, self.cluster, task, lines)

    def stop(self) -> int:
        """End the pods of the workflow."""
        return stop(self.run, self.cluster)

    def resume(self) -> int:
        """Open the gate that the workflow waits at, or submit it again."""
        return resume(self.run, self.cluster)

    def download(self, steps: Sequence[str], out: Path | None) -> int:
        """Download results into a run folder."""
        return download_results(self.run, self.cluster, steps, out)

    def rebuild_report(self, out: Path | None) -> int:
        """Download the main results and write or download the report."""
        return report(self.run, self.cluster, out)
