"""How many jobs are submitted, and run at a time: ``max_jobs`` for the whole run, and what the system takes.

The steps of a run wait for their jobs in separate processes. They share the places by what they write into the
run folder: the width of each submission (how many of its jobs may run at a time), and who waits for a place.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dpa_sse.ops.core.files import write_text
from dpa_sse.pipeline.config.batch import Job
from dpa_sse.pipeline.engines.slurm.queue import Snapshot
from dpa_sse.pipeline.engines.slurm.records import BatchFolder, Width, jobs_folder, now, open_folders
from dpa_sse.pipeline.engines.slurm.scheduler import Scheduler
from dpa_sse.pipeline.runs.lock import alone

CLAIMS, LOCK = "claims", "places.lock"
CLAIM_S = 30.0
"""A step that has not repeated its claim for this long does not wait any more."""
FIT_S = 2.0
"""Least time between two looks at how the places are shared."""
GROW_S = 120.0
"""After this long without a refusal, more is submitted at a time."""
FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 60.0


class Places:
    """The places of a run, as one of its steps sees them.

    Parameters
    ----------
    engine : Path
    scheduler : Scheduler
    most : int
        Jobs of the run that may be at work at a time.
    job : Job
        What the jobs of the step ask for.
    kind, step : str
    """

    def __init__(self, engine: Path, scheduler: Scheduler, most: int, job: Job, kind: str, step: str) -> None:
        self.engine = engine
        self.scheduler = scheduler
        self.most = most
        self.job = job
        self.kind = kind
        self.claim = engine / CLAIMS / step
        self._looked = 0.0

    @contextmanager
    def room(self) -> Iterator[int]:
        """Give how many more jobs of the step may be at work; no other step can take places in the meantime.

        What is written within, with its width, holds its places. Without room the step claims some.
        """
        with self._alone():
            of_run, of_kind = self._free()
            if of_run and of_kind:
                self.claim.unlink(missing_ok=True)
            else:
                self.claim.parent.mkdir(parents=True, exist_ok=True)
                write_text(self.claim, "" if not of_run else self.kind)
            yield min(of_run, of_kind)

    def fit(self, own: Sequence[BatchFolder]) -> None:
        """Widen the arrays of the step if there is room; narrow them if other steps wait for a place.

        Parameters
        ----------
        own : sequence of BatchFolder
            Submissions of the step that are waited for.
        """
        arrays = [folder for folder in own if len(folder.batch.members) > 1 and folder.job is not None]
        if not arrays or time.monotonic() - self._looked < FIT_S:
            return
        self._looked = time.monotonic()
        with self._alone():
            others = self._claims()
            if others:
                steps = {folder.batch.step for folder in open_folders(self.engine)} | others
                share = max(1, self.most // len(steps))
                held = sum(min(folder.width.most, left(folder)) for folder in own)
                widest = max(arrays, key=lambda folder: folder.width.most)
                if held > share:
                    self._set(widest, max(1, widest.width.most - (held - share)))
                return
            free = min(self._free())
            for folder in arrays:
                more = min(free, left(folder) - folder.width.most)
                if more > 0:
                    self._set(folder, folder.width.most + more)
                    return

    def _set(self, folder: BatchFolder, width: int) -> None:
        before = folder.width.most
        if width == before or folder.job is None or self.scheduler.widen(folder.job, width):
            return  # a complaint: everything stays as it is
        folder.set_width(Width(most=width, before=before, since=now()))

    def _free(self) -> tuple[int, int]:
        """Return how many more jobs of the run, and of this kind of work, may be at work."""
        snapshot = Snapshot.read(self.engine)
        held = [(folder, taken(folder, snapshot)) for folder in open_folders(self.engine)]
        everything = sum(count for _, count in held)
        of_kind = sum(count for folder, count in held if folder.batch.kind == self.kind)
        return max(0, self.most - everything), max(0, self.job.max_jobs - of_kind)

    def _claims(self) -> set[str]:
        """Return the other steps that wait for a place: one of the run, or of this kind of work."""
        found = set()
        for path in self.claim.parent.glob("*"):
            with suppress(OSError):
                fresh = abs(time.time() - path.stat().st_mtime) < CLAIM_S
                if path != self.claim and fresh and path.read_text(encoding="utf-8") in ("", self.kind):
                    found.add(path.name)
        return found

    @contextmanager
    def _alone(self) -> Iterator[None]:
        jobs_folder(self.engine).mkdir(parents=True, exist_ok=True)
        with alone(self.engine / LOCK):
            yield


def left(folder: BatchFolder) -> int:
    """Return how many jobs of a submission have not ended, as far as the run folder tells."""
    return len(folder.batch.members) - len(folder.names("exit") | folder.names("gone"))


def taken(folder: BatchFolder, snapshot: Snapshot) -> int:
    """Return how many places a submission takes: its width, and what was running when it was narrowed."""
    width = folder.width
    if snapshot.time > width.since:
        running = snapshot.running(folder.job or "")
        return min(left(folder), max(width.most, running))
    return min(left(folder), max(width.most, width.before))


@dataclass
class Portion:
    """How many jobs of a step the system has in its queue at a time: all, until it refuses so many.

    Attributes
    ----------
    most : int
        Of an array.
    size : int
        Of the step, once it has been refused.
    """

    most: int
    size: int | None = None
    _refused_at: float = 0.0
    _again_at: float = 0.0
    _wait_s: float = FIRST_WAIT_S

    def room(self, waiting: int) -> int:
        """Return how many may be submitted next to those that are waited for; refilled a quarter at a time."""
        if time.monotonic() < self._again_at:
            return 0
        if self.size is None:
            return self.most
        free = min(self.most, self.size - waiting)
        return free if free >= max(1, self.size // 4) else 0 if waiting else 1

    def refused(self, waiting: int, count: int) -> None:
        """Note that the system did not take so many, next to those that are waited for."""
        self.size, self._refused_at = max(1, waiting + (count // 2 if count > 1 else 0)), time.monotonic()
        if not waiting and count == 1:  # jobs of others: only time helps
            self._again_at = time.monotonic() + self._wait_s
            self._wait_s = min(LONGEST_WAIT_S, self._wait_s * 2)

    def accepted(self) -> None:
        """Note that the system took what it was given; it may take more later."""
        self._wait_s = FIRST_WAIT_S
        if self.size is not None and time.monotonic() - self._refused_at > GROW_S:
            self.size += max(1, self.size // 4)
