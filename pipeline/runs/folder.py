"""The run folder: its files, its lock, and its event log."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import read_json, write_json
from dpa_sse.ops.runtime.events import LOG, Event
from dpa_sse.pipeline.runs.plan import PlannedStep, read_plan, write_plan
from dpa_sse.pipeline.runs.stage_times import split_starts

CONFIG = "config.resolved.yaml"
SOURCE = ".source.json"


class RunBusyError(InputError):
    """Another process is working on this run."""


@dataclass(frozen=True)
class Run:
    """A run folder ``runs/<name>/``."""

    folder: Path

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
            It cannot be written to.
        """
        try:
            self.engine.mkdir(parents=True, exist_ok=True)
            probe = self.engine / ".probe"
            probe.write_bytes(b"\0")
            probe.unlink()
        except OSError as error:
            raise InputError(f"{self.folder}: cannot write here ({error.strerror})") from error

    def lock(self) -> int:
        """Lock the run for this process (and its children that inherit the descriptor).

        Raises
        ------
        RunBusyError
            Another process holds the lock.
        """
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "?"
            os.close(descriptor)
            raise RunBusyError(
                f"{self.folder}: another process (pid {holder}) is working on this run; "
                f"see `dpa-sse watch {self.folder}`"
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        return descriptor

    @staticmethod
    def unlock(descriptor: int) -> None:
        """Release the run."""
        os.close(descriptor)

    @property
    def base_dir(self) -> Path:
        """Folder that relative paths of the configuration refer to: that of the original configuration file."""
        try:
            return (self.folder / read_json(self.folder / SOURCE)["base_dir"]).resolve()
        except FileNotFoundError:
            return self.folder

    def write_base_dir(self, base_dir: Path) -> None:
        """Store what :attr:`base_dir` returns, relative to the run folder, so that projects can be moved."""
        write_json(self.folder / SOURCE, {"base_dir": os.path.relpath(base_dir.resolve(), self.folder)})

    def holder(self) -> int | None:
        """Return the process that is working on this run, or None."""
        try:
            descriptor = os.open(self.folder / ".lock", os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return int(os.read(descriptor, 20).decode() or 0) or None
        finally:
            os.close(descriptor)
        return None

    def events(self) -> list[Event]:
        """Return all events, without a last line that a crash has cut."""
        return list(read_events(self.log))

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
        found: dict[str, Path] = {}
        for event in self.latest_attempt():
            if event.kind in ("done", "cached") and event.folder is not None:
                found[event.task] = self.folder / event.folder
        return found

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
    """Return the run that a user names: a folder, or the name of one below ``runs/``.

    Raises
    ------
    InputError
        There is no such run; lists those that exist.
    """
    for candidate in (Path(name), Path("runs") / name):
        if (candidate / CONFIG).is_file():
            return Run(candidate.resolve())
    known = sorted(path.parent.name for path in Path("runs").glob(f"*/{CONFIG}"))
    if Path(name).is_file():
        raise InputError(f"{name}: a file; give a run folder, or the name of one in runs/")
    hint = f"; runs here: {', '.join(known)}" if known else "; start one with `dpa-sse run CONFIG`"
    raise InputError(f"{name}: no such run here (neither {name} nor {Path('runs') / name}){hint}")


def now() -> float:
    """Return the time of the event log, seconds since the epoch."""
    return round(time.time(), 3)
