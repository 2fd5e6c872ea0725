"""The tasks of a step as jobs: reuse what is done, find what is in the queue, submit the rest, wait for all of it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.tools import tail
from dpa_sse.ops.results.status import TaskStatus
from dpa_sse.ops.runtime import events
from dpa_sse.ops.runtime.identity import TaskIdentity
from dpa_sse.ops.runtime.manifest import Manifest
from dpa_sse.ops.runtime.task import FanOutOP, Inputs, Outcome
from dpa_sse.ops.runtime.workspace import choose_workspace
from dpa_sse.pipeline.engines.slurm.copied_events import EventCopier
from dpa_sse.pipeline.engines.slurm.job import failed
from dpa_sse.pipeline.engines.slurm.plan_file import BatchPlan
from dpa_sse.pipeline.engines.slurm.queue import Snapshot
from dpa_sse.pipeline.engines.slurm.records import BatchFolder, BatchTask, JobResult, now, open_folders
from dpa_sse.pipeline.engines.slurm.scheduler import FullError, Scheduler
from dpa_sse.pipeline.engines.slurm.submission import Submitter
from dpa_sse.pipeline.engines.slurm.verdict import WORDS, Cause, Sight, may_repeat, more_memory, verdict

if TYPE_CHECKING:
    from dpa_sse.ops.runtime.task import TaskOP

LINGERING: tuple[Cause, ...] = ("never", "vanished", "node")
"""Causes after which a job may still be in the queue, or come back to it."""
SHORTEST_S = 0.25
LONGEST_S = 2.0
GROWTH = 1.2


@dataclass(frozen=True)
class Wanted:
    """A task that has to be computed."""

    name: str
    inputs: Inputs
    identity: TaskIdentity
    folder: Path
    losses: dict[str, int] = field(default_factory=dict)

    @property
    def plain(self) -> BatchTask:
        """The task as a part of a submission."""
        index = self.inputs.get("index")
        return BatchTask(
            name=self.name, key=self.identity.key, index=index if isinstance(index, int) else None, losses=self.losses
        )


@dataclass
class Awaited:
    """A job that is waited for, and the tasks that it still owes."""

    folder: BatchFolder
    member: int
    owes: set[str]
    seen: object = None
    since: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        """How many tasks it had."""
        return len(self.folder.batch.members[self.member])

    @property
    def label(self) -> str:
        """Number of the job, with that of the member of an array."""
        job, member = self.folder.handle(self.member)
        return job if member is None else f"{job}_{member}"


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
        outcomes |= Waiting(self, op, wanted, copier).outcomes()
        for task, _ in tasks:
            yield outcomes[task]


def earlier_folders(engine: Path) -> list[BatchFolder]:
    """Return the submissions of the present step that have not been taken over, the oldest first."""
    return [folder for folder in open_folders(engine) if folder.batch.step == env.STEP.read()]


def shown(names: Sequence[str]) -> str:
    """Return some names and the number of all."""
    return ", ".join(names) if len(names) <= 3 else f"{names[0]}, {names[1]}, ... {names[-1]} ({len(names)} tasks)"


class Waiting:
    """The jobs of one step until all of its tasks have ended."""

    def __init__(self, runner: QueueRunner, op: TaskOP, wanted: dict[str, Wanted], copier: EventCopier) -> None:
        self.op = op
        self.plan = runner.plan
        self.job = runner.plan.jobs[op.resource_class]  # type: ignore[index]
        self.engine = runner.run_folder / ".engine"
        self.scheduler = runner.scheduler
        self.title = runner.scheduler.dialect.title
        self.wanted = wanted
        self.awaited: list[Awaited] = []
        self.backlog: list[tuple[list[list[Wanted]], float | None]] = []
        self.portion = runner.plan.most_members
        self.found: dict[str, Outcome] = {}
        self.copier = copier
        self.submitter = Submitter(runner.run_folder, runner.plan, runner.scheduler, op)

    def outcomes(self) -> dict[str, Outcome]:
        """Find the jobs of an earlier driver, submit the other tasks, and wait for all."""
        if not self.wanted:
            self._forget_earlier()
            return {}
        adopted = self._adopt()
        self._submit([task for name, task in self.wanted.items() if name not in adopted])
        delay, snapshot = SHORTEST_S, Snapshot()
        while self.awaited or self.backlog:
            self._submit_backlog()
            fresh = Snapshot.read(self.engine)
            changed = self._take_results() or fresh.time != snapshot.time
            snapshot = fresh
            self._judge(snapshot)
            delay = SHORTEST_S if changed else min(LONGEST_S, delay * GROWTH)
            if self.awaited:
                time.sleep(delay)
        return self.found

    def _adopt(self) -> set[str]:
        """Take over the jobs of an earlier driver that compute what is wanted; cancel the others of this step."""
        adopted: set[str] = set()
        for folder in reversed(earlier_folders(self.engine)):  # the latest submission of a task counts
            if not self.submitter.recover(folder):
                folder.close()
                continue
            batch, stale = folder.batch, []
            for member, numbers in enumerate(batch.members):
                names = {
                    task.name for task in (batch.tasks[number] for number in numbers)
                    if task.name in self.wanted and task.name not in adopted
                    and self.wanted[task.name].identity.key == task.key and not self._failed(folder, task.name)
                }
                if not names:
                    stale.append(member)
                    continue
                adopted |= names
                for task in batch.tasks:
                    if task.name in names:
                        self.wanted[task.name].losses.update(task.losses)
                self.awaited.append(Awaited(folder, member, names))
            self._drop(folder, stale)
        if adopted:
            text = f"{self.title}: jobs of an earlier start found again: {shown(sorted(adopted))}"
            events.emit("note", env.STAGE.read(), reason=text)
        return adopted

    def _failed(self, folder: BatchFolder, task: str) -> bool:
        """Return whether a task has failed in the job of an earlier driver: a new start tries it again."""
        result = folder.result(task)
        return result is not None and failed(result)

    def _drop(self, folder: BatchFolder, members: list[int]) -> None:
        """Cancel members of a submission that nobody wants, those that have ended left out."""
        running = [member for member in members if folder.ended(member) is None]
        if folder.job is not None and running:
            whole = len(running) == len(folder.batch.members)
            self.scheduler.cancel([(folder.job, None)] if whole else [folder.handle(member) for member in running])
        if len(members) == len(folder.batch.members):
            folder.close()

    def _forget_earlier(self) -> None:
        for folder in earlier_folders(self.engine):
            if self.submitter.recover(folder):
                self._drop(folder, list(range(len(folder.batch.members))))
            else:
                folder.close()

    def _submit(self, tasks: list[Wanted], mem_GB: float | None = None) -> None:
        """Submit tasks as one array, or as few as the system allows."""
        jobs = math.ceil(len(tasks) / env.TASKS_PER_JOB.read())
        self.backlog.append(([tasks[start::jobs] for start in range(jobs)], mem_GB))
        self._submit_backlog()

    def _submit_backlog(self) -> None:
        """Submit what there is room for; once the system has refused so many, half as many at a time."""
        while self.backlog:
            members, mem_GB = self.backlog[0]
            room = self.portion - (len(self.awaited) if self.portion < self.plan.most_members else 0)
            part = members[: max(0, room)]
            if not members:
                self.backlog.pop(0)
                continue
            if not part:
                return
            plain = [[task.plain for task in member] for member in part]
            try:
                folder = self.submitter.submit(plain, part[0][0].inputs, mem_GB)
            except FullError as error:
                self.portion = max(1, len(part) // 2)
                text = f"{env.STEP.read()}: {error}; not more than {self.portion} jobs are submitted at a time"
                events.emit("note", env.STAGE.read(), reason=text)
                continue
            except FatalError as error:
                events.emit("error", env.STAGE.read(), reason=f"{env.STEP.read()}: {error}")
                raise
            del members[: len(part)]
            self.awaited += [
                Awaited(folder, number, {task.name for task in member}) for number, member in enumerate(part)
            ]

    def _take_results(self) -> bool:
        """Take over what the jobs have written; return whether there was anything."""
        folders = {one.folder.path: one.folder for one in self.awaited}
        there = {path: folder.names("results") for path, folder in folders.items()}
        new = [[task for task in one.owes if f"{task}.json" in there[one.folder.path]] for one in self.awaited]
        ended = {(one.folder.path, one.member) for one, tasks in zip(self.awaited, new, strict=True) if tasks}
        # A job writes the events of a task before its result, so these are read in the other order.
        changed = self.copier.copy(((one.folder, one.member) for one in self.awaited), ended)
        for one, tasks in zip(self.awaited, new, strict=True):
            for task in tasks:
                result = one.folder.result(task)
                if result is not None:
                    changed = True
                    one.owes.discard(task)
                    self._take(self.wanted[task], result, one)
        return self._release() or changed

    def _release(self) -> bool:
        """Forget the jobs that owe nothing, and close the submissions of which all have ended."""
        finished = [one for one in self.awaited if not one.owes]
        self.awaited = [one for one in self.awaited if one.owes]
        still = {one.folder.path for one in self.awaited}
        for folder in {one.folder.path: one.folder for one in finished}.values():
            if folder.path not in still:
                folder.close()
        return bool(finished)

    def _take(self, task: Wanted, result: JobResult, one: Awaited) -> None:
        if result.error is None and result.key == task.identity.key and result.folder is not None:
            self.found[task.name] = Path(result.folder), result.values
        else:
            self._fail(task, f"{self.title} job {one.label}: {result.error or 'a result of other inputs'}", told=True)

    def _judge(self, snapshot: Snapshot) -> None:
        """Decide about the jobs that owe results; submit lost ones again, all at once."""
        judged: list[tuple[Awaited, Cause, str]] = []
        exits = {one.folder.path: one.folder.names("exit") for one in self.awaited}
        for one in list(self.awaited):
            seen = self._verdict(one, snapshot, left=str(one.member) in exits[one.folder.path])
            if seen is not None:
                self._take_results()  # what it has finished in the meantime
                judged.append((one, *seen))
        judged = [found for found in judged if found[0].owes]
        self.scheduler.cancel([
            one.folder.handle(one.member) for one, cause, _ in judged if cause in LINGERING and one.folder.job
        ])
        again: dict[float | None, list[Wanted]] = {}
        for one, cause, detail in judged:
            lost = [self.wanted[name] for name in sorted(one.owes)]
            mem_GB = one.folder.batch.mem_GB or self.job.mem_GB
            repeat, how = may_repeat(cause, lost[0].losses, self.job, mem_GB)
            text = self._text(one, cause, detail, how)
            one.owes.clear()
            if repeat:
                events.emit("note", env.STAGE.read(), reason=f"{shown([task.name for task in lost])}: {text}")
                if len(lost) == one.size:  # a job that has finished some of its tasks was not in vain
                    for task in lost:
                        task.losses[cause] = task.losses.get(cause, 0) + 1
                memory = more_memory(mem_GB, self.job) if cause == "memory" and mem_GB else one.folder.batch.mem_GB
                again.setdefault(memory, []).extend(lost)
            else:
                for task in lost:
                    self._fail(task, text)
        self._release()
        for memory, tasks in again.items():
            self._submit(tasks, memory)

    def _verdict(self, one: Awaited, snapshot: Snapshot, *, left: bool) -> tuple[Cause, str] | None:
        """Return what has become of a job; ``left``: it has left an exit file."""
        folder = one.folder
        view = snapshot.view(folder.job or "", one.member)
        ended = folder.ended(one.member) if left else None
        answered = snapshot.time if not snapshot.fault else 0.0
        seen = (view and (view.state, view.word, view.reason), ended)
        if seen != one.seen:
            one.seen, one.since = seen, time.monotonic()
        return verdict(Sight(
            view=view, asked_after_s=answered - folder.batch.created, ended=ended,
            unchanged_s=time.monotonic() - one.since, now=now(), patience_s=self.plan.settings.patience_s,
        ))

    def _text(self, one: Awaited, cause: Cause, detail: str, how: str) -> str:
        """Return one line on a job without a result."""
        text = f"{self.title} job {one.label} {WORDS[cause]}"
        if cause == "timeout":
            text += f" of {self.job.time}"
        if detail and detail.lower() != cause:
            text += f" ({detail})"
        log = one.folder.log(one.member)
        last = tail(log, 1) if log is not None and cause in ("failed", "killed") else ""
        if last:
            text += f"; its log ends with: {last[:300]}"
        return f"{text}; {how}" if how else text

    def _fail(self, task: Wanted, reason: str, *, told: bool = False) -> None:
        """Let a task fail: alone in a fan-out, with its step otherwise."""
        if not told:
            events.emit("failed", env.STAGE.read(), task.name, folder=task.folder, reason=reason)
        if not isinstance(self.op, FanOutOP):
            self._release()
            raise FatalError(reason)
        TaskStatus(status="failed", reason=reason).write(task.folder)
        producer, version = type(self.op).__name__, self.op.version
        Manifest.of_folder(task.folder, producer=producer, version=version, logs=self.op.logs).write(task.folder)
        self.found[task.name] = task.folder, {}
