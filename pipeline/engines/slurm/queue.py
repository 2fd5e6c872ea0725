"""The state of the queue, asked for by one poller for all jobs of a run, and read by everything else from one file."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from dpa_sse.ops.core.errors import PipelineError
from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.runtime import events
from dpa_sse.pipeline.engines.slurm.dialect import IN_QUEUE, PENDING, Entry, State
from dpa_sse.pipeline.engines.slurm.records import BatchFolder, jobs_folder, open_folders
from dpa_sse.pipeline.engines.slurm.scheduler import Scheduler

QUEUE = "queue.json"
FIRST_S = 1.0
GROWTH = 1.3
SHUT = "it starts when its partition or queue is opened again"
SILENCE_S = 60.0
"""A batch system that has not answered for this long is said so."""


class JobView(BaseModel):
    """Some jobs of a submission that are in the same state.

    Attributes
    ----------
    members : list of int, optional
        None for all that are not named elsewhere.
    state, word, reason, start : str
    since : float
        When they were first seen with this reason, seconds since the epoch.
    never : bool
        They will not start.
    shut : bool
        They will not start until people open their partition or queue again.
    code : int, optional
        Exit code, if the system tells.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    members: list[int] | None
    state: State
    word: str
    reason: str = ""
    start: str = ""
    since: float = 0.0
    never: bool = False
    shut: bool = False
    code: int | None = None


class Snapshot(BaseModel):
    """What the queue looked like.

    Attributes
    ----------
    time : float
        When it was asked, seconds since the epoch.
    title : str
        Of the batch system.
    jobs : dict
        By number of the job.
    fault : str
        Why there was no answer; the rest is then that of the last one.
    spots : dict
        Nodes of a job and for how many seconds it has run, by its number (with that of the member of an array).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: float = 0.0
    title: str = ""
    jobs: dict[str, list[JobView]] = {}
    fault: str = ""
    spots: dict[str, tuple[str, int | None]] = {}

    @classmethod
    def read(cls, engine: Path) -> Snapshot:
        """Return the latest one of a run, an empty one if there is none."""
        try:
            return cls.model_validate_json((engine / QUEUE).read_bytes())
        except (OSError, ValueError):
            return cls()

    def view(self, job: str, member: int) -> JobView | None:
        """Return the state of a member of an array, or of a single job; None if the system does not know it."""
        found = self.jobs.get(job, [])
        return next((one for one in found if one.members is not None and member in one.members), None) or next(
            (one for one in found if one.members is None), None
        )


    def spot(self, job: str, member: int) -> tuple[str, int | None]:
        """Return the nodes of a member of an array, or of a single job, and for how many seconds it has run."""
        return self.spots.get(f"{job}_{member}") or self.spots.get(job) or ("", None)

    def running(self, job: str) -> int:
        """Return how many jobs of a submission are at work."""
        return sum(
            1 if one.members is None else len(one.members) for one in self.jobs.get(job, [])
            if one.state in ("running", "ending")
        )


@dataclass
class Poller:
    """Asks for all jobs of a run at once, at growing intervals; a thread of the process that supervises the driver."""

    engine: Path
    scheduler: Scheduler
    longest_s: float
    report: Callable[[str], None] = field(default=lambda reason: events.emit("note", reason=reason))
    _silent_since: float | None = None
    _told: bool = False
    _told_shut: set[tuple[str, str]] = field(default_factory=set)
    _delay: float = FIRST_S
    _known: Mapping[str, str] = field(default_factory=dict)
    _closed: set[str] = field(default_factory=set)
    _numbers: dict[str, str] = field(default_factory=dict)
    _last: Snapshot = field(default_factory=Snapshot)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start asking."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop asking."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        asked = 0.0
        while not self._stopped.wait(0.4):
            try:
                jobs = self._jobs()
                if jobs.keys() - self._known.keys():
                    self._delay = FIRST_S
                self._known = jobs
                if jobs and time.monotonic() - asked >= self._delay:
                    asked = time.monotonic()
                    self.ask(jobs)
                    self._delay = min(self.longest_s, self._delay * GROWTH)
            except OSError as error:  # a full disk, a file system that does not answer: the thread must not end
                with suppress(OSError):
                    self._silent(f"{type(error).__name__}: {error}")

    def _jobs(self) -> dict[str, str]:
        """Return number and name of the jobs that are waited for, by the names in the folder; reads only new files."""
        jobs = {}
        for path in jobs_folder(self.engine).glob("*"):
            if path.name in self._closed:
                continue
            if (path / "closed").exists():
                self._closed.add(path.name)
                continue
            job = self._numbers.get(path.name) or BatchFolder(path).job
            if job is not None:
                self._numbers[path.name] = job
                jobs[job] = path.name
        return jobs

    def ask(self, jobs: Mapping[str, str], *, keep: bool = True) -> Snapshot:
        """Ask once, and write down the answer unless it is not to be kept."""
        begun = time.time()
        try:
            entries = self.scheduler.query(jobs)
        except PipelineError as error:
            self._silent(str(error))
            self._last = self._last.model_copy(update={"fault": str(error)})
        else:
            if self._told:
                self.report(f"{self.scheduler.dialect.title} answers again.")
            self._silent_since, self._told = None, False
            self._last = Snapshot(
                time=begun, title=self.scheduler.dialect.title, jobs=self._views(entries, begun),
                spots={
                    one.job if member is None else f"{one.job}_{member}": (one.nodes, one.ran_s) for one in entries
                    if one.nodes for member in (one.members or (None,))
                },
            )
        if keep:
            write_text(self.engine / QUEUE, self._last.model_dump_json())
            self._say_shut()
        return self._last

    def _silent(self, reason: str) -> None:
        """Say, once, that the system does not answer."""
        if self._silent_since is None:
            self._silent_since = time.monotonic()
        if not self._told and time.monotonic() - self._silent_since > SILENCE_S:
            self._told = True
            self.report(f"{reason}. The run waits for it; jobs that were submitted are not affected.")

    def _views(self, entries: list[Entry], at: float) -> dict[str, list[JobView]]:
        """Return the entries by job, with those of one state together."""
        dialect = self.scheduler.dialect
        grouped: dict[tuple[str, bool, str, str, str, str, int | None], list[int]] = {}
        for one in entries:
            key = (one.job, one.members is None, one.state, one.word, one.reason, one.start, one.code)
            grouped.setdefault(key, []).extend(one.members or ())
        found: dict[str, list[JobView]] = {}
        for (job, rest, state, word, reason, start, code), members in grouped.items():
            one = Entry(job, None, state, word, reason)  # type: ignore[arg-type]
            found.setdefault(job, []).append(JobView(
                members=None if rest else sorted(set(members)), state=state, word=word, reason=reason, start=start,  # type: ignore[arg-type]
                since=self._since(job, word, reason, at), code=code, never=dialect.never_starts(one),
                shut=dialect.shut(one),
            ))
        return found

    def _say_shut(self) -> None:
        """Say, once for each job, that it waits for a partition that is closed."""
        steps = {job: name.rpartition(".")[0] for name, job in self._numbers.items()}
        for job, views in self._last.jobs.items():
            for view in views:
                if view.shut and (job, view.reason) not in self._told_shut:
                    self._told_shut.add((job, view.reason))
                    what = f"{self.scheduler.dialect.title} job {job} waits ({view.reason})"
                    self.report(f"{steps.get(job, '')}: {what}; {SHUT}, and the run waits for it.".removeprefix(": "))

    def _since(self, job: str, word: str, reason: str, at: float) -> float:
        for one in self._last.jobs.get(job, []):
            if one.word == word and one.reason == reason:
                return one.since
        return at


def queue_lines(snapshot: Snapshot, closed: Mapping[str, str] | None = None) -> list[str]:
    """Return one line for each kind of job in the queue: how many, in which state, why they wait, when they may start.

    Parameters
    ----------
    snapshot : Snapshot
    closed : mapping, optional
        Step of each job, for the lines.
    """
    lines = []
    for job, views in snapshot.jobs.items():
        step = (closed or {}).get(job, "")
        for view in views:
            if view.state not in IN_QUEUE:
                continue
            count = f"{len(view.members)} of " if view.members is not None else ""
            reason = f" ({view.reason})" if view.reason and view.state in PENDING else ""
            start = f", may start {view.start}" if view.start and view.state == "waiting" else ""
            never = "; this job will not start" if view.never else f"; {SHUT}" if view.shut else ""
            lines.append(f"{step}: {count}job {job}: {view.word}{reason}{start}{never}".removeprefix(": "))
    if snapshot.fault:
        lines.append(f"{snapshot.fault} (the states above may be old)")
    return lines


def job_names(engine: Path) -> dict[str, str]:
    """Return the name of each job that has not been taken over."""
    return {folder.job: folder.path.name for folder in open_folders(engine) if folder.job is not None}


def job_steps(engine: Path) -> dict[str, str]:
    """Return the step of each job that has not been taken over."""
    if not jobs_folder(engine).is_dir():
        return {}
    return {folder.job: folder.batch.step for folder in open_folders(engine) if folder.job is not None}


__all__ = ["QUEUE", "JobView", "Poller", "Snapshot", "job_names", "job_steps", "queue_lines"]
