"""Where the DAG is to run: what the wiring asks of a machine or a cluster, and the answers of this machine."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dpa_sse.ops.errors import InputError

if TYPE_CHECKING:
    from dpa_sse.ops.task import TaskOP

MAX_GROUP = 50


@dataclass(frozen=True)
class Resources:
    """What the machine, or a pod, offers to the tasks."""

    cores: int = 1
    gpus: tuple[str, ...] = ()
    tasks_per_gpu: int = 1
    threads_per_task: int | None = None
    retries: int = 1
    task_timeout_s: float = 0.0


@dataclass(frozen=True)
class Facts:
    """What a platform has to know of a step.

    Attributes
    ----------
    name, stage, title : str
        Of the step; its stage; for people.
    op : type
        What its tasks do.
    gpu : bool
        Whether they use a GPU where there is one.
    tasks, group_size : int
        Number of tasks, and how many of them go into one process (or pod).
    beside : bool
        Whether it runs beside a step that matters more.
    """

    name: str
    stage: str
    title: str
    op: type[TaskOP]
    gpu: bool
    tasks: int = 1
    group_size: int = 1
    beside: bool = False


class Platform(Protocol):
    """Where the DAG is to run: what differs between a machine and a cluster."""

    @property
    def command(self) -> Sequence[str]:
        """What starts the script of a step."""

    @property
    def helper(self) -> Sequence[str]:
        """What starts dflow's bookkeeping scripts, which need the standard library only."""

    def group_size(self, op: type[TaskOP], count: int, *, gpu: bool, grouped: bool) -> int:
        """Return how many of ``count`` equal tasks share a process."""

    def threads(self, facts: Facts, side_by_side: int) -> int:
        """Return the threads of a task, ``side_by_side`` of which run at a time."""

    def image(self, op: type[TaskOP]) -> str:
        """Return the container image that an OP needs."""

    def environment(self, facts: Facts) -> dict[str, str]:
        """Return the environment variables of a step beside those that every step has."""

    def settle(self, template: Any, facts: Facts) -> None:
        """Adapt dflow's template of a step."""

    def artifact(self, path: Path) -> Any:
        """Return an artifact for a file or folder of this machine."""

    def bucket_input(self, name: str, description: str) -> Any:
        """Return an artifact whose key in the bucket is given when the workflow is submitted."""

    def remote(self, address: str) -> Any:
        """Return an artifact for ``s3://KEY`` or ``pvc://CLAIM/PATH``."""


class LocalPlatform:
    """The machine that the command runs on: processes instead of pods, links instead of uploads."""

    command = (sys.executable, "-m", "dpa_sse.pipeline.engines.launcher")
    helper = (sys.executable, "-S", "-E")

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def group_size(self, op: type[TaskOP], count: int, *, gpu: bool, grouped: bool) -> int:
        """Return how many of ``count`` equal tasks share a process: as many as keep all cores or cards busy."""
        return min(MAX_GROUP, math.ceil(count / self.workers(count, gpu=gpu))) if grouped else 1

    def workers(self, count: int, *, gpu: bool) -> int:
        """Return how many tasks run side by side."""
        places = self.resources.cores
        if gpu and self.resources.gpus:
            places = len(self.resources.gpus) * self.resources.tasks_per_gpu
        return max(1, min(count, places))

    def threads(self, facts: Facts, side_by_side: int) -> int:
        """Return a task's share of the cores."""
        share = max(1, self.resources.cores // self.workers(side_by_side, gpu=facts.gpu and side_by_side > 1))
        return min(share, self.resources.threads_per_task or share)

    def image(self, op: type[TaskOP]) -> str:
        """Return a name; nothing is containerised here."""
        return "dpa-sse-base"

    def environment(self, facts: Facts) -> dict[str, str]:
        """Return the failure policy of the tasks, and their priority."""
        variables = {
            "DPA_SSE_RETRIES": str(self.resources.retries),
            "DPA_SSE_TASK_TIMEOUT_S": str(self.resources.task_timeout_s),
        }
        if facts.beside:  # takes the cores that the other leaves, and all of them when that has finished
            variables["DPA_SSE_NICE"] = "10"
        return variables

    def settle(self, template: Any, facts: Facts) -> None:
        """Leave the template as it is: dflow's debug mode knows nothing of pods."""

    def artifact(self, path: Path) -> Any:
        """Return dflow's link to the file or folder."""
        from dflow import upload_artifact

        return upload_artifact(path.resolve())

    def bucket_input(self, name: str, description: str) -> Any:
        """Refuse: this machine has no bucket."""
        raise InputError(f"{name}: inputs from a bucket exist on a cluster only")

    def remote(self, address: str) -> Any:
        """Refuse: this machine has no bucket and no volumes."""
        raise InputError(f"{address}: on a cluster only (dpa-sse render, submit); here, give a file or folder")
