"""What the run folder says about the jobs: one folder for each submission, which outlives the driver.

``.engine/jobs/NAME/`` holds ``batch.json`` (written before the submission), ``script.sh``, ``job`` (the number of the
job, written after it), and what the jobs write: ``events/N.jsonl``, ``results/TASK.json``, ``exit/N``, ``log/N.txt``.
``repeated`` says that it was submitted more than once.
``closed`` is written when everything in it has been taken over; what the jobs have written is then removed, since the
number of files on shared file systems is limited.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict

from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.results.task_record import OutputValue
from dpa_sse.ops.runtime.identity import TaskInput

JOBS = "jobs"
SCRIPT = "script.sh"
PLACES = ("events", "results", "exit", "log")
PlainInput: TypeAlias = "int | str | list[str] | None"
"""An input as JSON: paths are texts."""


class BatchTask(BaseModel):
    """A task of a submission.

    Attributes
    ----------
    name : str
    key : str
        Hash of everything that its result depends on.
    index : int, optional
        Of a task of a fan-out.
    losses : dict
        How often its earlier jobs were lost, by cause.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    key: str
    index: int | None = None
    losses: dict[str, int] = {}


class Share(BaseModel):
    """What each of the tasks has that run side by side in a job.

    Attributes
    ----------
    tasks : int
        That run at the same time.
    processes, threads : int
        MPI processes of each task, and threads of each of these.
    gpus : int
        Of the job.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: int
    processes: int
    threads: int
    gpus: int


class Batch(BaseModel):
    """A submission: a job, or an array.

    Attributes
    ----------
    name : str
        Unique; name of the folder and of the jobs.
    step, stage, kind : str
        Of the tasks.
    module, op : str
        Class that does the work.
    reuse : bool
        Whether an earlier result may be reused.
    environment : dict
        Variables of the tasks.
    inputs : dict
        Inputs that all tasks have.
    tasks : list of BatchTask
    members : list of list of int
        The tasks of each job.
    dflow : str
        Folder below ``.engine`` that the inputs are in.
    mem_GB : float, optional
        Memory that was asked for.
    created : float
        Seconds since the epoch.
    width : int
        How many of the jobs may be at work at a time, when they were submitted.
    exclude : list of str
        Nodes that they are kept off.
    share : Share, optional
        Of the tasks that run side by side in a job; None if they run one after the other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    step: str
    stage: str
    kind: str
    module: str
    op: str
    reuse: bool
    environment: dict[str, str]
    inputs: dict[str, PlainInput]
    tasks: list[BatchTask]
    members: list[list[int]]
    dflow: str
    mem_GB: float | None = None
    created: float = 0.0
    width: int = 1
    exclude: list[str] = []
    share: Share | None = None


class Width(BaseModel):
    """How many jobs of a submission may be at work at a time: now, before, and since when (seconds since the epoch)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    most: int
    before: int
    since: float


class JobResult(BaseModel):
    """How a task ended in its job.

    Attributes
    ----------
    key : str
        Hash of what the result depends on, as the job saw it.
    folder : str, optional
        Of the task; None if it failed.
    values : dict
        Output parameters.
    error : str, optional
        Why it failed.
    transient : bool
        Whether it may succeed if it is tried again.
    ran_s : float
        For how long the job had been at work.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    folder: str | None = None
    values: dict[str, OutputValue] = {}
    error: str | None = None
    transient: bool = False
    ran_s: float = 0.0


@dataclass
class BatchFolder:
    """The folder of a submission."""

    path: Path
    _job: str | None = field(default=None, repr=False)

    @cached_property
    def batch(self) -> Batch:
        """What was submitted."""
        return Batch.model_validate_json((self.path / "batch.json").read_bytes())

    @property
    def job(self) -> str | None:
        """Number of the job; None if it was not submitted, or the driver died before it knew the number."""
        if self._job is None:
            try:
                self._job = (self.path / "job").read_text(encoding="ascii").strip() or None
            except FileNotFoundError:
                return None
        return self._job

    @property
    def repeated(self) -> bool:
        """Whether the submission was made again because it was not known whether the system has it."""
        return (self.path / "repeated").exists()

    def repeat(self) -> None:
        """Write down that the submission is made again; the jobs wait to be told which of them is to do the work."""
        (self.path / "repeated").touch()

    def submitted(self, job: str) -> None:
        """Write down the number of the job."""
        write_text(self.path / "job", job + "\n")
        self._job = job

    def handle(self, member: int) -> tuple[str, int | None]:
        """Return how a batch system is told which of the jobs is meant; the submission has a number."""
        assert self.job is not None  # noqa: S101  (for the type checker)
        return self.job, None if len(self.batch.members) == 1 else member

    @property
    def width(self) -> Width:
        """How many of the jobs may be at work at a time."""
        try:
            return Width.model_validate_json((self.path / "width.json").read_bytes())
        except FileNotFoundError:
            return Width(most=self.batch.width, before=self.batch.width, since=self.batch.created)

    def set_width(self, width: Width) -> None:
        """Write down how many of the jobs may be at work at a time from now on."""
        write_text(self.path / "width.json", width.model_dump_json())

    def lost(self, member: int) -> None:
        """Write down that a job is over that may have left no exit file."""
        (self.path / "gone").mkdir(exist_ok=True)
        (self.path / "gone" / str(member)).touch()

    @property
    def closed(self) -> bool:
        """Whether everything in it has been taken over."""
        return (self.path / "closed").exists()

    def close(self) -> None:
        """Mark that everything in it has been taken over; only the script and logs with any text stay."""
        (self.path / "closed").touch()
        for name in ("events", "results", "exit", "work", "gone", "ends"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for log in (self.path / "log").glob("*"):
            with suppress(OSError):
                if not log.stat().st_size:
                    log.unlink()

    def changed(self) -> bool:
        """Change what jobs write into, so that a client of NFS lists it again; return whether it could be done."""
        try:
            for place in ("exit", "results"):
                mark = self.path / place / f"look-{os.getpid()}.tmp"
                mark.touch()
                mark.unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def result(self, task: str) -> JobResult | None:
        """Return how a task ended; None if it has not."""
        try:
            return JobResult.model_validate_json((self.path / "results" / f"{task}.json").read_bytes())
        except FileNotFoundError:
            return None

    def names(self, place: str) -> frozenset[str]:
        """Return the names of the files in one of its folders, unfinished ones left out."""
        try:
            return frozenset(entry.name for entry in os.scandir(self.path / place) if not entry.name.endswith(".tmp"))
        except FileNotFoundError:
            return frozenset()

    def ended(self, member: int) -> tuple[int, str, str] | None:
        """Return exit code, early signal and node of a job; None if it has left no exit file."""
        try:
            code, early, _, node, *_ = self._exit(member)
            return int(code), early, node
        except (FileNotFoundError, ValueError):
            return None

    def _exit(self, member: int) -> list[str]:
        """Return what the exit file says, unless a cancelled repetition of the submission has left it."""
        said = (self.path / "exit" / str(member)).read_text(encoding="utf-8").split()
        return [] if len(said) > 4 and self.job not in (None, said[4]) else said

    def ran_s(self, member: int) -> float | None:
        """Return for how many seconds a job was at work, by its exit file or its results; None if it left neither."""
        try:
            return float(self._exit(member)[2])
        except (FileNotFoundError, ValueError, IndexError):
            found = [self.result(self.batch.tasks[number].name) for number in self.batch.members[member]]
            return max((one.ran_s for one in found if one is not None), default=None)

    def begun(self, member: int) -> bool:
        """Return whether a job has come to its first task."""
        try:
            return (self.path / "events" / f"{member}.jsonl").stat().st_size > 0
        except FileNotFoundError:
            return False

    def log(self, member: int) -> Path | None:
        """Return the log of a job; None if it has none."""
        known = self.path / "log" / f"{member}.txt"
        if known.exists():
            return known
        found = [path for path in (self.path / "log").glob("*") if re.search(rf"(?<!\d){member}(?!\d)", path.name)]
        return found[0] if found else None


def jobs_folder(engine: Path) -> Path:
    """Return the folder of all submissions of a run."""
    return engine / JOBS


def new_name(step: str) -> str:
    """Return a unique name for a submission."""
    return f"{re.sub(r'[^A-Za-z0-9-]', '-', step)[:40]}.{secrets.token_hex(4)}"


def make_folder(engine: Path, batch: Batch, script: Callable[[Path, Batch], str]) -> BatchFolder:
    """Write the folder of a submission, with its script; nothing of it stays if there is no room for it."""
    folder = jobs_folder(engine) / batch.name
    try:
        for place in PLACES:
            (folder / place).mkdir(parents=True)
        write_text(folder / SCRIPT, script(folder, batch))
        write_text(folder / "batch.json", batch.model_dump_json())
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return BatchFolder(folder)


def open_folders(engine: Path) -> Iterator[BatchFolder]:
    """Yield the submissions of a run that have not been taken over, the oldest first."""
    found = []
    for path in jobs_folder(engine).glob("*/batch.json"):
        folder = BatchFolder(path.parent)
        if not folder.closed:
            found.append(folder)
    yield from sorted(found, key=lambda folder: folder.batch.created)


def plain_inputs(inputs: dict[str, TaskInput]) -> dict[str, PlainInput]:
    """Return inputs as JSON."""
    def plain(value: TaskInput) -> PlainInput:
        if isinstance(value, list):
            return [str(Path(item).absolute()) for item in value]
        return str(value.absolute()) if isinstance(value, Path) else value

    return {name: plain(value) for name, value in inputs.items() if name != "index"}


def task_inputs(inputs: dict[str, PlainInput]) -> dict[str, TaskInput]:
    """Return inputs from JSON."""
    def value_of(value: PlainInput) -> TaskInput:
        if isinstance(value, list):
            return [Path(item) for item in value]
        return Path(value) if isinstance(value, str) else value

    return {name: value_of(value) for name, value in inputs.items()}


def now() -> float:
    """Return the time of the records."""
    return round(time.time(), 3)
