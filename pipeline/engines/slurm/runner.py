"""The tasks of a step as jobs: what is done is reused, the rest is waited for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.errors import PipelineError
from dpa_sse.ops.runtime import events
from dpa_sse.ops.runtime.task import Inputs, Outcome
from dpa_sse.ops.runtime.workspace import choose_workspace
from dpa_sse.pipeline.engines.slurm.awaited import Wanted
from dpa_sse.pipeline.engines.slurm.copied_events import EventCopier
from dpa_sse.pipeline.engines.slurm.plan_file import BatchPlan
from dpa_sse.pipeline.engines.slurm.scheduler import Scheduler
from dpa_sse.pipeline.engines.slurm.waiting import Waiting, earlier_folders
from dpa_sse.pipeline.runs.folder import Run

if TYPE_CHECKING:
    from dpa_sse.ops.runtime.task import TaskOP


class QueueRunner:
    """Runs the tasks of a step on a batch system.

    Parameters
    ----------
    run : Path
        The run folder.
    plan : BatchPlan
        How the run uses the system.
    scheduler : Scheduler
        The system.
    """

    def __init__(self, run: Path, plan: BatchPlan, scheduler: Scheduler) -> None:
        self.run_folder = run
        self.plan = plan
        self.scheduler = scheduler

    def run(self, op: TaskOP, tasks: Sequence[tuple[str, Inputs]]) -> Iterator[Outcome]:
        """Yield the outcome of each task, in their order."""
        workspace = choose_workspace(reuse=op.cached)
        job = self.plan.jobs[op.resource_class]  # type: ignore[index]
        if job.where == "driver":
            for task, inputs in tasks:
                yield op.run_one(workspace, task, inputs)
            return
        copier = EventCopier(self.run_folder)
        for folder in earlier_folders(self.run_folder / ".engine"):
            copier.catch_up(folder)  # what jobs have done since the driver that submitted them was killed
        outcomes: dict[str, Outcome] = {}
        wanted: dict[str, Wanted] = {}
        for task, inputs in tasks:
            identity = op.identity(task, inputs)
            opened = workspace.open(identity)
            earlier = op.reuse(task, inputs, opened)
            if earlier is None:
                wanted[task] = Wanted(task, inputs, identity, opened.path)
            else:
                outcomes[task] = earlier
        try:
            outcomes |= Waiting(self.run_folder, self.plan, self.scheduler, op, wanted, copier).outcomes()
        except PipelineError as error:
            self._report(error, list(wanted))
            raise
        for task, _ in tasks:
            yield outcomes[task]

    def _report(self, error: PipelineError, tasks: Sequence[str]) -> None:
        """Put the reason why no job was made into the log of the run, for those who come later, unless it is there."""
        known = {event.task for event in Run(self.run_folder).latest_attempt() if event.kind == "failed"}
        if tasks and known.isdisjoint(tasks):
            events.emit("failed", env.STAGE.read(), tasks[0], reason=str(error))
