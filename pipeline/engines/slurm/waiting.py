"""The jobs of a step: find what is in the queue, submit the rest, wait for all of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.tools import tail
from dpa_sse.ops.results.status import TaskStatus
from dpa_sse.ops.runtime import events
from dpa_sse.ops.runtime.manifest import Manifest
from dpa_sse.ops.runtime.task import FanOutOP, Outcome
from dpa_sse.pipeline.engines.slurm.awaited import Awaited, Wanted
from dpa_sse.pipeline.engines.slurm.backlog import Backlog
from dpa_sse.pipeline.engines.slurm.copied_events import EventCopier
from dpa_sse.pipeline.engines.slurm.job import failed
from dpa_sse.pipeline.engines.slurm.nodes import most_memory_GB
from dpa_sse.pipeline.engines.slurm.plan_file import BatchPlan
from dpa_sse.pipeline.engines.slurm.queue import Snapshot
from dpa_sse.pipeline.engines.slurm.records import BatchFolder, JobResult, open_folders
from dpa_sse.pipeline.engines.slurm.scheduler import Scheduler
from dpa_sse.pipeline.engines.slurm.submission import NO_ROOM, unwritable
from dpa_sse.pipeline.engines.slurm.usage import note_usage
from dpa_sse.pipeline.engines.slurm.verdict import WORDS, Cause, may_repeat, more_memory, verdict

if TYPE_CHECKING:
    from dpa_sse.ops.runtime.task import TaskOP

LINGERING: tuple[Cause, ...] = ("never", "vanished", "node")
"""Causes after which a job may still be in the queue, or come back to it."""
OF_NODES: tuple[Cause, ...] = ("node", "at once")
"""Causes that may be the fault of the node."""
SHORTEST_S = 0.25
LONGEST_S = 2.0
GROWTH = 1.2


def earlier_folders(engine: Path) -> list[BatchFolder]:
    """Return the submissions of the present step that have not been taken over, the oldest first."""
    return [folder for folder in open_folders(engine) if folder.batch.step == env.STEP.read()]


def shown(names: Sequence[str]) -> str:
    """Return some names and the number of all."""
    return ", ".join(names) if len(names) <= 3 else f"{names[0]}, {names[1]}, ... {names[-1]} ({len(names)} tasks)"


class Waiting:
    """The jobs of one step until all of its tasks have ended."""

    def __init__(
        self, run: Path, plan: BatchPlan, scheduler: Scheduler, op: TaskOP, wanted: dict[str, Wanted],
        copier: EventCopier,
    ) -> None:
        self.op = op
        self.patience_s = plan.settings.patience_s
        self.job = plan.jobs[op.resource_class]  # type: ignore[index]
        self.engine = run / ".engine"
        self.scheduler = scheduler
        self.title = scheduler.dialect.title
        self.wanted = wanted
        self.awaited: list[Awaited] = []
        self.found: dict[str, Outcome] = {}
        self.copier = copier
        self.snapshot = Snapshot()
        self.backlog = Backlog(run, plan, scheduler, op)

    def outcomes(self) -> dict[str, Outcome]:
        """Find the jobs of an earlier driver, submit the other tasks, and wait for all."""
        try:
            return self._wait()
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise FatalError(unwritable(error)) from error

    def _wait(self) -> dict[str, Outcome]:
        if not self.wanted:
            self._forget_earlier()
            return {}
        adopted = self._adopt()
        self.backlog.add([task for name, task in self.wanted.items() if name not in adopted])
        delay = SHORTEST_S
        while self.awaited or self.backlog:
            self.backlog.submit(self.awaited)
            fresh = Snapshot.read(self.engine)
            changed = self._take_results() or fresh.time != self.snapshot.time
            self.snapshot = fresh
            self._judge()
            folders = list({one.folder.path: one.folder for one in self.awaited}.values())
            self.backlog.places.fit(folders)
            self.backlog.submitter.end_duplicates(folders)
            delay = SHORTEST_S if changed else min(LONGEST_S, delay * GROWTH)
            if self.awaited or self.backlog:
                time.sleep(delay)
        return self.found

    def _adopt(self) -> set[str]:
        """Take over the jobs of an earlier driver that compute what is wanted; cancel the others of this step."""
        adopted: set[str] = set()
        for folder in reversed(earlier_folders(self.engine)):  # the latest submission of a task counts
            if not self.backlog.submitter.recover(folder):
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
            handles = [(folder.job, None)] if whole else [folder.handle(member) for member in running]
            self.scheduler.cancel(handles, {folder.job: folder.path.name})
        self._count((folder, member) for member in members)
        if len(members) == len(folder.batch.members):
            self._close(folder)

    def _count(self, jobs: Iterable[tuple[BatchFolder, int]]) -> None:
        """Write down what jobs have used that are over, and that they are."""
        over = list(jobs)
        note_usage(self.engine, self.job, over, Snapshot.read(self.engine))
        exits = {folder.path: folder.names("exit") for folder, _ in over}
        for folder, member in over:
            if str(member) not in exits[folder.path]:
                folder.lost(member)

    def _forget_earlier(self) -> None:
        for folder in earlier_folders(self.engine):
            if self.backlog.submitter.recover(folder):
                self._drop(folder, list(range(len(folder.batch.members))))
            else:
                folder.close()

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
        if not finished:
            return False
        self._count((one.folder, one.member) for one in finished)
        self.awaited = [one for one in self.awaited if one.owes]
        still = {one.folder.path for one in self.awaited}
        for folder in {one.folder.path: one.folder for one in finished}.values():
            if folder.path not in still:
                self._close(folder)
        return True

    def _close(self, folder: BatchFolder) -> None:
        """Mark that everything has been taken over; a repetition that arrives later does nothing."""
        folder.close()
        self.backlog.submitter.end_duplicates([folder], at_once=True)

    def _take(self, task: Wanted, result: JobResult, one: Awaited) -> None:
        if result.error is None and result.key == task.identity.key and result.folder is not None:
            self.found[task.name] = Path(result.folder), result.values
        else:
            self._fail(task, f"{self.title} job {one.label}: {result.error or 'a result of other inputs'}", told=True)

    def _judge(self) -> None:
        """Decide about the jobs that owe results; submit lost ones again, all at once."""
        judged: list[tuple[Awaited, Cause, str]] = []
        exits = {one.folder.path: one.folder.names("exit") for one in self.awaited}
        for one in list(self.awaited):
            left = str(one.member) in exits[one.folder.path]
            seen = verdict(one.sight(self.snapshot, self.patience_s, left=left))
            if seen is not None and not left and one.folder.changed():
                left = str(one.member) in one.folder.names("exit")
                seen = verdict(one.sight(self.snapshot, self.patience_s, left=left))
            if seen is not None:
                self._take_results()  # what it has finished in the meantime
                judged.append((one, *seen))
        judged = [found for found in judged if found[0].owes]
        lingering = [one for one, cause, _ in judged if cause in LINGERING and one.folder.job]
        self.scheduler.cancel(
            [one.folder.handle(one.member) for one in lingering],
            {one.folder.job: one.folder.path.name for one in lingering if one.folder.job},
        )
        again: dict[float | None, list[Wanted]] = {}
        for one, cause, detail in judged:
            lost = [self.wanted[name] for name in sorted(one.owes)]
            mem_GB = one.folder.batch.mem_GB or self.job.mem_GB
            most_GB = self._most_GB if cause == "memory" else None
            node = one.node(self.snapshot) if cause in OF_NODES else ""
            left_out = self.backlog.bad_nodes.add(node, f"job {one.label} {WORDS[cause]}")
            repeat, how = may_repeat(cause, lost[0].losses, self.job, mem_GB, most_GB=most_GB, elsewhere=left_out)
            text = self._text(one, cause, detail, how + f"; node {node} is left out from now on" * left_out)
            one.owes.clear()
            if repeat:
                events.emit("note", env.STAGE.read(), reason=f"{shown([task.name for task in lost])}: {text}")
                if len(lost) == one.size:  # a job that has finished some of its tasks was not in vain
                    for task in lost:
                        task.losses[cause] = task.losses.get(cause, 0) + 1
                grown = more_memory(mem_GB, self.job, most_GB) if cause == "memory" and mem_GB else None
                again.setdefault(grown or one.folder.batch.mem_GB, []).extend(lost)
            else:
                for task in lost:
                    self._fail(task, text)
        self._release()
        for memory, tasks in again.items():
            self.backlog.add(tasks, memory)

    @cached_property
    def _most_GB(self) -> float | None:  # noqa: N802
        return most_memory_GB(self.scheduler, self.job)

    def _text(self, one: Awaited, cause: Cause, detail: str, how: str) -> str:
        """Return one line on a job without a result."""
        text = f"{self.title} job {one.label} {WORDS[cause]}"
        if cause == "timeout":
            text += f" of {self.job.time}"
        if detail and detail.lower() != cause:
            text += f" ({detail})"
        log = one.folder.log(one.member)
        last = tail(log, 1) if log is not None and cause in ("failed", "killed", "at once") else ""
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
