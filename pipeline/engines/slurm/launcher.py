"""Starts one dflow step whose tasks are jobs: ``python -m dpa_sse.pipeline.engines.slurm.launcher SCRIPT``."""

from __future__ import annotations

from dpa_sse.ops.core import environment as env
from dpa_sse.pipeline.engines import launcher


def send_tasks_to_queue() -> None:
    """Let the tasks of this process run as jobs."""
    from dpa_sse.ops.runtime.task import TaskOP
    from dpa_sse.pipeline.engines.slurm.plan_file import BatchPlan
    from dpa_sse.pipeline.engines.slurm.runner import QueueRunner
    from dpa_sse.pipeline.engines.slurm.scheduler import Scheduler
    from dpa_sse.pipeline.engines.slurm.systems import dialect_of

    run = env.RUN.read()
    assert run is not None  # noqa: S101  (the engine has set it)
    plan = BatchPlan.read(run / ".engine")
    TaskOP.elsewhere = QueueRunner(run, plan, Scheduler(dialect_of(plan.system)))


if __name__ == "__main__":
    launcher.main(send_tasks_to_queue)
