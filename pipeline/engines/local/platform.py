"""The machine of the command as a platform: processes instead of pods, links instead of uploads."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpa_sse.ops.core.errors import InputError
from dpa_sse.pipeline.engines.platform import MAX_GROUP, Resources, StepSpec

if TYPE_CHECKING:
    from dpa_sse.ops.runtime.task import TaskOP


class LocalPlatform:
    """The machine that the command runs on: processes instead of pods, links instead of uploads."""

    command = (sys.executable, "-m", "dpa_sse.pipeline.engines.launcher")
    util_command = (sys.executable, "-S", "-E")

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

    def threads(self, spec: StepSpec, side_by_side: int) -> int:
        """Return a task's share of the cores."""
        share = max(1, self.resources.cores // self.workers(side_by_side, gpu=spec.gpu and side_by_side > 1))
        return min(share, self.resources.threads_per_task or share)

    def image(self, op: type[TaskOP]) -> str:
        """Return a name; nothing is containerised here."""
        return "dpa-sse-base"

    def environment(self, spec: StepSpec) -> dict[str, str]:
        """Return the failure policy of the tasks, and their priority."""
        variables = {
            "DPA_SSE_RETRIES": str(self.resources.retries),
            "DPA_SSE_TASK_TIMEOUT_S": str(self.resources.task_timeout_s),
        }
        if spec.low_priority:  # takes the cores that the other leaves, and all of them when that has finished
            variables["DPA_SSE_NICE"] = "10"
        return variables

    def configure_template(self, template: Any, spec: StepSpec) -> None:
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
