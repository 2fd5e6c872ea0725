"""What the status of an Argo workflow says, in the words of local runs: events of tasks, one state for the whole."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.runtime.groups import members

PLAN = "dpa-sse/plan"
RUNNING = ("Pending", "Running")
STATES = {
    "": "waiting", "Pending": "waiting", "Running": "running", "Succeeded": "done", "Failed": "failed",
    "Error": "failed",
}
_EVENTS = {"Succeeded": "done", "Failed": "failed", "Error": "failed"}
_ITERATION = re.compile(r"-i(\d+)(?:-\d+)?$")


@dataclass(frozen=True)
class Pods:
    """One step of the DAG that pods work on, or one group of a fan-out, with all its attempts.

    Attributes
    ----------
    key : str
        The step's key in the workflow, e.g. ``train-i0-1``.
    step : str
        Name of the step in the plan.
    tasks : tuple of str
        Names of its tasks, as local runs call them: ``train-i000-001``.
    node : mapping
        The node that tells the outcome.
    attempts : tuple of mapping
        The nodes of its pods, the last one is the latest.
    """

    key: str
    step: str
    tasks: tuple[str, ...]
    node: Mapping[str, Any]
    attempts: tuple[Mapping[str, Any], ...]

    @property
    def reason(self) -> str:
        """Why it failed, or why its last attempt did."""
        for node in (*self.attempts[::-1], self.node):
            if node.get("message") and node.get("phase") in ("Failed", "Error"):
                return readable(node["message"])
        return readable(self.node.get("message", ""))

    @property
    def pod_ids(self) -> list[str]:
        """Node identifiers of its pods, the latest first."""
        return [str(node["id"]) for node in reversed(self.attempts)]


def nodes_of(workflow: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nodes of a workflow, also when Argo has compressed them.

    Raises
    ------
    InputError
        They are kept in Argo's database.
    """
    status = workflow.get("status") or {}
    if status.get("nodes"):
        return dict(status["nodes"])
    if status.get("compressedNodes"):
        return dict(json.loads(gzip.decompress(base64.b64decode(status["compressedNodes"]))))
    if status.get("offloadNodeStatusVersion"):
        raise InputError(
            "Argo keeps the status of this large workflow in its database: see the user interface, or `argo get`"
        )
    return {}


def plan_of(workflow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the steps of the DAG that the workflow was rendered from.

    Raises
    ------
    InputError
        It is no workflow of this pipeline.
    """
    text = (workflow["metadata"].get("annotations") or {}).get(PLAN)
    if not text:
        raise InputError(f"{workflow['metadata']['name']}: not rendered by dpa-sse (no annotation {PLAN})")
    return list(json.loads(text))


def state_of(workflow: Mapping[str, Any]) -> str:
    """Return one word for the whole workflow: waiting, running, suspended, stopped, done or failed."""
    phase = (workflow.get("status") or {}).get("phase", "")
    if phase == "Running" and (workflow["spec"].get("suspend") or gates(nodes_of(workflow))):
        return "suspended"
    if phase in ("Failed", "Error") and workflow["spec"].get("shutdown"):
        return "stopped"
    return STATES.get(phase, phase)


def gates(nodes: Mapping[str, Any]) -> list[str]:
    """Return the identifiers of the nodes that wait for a person."""
    return [key for key, node in nodes.items() if node.get("type") == "Suspend" and node.get("phase") in RUNNING]


def pods_of(workflow: Mapping[str, Any]) -> list[Pods]:
    """Return everything that pods have worked on, in the order in which it began."""
    nodes = nodes_of(workflow)
    steps = {node["name"] for node in plan_of(workflow)}
    inner = {child for node in nodes.values() if node.get("type") == "Retry" for child in node.get("children", [])}
    found = []
    for identifier, node in nodes.items():
        step = node.get("templateName", "")
        if node.get("type") not in ("Pod", "Retry") or identifier in inner or step not in steps:
            continue
        values = _inputs(node)
        key = str(values.get("dflow_key") or step)
        children = [nodes[child] for child in node.get("children", []) if child in nodes]
        attempts = [child for child in children if child.get("type") == "Pod" and child.get("templateName") == step]
        if node["type"] == "Pod":
            attempts = [node]
        attempts.sort(key=lambda attempt: _number(attempt.get("name", "")))
        found.append(Pods(key, step, tuple(_tasks(step, key, values)), node, tuple(attempts)))
    return sorted(found, key=lambda pods: (pods.node.get("startedAt") or "9", pods.key))


def events_of(workflow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what happened to each task, in the form of a run's event log.

    The tasks of a group share the times of their pod; those that its progress counts are done.
    """
    stages = {node["name"]: node["stage"] for node in plan_of(workflow)}
    events = []
    for pods in pods_of(workflow):
        phase = pods.node.get("phase", "Pending")
        begun = _seconds(pods.node.get("startedAt"))
        if begun is None or (phase == "Pending" and not pods.attempts):
            continue
        done = _progress(pods)
        ended = _seconds(pods.node.get("finishedAt"))
        share = (ended - begun) / len(pods.tasks) if ended else 0.0
        for number, task in enumerate(pods.tasks):
            base = {"stage": stages[pods.step], "task": task, "pods": pods.key}
            events.append({"time": begun, "event": "start", **base})
            kind = _EVENTS.get(phase, "done" if number < done else None)
            if kind:
                event = {"time": ended or begun, "event": kind, "seconds": round(share, 1), **base}
                events.append(event | ({"reason": pods.reason, "folder": pods.key} if kind == "failed" else {}))
        if phase in RUNNING and len(pods.attempts) > 1:
            events.append({
                "time": begun, "event": "retry", "stage": stages[pods.step], "task": pods.tasks[0],
                "reason": pods.reason, "folder": f"attempt {len(pods.attempts)}",
            })
    return sorted(events, key=lambda event: event["time"])


def readable(message: str) -> str:
    """Return the message of a node without the words that Argo and Kubernetes put around it."""
    return re.sub(r"^(?:main: )?Error \(exit code (\d+)\)(?:: )?", lambda m: "" if m.end() < len(message) else m[0],
                  message.strip())


def _inputs(node: Mapping[str, Any]) -> dict[str, str]:
    return {item["name"]: item.get("value", "") for item in (node.get("inputs") or {}).get("parameters") or []}


def _tasks(step: str, key: str, values: Mapping[str, str]) -> Iterator[str]:
    found = _ITERATION.search(key) if "iteration" in values else None
    name = f"{step}-i{int(found[1]):03d}" if found else step
    if "group_size" not in values:
        yield name
        return
    group, size, count = (int(values[part]) for part in ("group", "group_size", "count"))
    for index in members(group, size, count):
        yield f"{name}-{index:03d}"


def _progress(pods: Pods) -> int:
    text = str(pods.node.get("progress", "0/1"))
    done, _, total = text.partition("/")
    return int(done) if total == str(len(pods.tasks)) and done.isdigit() else 0


def _number(name: str) -> int:
    found = re.search(r"\((\d+)\)$", name)
    return int(found[1]) if found else 0


def _seconds(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
