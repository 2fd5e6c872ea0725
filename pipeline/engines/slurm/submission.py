"""Submitting: what is about to be submitted is written down before, so that nothing is submitted twice."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.errors import FatalError, PipelineError
from dpa_sse.ops.runtime import events
from dpa_sse.ops.runtime.task import Inputs
from dpa_sse.pipeline.config.batch import Job
from dpa_sse.pipeline.engines.slurm.dialect import AnswerError, Request
from dpa_sse.pipeline.engines.slurm.plan_file import BatchPlan
from dpa_sse.pipeline.engines.slurm.records import (
    SCRIPT,
    Batch,
    BatchFolder,
    BatchTask,
    Share,
    make_folder,
    new_name,
    now,
    plain_inputs,
)
from dpa_sse.pipeline.engines.slurm.scheduler import FullError, RefusedError, Scheduler, SilentError
from dpa_sse.pipeline.engines.slurm.script import batch_script, current_umask

if TYPE_CHECKING:
    from dpa_sse.ops.runtime.task import TaskOP

PASSED = (
    env.RUN, env.STEP, env.STAGE, env.THREADS, env.RETRIES, env.TASK_TIMEOUT_S, env.VERSION, env.LMP,
)
"""Variables that describe a task to its process; nothing else of this process's environment is written down."""
SETTLED_S = 20.0
"""A submission that was begun this long ago has most likely reached the system, or never will."""
LOOK_S = 2.0
DUPLICATES_S = 10.0
"""Time between two looks for an attempt that has arrived later than its repetition."""
ODD_ANSWERS = 3
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 60.0


class Submitter:
    """Submits the tasks of a step.

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
        self.run = run
        self.plan = plan
        self.scheduler = scheduler
        self.op = op
        self._looked = 0.0

    def prepare(
        self, members: list[list[BatchTask]], inputs: Inputs, mem_GB: float | None, *, width: int = 1,
        exclude: tuple[str, ...] = (),
    ) -> BatchFolder:
        """Write down what is about to be submitted; each list of tasks is the work of a job.

        Raises
        ------
        FatalError
            The run folder cannot be written to.
        """
        tasks = [task for member in members for task in member]
        numbers = iter(range(len(tasks)))
        step = env.STEP.read() or type(self.op).__name__
        batch = Batch(
            name=new_name(step), step=step, stage=env.STAGE.read(), kind=self.op.resource_class,
            module=type(self.op).__module__, op=type(self.op).__name__, reuse=self.op.cached,
            environment={one.name: os.environ[one.name] for one in PASSED if one.name in os.environ},
            inputs=plain_inputs(inputs), tasks=tasks, members=[[next(numbers) for _ in member] for member in members],
            dflow=self.plan.dflow, mem_GB=mem_GB, created=now(), width=width, exclude=list(exclude),
            share=share_of(self.plan.jobs[self.op.resource_class]),  # type: ignore[index]
        )
        try:
            return make_folder(self.run / ".engine", batch, self._script)
        except OSError as error:
            raise FatalError(f"{unwritable(error)}; nothing was submitted") from error

    def send(self, folder: BatchFolder) -> None:
        """Submit what has been written down.

        Raises
        ------
        FatalError
            The system does not accept it, or its number cannot be written down; the next start finds that.
        FullError
            It does not accept so many at a time.
        """
        try:
            number = self._number(folder, self._request(folder.path, folder.batch))
        except (FatalError, FullError):
            folder.close()
            raise
        try:
            folder.submitted(number)
        except OSError as error:
            raise FatalError(f"job {number} was submitted, but {unwritable(error)}") from error

    def _script(self, path: Path, batch: Batch) -> str:
        command = self.plan.command(path, self.run)
        request = self._request(path, batch)
        return batch_script(self.scheduler.dialect, request, command, self.plan.exports(), current_umask())

    def _request(self, path: Path, batch: Batch) -> Request:
        job = self.plan.jobs[self.op.resource_class]  # type: ignore[index]
        if batch.mem_GB is not None:
            job = job.model_copy(update={"mem_GB": batch.mem_GB})
        return Request(
            name=batch.name, folder=path, script=path / SCRIPT, count=len(batch.members), job=job,
            account=self.plan.settings.account, stop_before_s=min(self.plan.settings.stop_before_s, job.seconds // 2),
            width=batch.width, exclude=tuple(batch.exclude),
        )

    def _number(self, folder: BatchFolder, request: Request) -> str:
        """Return the number of the submitted job, however long the system takes."""
        wait, odd, told, uncertain = FIRST_WAIT_S, 0, False, False
        while True:
            try:
                number = self.scheduler.submit(request)
                return (self.look_for(folder) or number) if uncertain else number  # one of several attempts stays
            except (SilentError, AnswerError) as error:
                full, unknown = isinstance(error, FullError), isinstance(error, AnswerError)
                until = 0.0 if full or unknown else now() + SETTLED_S  # the system may take it a little later
                if (not full or uncertain) and (earlier := self.look_for(folder, until)) is not None:
                    return earlier
                if full:
                    raise
                odd += unknown
                uncertain = True  # the attempt may still arrive
                if odd >= ODD_ANSWERS:
                    raise RefusedError(f"{error}; nothing was submitted ({odd} attempts)") from error
                if not told:
                    events.emit("note", env.STAGE.read(), reason=f"{error}. Trying again until it is submitted.")
                    told = True
            time.sleep(wait)
            wait = min(LONGEST_WAIT_S, wait * 2)
            if (earlier := self.look_for(folder)) is not None:
                return earlier
            folder.repeat()

    def look_for(self, folder: BatchFolder, until: float = 0.0) -> str | None:
        """Return the number of a job whose submission may have been accepted; None if it was not, as far as is known.

        Parameters
        ----------
        folder : BatchFolder
        until : float
            If there is none, look again until then (seconds since the epoch).
        """
        while (found := self._stays(folder)) is None and now() < until:
            time.sleep(LOOK_S)
        return found

    def _stays(self, folder: BatchFolder) -> str | None:
        """Return the number of the job of a submission that is to do the work; cancel its repetitions."""
        while True:
            try:
                found = self.scheduler.find(folder.path.name)
            except SilentError:
                time.sleep(LONGEST_WAIT_S / 6)
                continue
            except FatalError:
                return None
            number = folder.job if folder.job in found else found[0] if found else None
            self._end([other for other in found if other != number], folder)
            return number

    def end_duplicates(self, folders: Iterable[BatchFolder], *, at_once: bool = False) -> None:
        """Cancel the jobs of attempts that have reached the system later than their repetitions.

        Parameters
        ----------
        folders : iterable of BatchFolder
        at_once : bool
            They are about to be closed: look now, whenever the last look was.
        """
        repeated = [folder for folder in folders if folder.job is not None and folder.repeated]
        if not repeated or (not at_once and time.monotonic() - self._looked < DUPLICATES_S):
            return
        self._looked = time.monotonic()
        for folder in repeated:
            with suppress(PipelineError):
                others = [number for number in self.scheduler.find(folder.path.name) if number != folder.job]
                self._end(others, folder)

    def _end(self, numbers: list[str], folder: BatchFolder) -> None:
        self.scheduler.cancel([(number, None) for number in numbers], dict.fromkeys(numbers, folder.path.name))

    def recover(self, folder: BatchFolder) -> bool:
        """Return whether a submission has reached the system, and write down its number if its driver could not."""
        if folder.job is not None:
            return True
        settle(folder)
        number = self.look_for(folder)
        if number is not None:
            folder.submitted(number)
        return number is not None


def share_of(job: Job) -> Share | None:
    """Return what each of the tasks of a job has that run side by side; None if they run one after the other."""
    if job.side_by_side == 1:
        return None
    processes, threads = job.share
    return Share(tasks=job.side_by_side, processes=processes, threads=threads, gpus=job.gpus)


def settle(folder: BatchFolder) -> None:
    """Wait until a submission that was begun a moment ago has reached the system, or never will."""
    age = now() - folder.batch.created
    if 0 <= age < SETTLED_S:
        time.sleep(SETTLED_S - age)


def unwritable(error: OSError) -> str:
    """Return in one line why a file of the run cannot be written, and what to do."""
    full = error.errno in NO_ROOM
    why = "no space is left, or the quota is used up" if full else error.strerror or type(error).__name__
    advice = "make room, and start the run again" if full else "start the run again when it can be written to"
    return f"{error.filename or 'the run folder'}: {why}; {advice}"
