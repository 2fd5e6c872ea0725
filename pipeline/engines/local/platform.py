"""The local machine as a platform: processes instead of pods, links instead of uploads."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.errors import InputError
from dpa_sse.pipeline.engines.platform import MAX_GROUP, Resources, StepSpec

if TYPE_CHECKING:
    from dpa_sse.ops.runtime.task import TaskOP

LOW_PRIORITY = 10


class LocalPlatform:
    """The machine that the command runs on."""

    command = (sys.executable, "-P", "-m", "dpa_sse.pipeline.engines.launcher")
    util_command = (sys.executable, "-S", "-E", "-P")
    suspends = False

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def group_size(self, op: type[TaskOP], count: int, *, gpu: bool, grouped: bool) -> int:
        """Return how many of ``count`` equal tasks share a process, so that all cores or GPUs are busy."""
        return min(MAX_GROUP, math.ceil(count / self.workers(count, gpu=gpu))) if grouped else 1

    def workers(self, count: int, *, gpu: bool) -> int:
        """Return how many tasks run at the same time."""
        places = self.resources.cores
        if gpu and self.resources.gpus:
            places = len(self.resources.gpus) * self.resources.tasks_per_gpu
        return max(1, min(count, places))

    def threads(self, spec: StepSpec, concurrency: int) -> int:
        """Return a task's share of the cores."""
        share = max(1, self.resources.cores // self.workers(concurrency, gpu=spec.gpu and concurrency > 1))
        return min(share, self.resources.threads_per_task or share)

    def image(self, op: type[TaskOP]) -> str:
        """Return a name; nothing runs in a container here."""
        return "dpa-sse-base"

    def environment(self, spec: StepSpec) -> dict[str, str]:
        """Return the failure policy of the tasks, and their priority."""
        variables = [
            env.RETRIES.entry(self.resources.retries),
            env.TASK_TIMEOUT_S.entry(self.resources.task_timeout_s),
        ]
        if spec.low_priority:  # takes the cores that the other step leaves, and all of them once that has finished
            variables.append(env.NICE.entry(LOW_PRIORITY))
        return dict(variables)

    def configure_template(self, template: Any, spec: StepSpec) -> None:
        """Leave the template as it is: dflow's debug mode has no pods."""

    def artifact(self, path: Path) -> Any:
        """Return dflow's link to the file or folder."""
        from dflow import upload_artifact

        return upload_artifact(path.resolve())

    def bucket_input(self, name: str, description: str) -> Any:
        """Refuse, because this machine has no bucket.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(f"{name}: inputs from a bucket are available only on a cluster")

    def remote(self, address: str) -> Any:
        """Refuse, because this machine has no bucket and no volumes.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(f"{address}: only on a cluster (dpa-sse render, submit); here, give a file or folder")
