"""The run folder: its files, its lock, and its event log."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import read_json, write_json
from dpa_sse.ops.core.foreign import inside, printable
from dpa_sse.ops.results.task_record import TaskRecord
from dpa_sse.ops.runtime.events import LOG, Event
from dpa_sse.pipeline.runs.lock import LOCK, Holder, RunBusyError, RunLock, acquire, holder_of
from dpa_sse.pipeline.runs.places import CONFIG, RUNS, candidates, known_runs, runs_folders
from dpa_sse.pipeline.runs.plan import PlannedStep, read_plan, write_plan
from dpa_sse.pipeline.runs.stage_times import split_starts

SOURCE = ".source.json"
NEVER_LINKS = (LOCK, LOG, ".engine", ".engine/dflow.log")
"""Files that are appended to or removed: in a run folder of somebody else, links would lead out of it."""

__all__ = ["CONFIG", "Run", "RunBusyError", "now", "open_run", "read_events"]


@dataclass(frozen=True)
class Run:
    """A run folder ``runs/<name>/``."""

    folder: Path

    @property
    def name(self) -> str:
        """Name of the folder, fit for a terminal."""
        return printable(self.folder.name, keep="")

    @property
    def log(self) -> Path:
        """Event log: one JSON line per event."""
        return self.folder / LOG

    @property
    def engine(self) -> Path:
        """Working folder of the engine; may be deleted when no run is in progress."""
        return self.folder / ".engine"

    def create(self) -> None:
        """Make the folder.

        Raises
        ------
        InputError
            It cannot be written to, or files of the run are links.
        """
        for name in NEVER_LINKS:
            if (self.folder / name).is_symlink():
                raise InputError(f"{self.folder / name} is a link, which is not followed; remove it")
        try:
            self.engine.mkdir(parents=True, exist_ok=True)
            probe = self.engine / ".probe"
            probe.write_bytes(b"\0")
            probe.unlink()
        except OSError as error:
            raise InputError(f"{self.folder}: cannot write here ({error.strerror})") from error

    def lock(self) -> RunLock:
        """Lock the run for this process (and its children that inherit the descriptor).

        Raises
        ------
        RunBusyError
            Another process holds the lock.
        """
        return acquire(self.folder)

    @property
    def base_dir(self) -> Path:
        """Folder that relative paths of the configuration refer to: the run folder; of old runs, another one."""
        try:
            return (self.folder / read_json(self.folder / SOURCE)["base_dir"]).resolve()
        except FileNotFoundError:
            return self.folder

    def write_base_dir(self, base_dir: Path) -> None:
        """Store what :attr:`base_dir` returns, relative to the run folder, so that projects can be moved."""
        write_json(self.folder / SOURCE, {"base_dir": os.path.relpath(base_dir.resolve(), self.folder)})

    def holder(self) -> Holder | None:
        """Return the process that is working on this run, or None."""
        return holder_of(self.folder)

    def events(self) -> list[Event]:
        """Return all events, without a last line that a crash has cut; if the log is lost, those of finished tasks."""
        return list(read_events(self.log)) if self.log.exists() else self._remembered()

    def _remembered(self) -> list[Event]:
        """Return an event for each result in the folders of the tasks, the oldest first."""
        found = []
        for path in self.folder.glob(f"tasks/*/*--*/{TaskRecord.FILE}"):
            folder = path.parent
            task, _, _ = folder.name.rpartition("--")
            found.append(Event(
                kind="cached", time=round(path.stat().st_mtime, 3), stage=folder.parent.name, task=task,
                folder=str(folder.relative_to(self.folder)),
            ))
        return sorted(found, key=lambda event: event.time)

    def plan(self) -> list[PlannedStep]:
        """Return the steps of the DAG as they were planned, an empty list before the first start."""
        return read_plan(self.folder)

    def write_plan(self, plan: Sequence[PlannedStep]) -> None:
        """Store the steps of the DAG."""
        write_plan(self.folder, plan)

    def task_folder(self, task: str) -> Path | None:
        """Return the folder of the latest result of a task."""
        return self.finished().get(task)

    def finished(self) -> dict[str, Path]:
        """Return the folders of the finished tasks of the latest attempt."""
        return self._folders("done", "cached")

    def ended(self) -> dict[str, Path]:
        """Return the folders of the tasks of the latest attempt that have ended, failed ones included."""
        return self._folders("done", "cached", "failed")

    def _folders(self, *kinds: str) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for event in self.latest_attempt():
            if event.kind in kinds and event.folder is not None:
                found[event.task] = self.place(event.folder)
        return found

    def place(self, folder: str) -> Path:
        """Return the folder of an event.

        Raises
        ------
        InputError
            It is outside the run folder: the log was not written by this program.
        """
        try:
            return inside(self.folder, folder, plain=False)
        except InputError as error:
            raise InputError(f"{self.log}: {error}") from error

    def latest_attempt(self) -> list[Event]:
        """Return the events since the run was last started."""
        return list(split_starts(self.events())[1])


def read_events(path: Path, offset: int = 0) -> Iterator[Event]:
    """Yield the complete events of a log, starting at a byte offset."""
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            lines = stream.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return
    for line in lines:
        try:
            yield Event.from_line(line)
        except ValueError:  # torn by a full disk
            continue


def open_run(name: str | Path) -> Run:
    """Return the run that a user names: a folder, or the name of one in ``runs/`` here or in a folder above.

    Raises
    ------
    InputError
        There is no such run; lists those that exist.
    """
    for candidate in candidates(name):
        if (candidate / CONFIG).is_file():
            return Run(candidate.resolve())
    known = list(dict.fromkeys(path.name for runs in runs_folders() for path in known_runs(runs)))
    if Path(name).is_file():
        raise InputError(f"{name}: a file; give a run folder, or the name of one in runs/")
    hint = f"; runs here: {', '.join(known)}" if known else "; start one with `dpa-sse run CONFIG`"
    raise InputError(f"{name}: no such run here (neither {name} nor {Path(RUNS) / name}){hint}")


def now() -> float:
    """Return the time of the event log, seconds since the epoch."""
    return round(time.time(), 3)
