"""What a step still has to submit: as one array, or in parts as the places of the run and the system allow."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.runtime import events
from dpa_sse.pipeline.engines.slurm.awaited import Awaited, Wanted
from dpa_sse.pipeline.engines.slurm.nodes import BadNodes
from dpa_sse.pipeline.engines.slurm.places import Places, Portion
from dpa_sse.pipeline.engines.slurm.plan_file import BatchPlan
from dpa_sse.pipeline.engines.slurm.records import BatchFolder
from dpa_sse.pipeline.engines.slurm.scheduler import FullError, Scheduler
from dpa_sse.pipeline.engines.slurm.submission import Submitter

if TYPE_CHECKING:
    from dpa_sse.ops.runtime.task import TaskOP


class Backlog:
    """Tasks that wait for their submission.

    Parameters
    ----------
    run : Path
        The run folder.
    plan : BatchPlan
        How the run uses the system.
    scheduler : Scheduler
        The system.
    op : TaskOP
        What the tasks do.
    """

    def __init__(self, run: Path, plan: BatchPlan, scheduler: Scheduler, op: TaskOP) -> None:
        self.job = plan.jobs[op.resource_class]  # type: ignore[index]
        self.submitter = Submitter(run, plan, scheduler, op)
        engine, step = run / ".engine", env.STEP.read() or type(op).__name__
        self.places = Places(engine, scheduler, plan.settings.max_jobs, self.job, op.resource_class, step)
        self.portion = Portion(plan.most_members)
        self.bad_nodes = BadNodes(engine, scheduler, self.job)
        self._parts: list[tuple[list[list[Wanted]], float | None]] = []
        self._told = False

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._parts)

    def add(self, tasks: list[Wanted], mem_GB: float | None = None) -> None:
        """Add tasks; with more memory than the settings say, if given."""
        jobs = math.ceil(len(tasks) / env.TASKS_PER_JOB.read())
        if jobs:
            self._parts.append(([tasks[start::jobs] for start in range(jobs)], mem_GB))

    def submit(self, awaited: list[Awaited]) -> None:
        """Submit what there is room for, and append it to the jobs that are waited for."""
        while self._parts:
            members, mem_GB = self._parts[0]
            part = members[: self.portion.room(len(awaited))]
            if not part:
                return
            folder = self._prepare(part, mem_GB)
            if folder is None:
                return
            try:
                self.submitter.send(folder)
            except FullError as error:
                self.portion.refused(len(awaited), len(part))
                self._tell(error)
                continue
            except FatalError as error:
                self._fail(error)
            self.portion.accepted()
            awaited += [Awaited(folder, number, {task.name for task in one}) for number, one in enumerate(part)]
            del members[: len(part)]
            if not members:
                self._parts.pop(0)

    def _prepare(self, part: list[list[Wanted]], mem_GB: float | None) -> BatchFolder | None:
        """Write down what is about to be submitted, if the run has places for it."""
        plain = [[task.plain for task in member] for member in part]
        with self.places.room() as room:
            if not room:
                return None
            try:
                return self.submitter.prepare(
                    plain, part[0][0].inputs, mem_GB, width=min(room, len(part)), exclude=self.bad_nodes.names()
                )
            except FatalError as error:
                self._fail(error)
        return None

    def _tell(self, error: FullError) -> None:
        if not self._told:
            self._told = True
            text = f"not more than {self.portion.size} jobs are submitted at a time, the others when jobs have ended"
            events.emit("note", env.STAGE.read(), reason=f"{env.STEP.read()}: {error}; {text}")

    @staticmethod
    def _fail(error: FatalError) -> None:
        events.emit("error", env.STAGE.read(), reason=f"{env.STEP.read()}: {error}")
        raise error
