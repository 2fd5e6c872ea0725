"""The status of an Argo workflow in the words of local runs: events of tasks, one state for the whole."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.foreign import printable
from dpa_sse.ops.runtime.events import Event, EventKind
from dpa_sse.ops.runtime.groups import members
from dpa_sse.pipeline.runs.outcome import failed_word
from dpa_sse.pipeline.runs.plan import PlannedStep, parse_plan

PLAN = "dpa-sse/plan"
MAX_GROUP_SIZE = 100_000
RUNNING = ("Pending", "Running")
STATES = {
    "": "waiting", "Pending": "waiting", "Running": "running", "Succeeded": "done", "Failed": "failed",
    "Error": "failed",
}
_EVENTS: dict[str, EventKind] = {"Succeeded": "done", "Failed": "failed", "Error": "failed"}
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
        The node that has the outcome.
    attempts : tuple of mapping
        The nodes of its pods, the latest one last.
    """

    key: str
    step: str
    tasks: tuple[str, ...]
    node: Mapping[str, Any]
    attempts: tuple[Mapping[str, Any], ...]

    @property
    def reason(self) -> str:
        """Why it failed, or why its last attempt failed."""
        for node in (*self.attempts[::-1], self.node):
            if node.get("message") and node.get("phase") in ("Failed", "Error"):
                return readable(node["message"])
        return readable(self.node.get("message", ""))

    @property
    def values(self) -> dict[str, str]:
        """Input parameters of the node, by name."""
        return _inputs(self.node)

    @property
    def pod_ids(self) -> list[str]:
        """Node identifiers of its pods, latest first."""
        return [str(node["id"]) for node in reversed(self.attempts)]


@dataclass(frozen=True)
class ArgoWorkflow:
    """A workflow with its status, as the API server returns it.

    Attributes
    ----------
    data : dict
        The object of Kubernetes.
    """

    data: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the workflow."""
        return str(self.data["metadata"]["name"])

    @property
    def message(self) -> str:
        """Argo's message about the whole workflow, empty for none."""
        return printable(str((self.data.get("status") or {}).get("message", "")))

    # foreign: nodes of the status of an Argo workflow
    @cached_property
    def nodes(self) -> dict[str, dict[str, Any]]:
        """The nodes by their identifiers, also if Argo has compressed them.

        Raises
        ------
        InputError
            They are kept in Argo's database.
        """
        status = self.data.get("status") or {}
        if status.get("nodes"):
            return dict(status["nodes"])
        if status.get("compressedNodes"):
            return dict(json.loads(gzip.decompress(base64.b64decode(status["compressedNodes"]))))
        if status.get("offloadNodeStatusVersion"):
            raise InputError(
                "Argo keeps the status of this large workflow in its database: see the user interface, or `argo get`"
            )
        return {}

    @property
    def plan(self) -> list[PlannedStep]:
        """The steps of the DAG that the workflow was rendered from.

        Raises
        ------
        InputError
            It is not a workflow of this pipeline.
        """
        text = (self.data["metadata"].get("annotations") or {}).get(PLAN)
        if not text:
            raise InputError(f"{self.name}: not rendered by dpa-sse (no annotation {PLAN})")
        try:
            return parse_plan(text)
        except ValueError as error:
            raise InputError(f"{self.name}: its annotation {PLAN} is not a plan of this version") from error

    @property
    def state(self) -> str:
        """One word: waiting, running, suspended, stopped, done, refused or failed."""
        phase = (self.data.get("status") or {}).get("phase", "")
        if phase == "Running" and (self.data["spec"].get("suspend") or self.gates):
            return "suspended"
        if phase in ("Failed", "Error") and self.data["spec"].get("shutdown"):
            return "stopped"
        if phase in ("Failed", "Error"):
            with suppress(InputError):  # not rendered by dpa-sse
                return failed_word(self.events())
        return STATES.get(phase, phase)

    @property
    def gates(self) -> list[str]:
        """Identifiers of the nodes that wait for a person."""
        return [
            key for key, node in self.nodes.items()
            if node.get("type") == "Suspend" and node.get("phase") in RUNNING
        ]

    def pods(self) -> list[Pods]:
        """Return everything that pods have worked on, in the order in which it started."""
        nodes = self.nodes
        steps = {step.name for step in self.plan}
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

    def events(self) -> list[Event]:
        """Return what happened to each task, in the form of a run's event log.

        The tasks of a group share the times of their pod; those that its progress counts are done.
        """
        stages = {step.name: step.stage for step in self.plan}
        events = [event for pods in self.pods() for event in _events(pods, stages[pods.step])]
        return sorted(events, key=lambda event: event.time)


def _events(pods: Pods, stage: str) -> Iterator[Event]:
    phase = pods.node.get("phase", "Pending")
    started = _seconds(pods.node.get("startedAt"))
    if started is None or (phase == "Pending" and not pods.attempts):
        return
    done = _progress(pods)
    ended = _seconds(pods.node.get("finishedAt"))
    share = round((ended - started) / len(pods.tasks) if ended else 0.0, 1)
    for number, task in enumerate(pods.tasks):
        yield Event(time=started, kind="start", stage=stage, task=task, pods=pods.key)
        kind: EventKind | None = _EVENTS.get(phase, "done" if number < done else None)
        if kind:
            failed = kind == "failed"
            yield Event(
                time=ended or started, kind=kind, seconds=share, stage=stage, task=task, pods=pods.key,
                reason=pods.reason if failed else None, folder=pods.key if failed else None,
            )
    if phase in RUNNING and len(pods.attempts) > 1:
        yield Event(
            time=started, kind="retry", stage=stage, task=pods.tasks[0], reason=pods.reason,
            folder=f"attempt {len(pods.attempts)}",
        )


def readable(message: str) -> str:
    """Return the message of a node without what Argo and Kubernetes add to it."""
    return re.sub(r"^(?:main: )?Error \(exit code (\d+)\)(?:: )?", lambda m: "" if m.end() < len(message) else m[0],
                  printable(message.strip()))


def _inputs(node: Mapping[str, Any]) -> dict[str, str]:
    return {item["name"]: item.get("value", "") for item in (node.get("inputs") or {}).get("parameters") or []}


def _tasks(step: str, key: str, values: Mapping[str, str]) -> Iterator[str]:
    found = _ITERATION.search(key) if "iteration" in values else None
    name = f"{step}-i{int(found[1]):03d}" if found else step
    if "group_size" not in values:
        yield name
        return
    try:
        group, size, count = (int(values[part]) for part in ("group", "group_size", "count"))
    except (KeyError, ValueError) as error:
        raise InputError(
            f"step {printable(key)}: not rendered by dpa-sse (group, group_size and count of its pods)"
        ) from error
    if not (group >= 0 and 0 < size <= MAX_GROUP_SIZE and count >= 0):
        raise InputError(f"step {printable(key)}: groups of {size} tasks: not rendered by dpa-sse")
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
