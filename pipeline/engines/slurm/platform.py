"""A batch system as a platform: the same DAG and run folder as on this machine, tasks as jobs."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from dpa_sse.ops.core import environment as env
from dpa_sse.pipeline.config.batch import Job, Kind
from dpa_sse.pipeline.engines.local.platform import LocalPlatform
from dpa_sse.pipeline.engines.platform import MAX_GROUP, Resources, StepSpec

if TYPE_CHECKING:
    from dpa_sse.ops.runtime.task import TaskOP


class SlurmPlatform(LocalPlatform):
    """Jobs of Slurm, or of a system like it.

    Parameters
    ----------
    resources : Resources
        Failure policy and threads of the project.
    jobs : dict
        What the jobs of each kind of work ask for.
    """

    command = (sys.executable, "-P", "-m", "dpa_sse.pipeline.engines.slurm.launcher")

    def __init__(self, resources: Resources, jobs: dict[Kind, Job]) -> None:
        super().__init__(resources)
        self.jobs = jobs
        self.specs: dict[str, StepSpec] = {}
        self._grouped: dict[type[TaskOP], bool] = {}

    def job(self, op: type[TaskOP]) -> Job:
        """Return what the jobs of an OP ask for."""
        return self.jobs[op.resource_class]  # type: ignore[index]

    def group_size(self, op: type[TaskOP], count: int, *, gpu: bool, grouped: bool) -> int:
        """Return all: one process submits the tasks of a fan-out, and waits for them."""
        self._grouped[op] = grouped
        return count

    def tasks_per_job(self, spec: StepSpec) -> int:
        """Return how many tasks of a fan-out share a job, one after the other or side by side."""
        job = self.job(spec.op)
        shared = min(MAX_GROUP, math.ceil(spec.tasks / job.max_jobs)) if self._grouped.get(spec.op) else 1
        return job.tasks_per_job or max(shared, min(job.side_by_side, spec.tasks))

    def threads(self, spec: StepSpec, concurrency: int) -> int:
        """Return the threads of a task: the cores of a process of its job, or its share; one next to the driver."""
        job = self.job(spec.op)
        whole = job.cpus_per_task if spec.tasks == 1 else job.share[1]
        cores = 1 if job.where == "driver" else whole
        return min(cores, self.resources.threads_per_task or cores)

    def environment(self, spec: StepSpec) -> dict[str, str]:
        """Return the failure policy of the tasks, and how many share a job."""
        self.specs[spec.name] = spec
        return dict([
            env.RETRIES.entry(self.resources.retries),
            env.TASK_TIMEOUT_S.entry(self.resources.task_timeout_s),
            env.TASKS_PER_JOB.entry(self.tasks_per_job(spec)),
        ])
