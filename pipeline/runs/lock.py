"""The lock of a run folder: who holds it, on which machine, and whether that process still exists."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from dpa_sse.ops.core.errors import InputError

LOCK = ".lock"
HELD = ".lock.held"
"""Stands in for the lock on a file system that cannot lock."""
PATIENCE_S = 0.3
"""`status` holds a shared lock for a moment."""
MAX_BYTES = 1000
WRITTEN_S = 60.0
"""A file without the name of its process is left from one that was killed, or is just being written."""


class RunBusyError(InputError):
    """Another process is working on this run."""


class Holder(BaseModel):
    """The process that holds a lock, as it is written into the file.

    Attributes
    ----------
    pid : int
        Its number; 0 if unknown.
    host : str
        Name of its machine.
    started : float
        When it was created: clock ticks since the machine was started, which do not change with the clock.
    boot_id : str
        Identifies that start of the machine.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int = 0
    host: str = ""
    started: float = 0.0
    boot_id: str = ""

    @classmethod
    def this_process(cls) -> Holder:
        """Return the present process."""
        pid = os.getpid()
        return cls(pid=pid, host=socket.gethostname(), started=_started(pid) or 0.0, boot_id=_boot_id())

    @classmethod
    def parse(cls, text: bytes) -> Holder:
        """Return what a lock file says; an unknown process if it was not written by this version."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return cls()

    @property
    def here(self) -> bool:
        """Whether it is, or was, a process of this machine."""
        return self.host == socket.gethostname()

    @property
    def alive(self) -> bool:
        """Whether exactly this process, not another one with its number, exists on this machine."""
        return (
            self.here and self.boot_id == _boot_id() and self.pid > 1 and self.started > 0
            and _started(self.pid) == self.started
        )

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}" if self.pid else "of unknown number"


@dataclass(frozen=True)
class RunLock:
    """A lock that this process holds; ``descriptor`` may be inherited by its driver."""

    descriptor: int
    held: Path | None = None

    def release(self) -> None:
        """Give the run free."""
        if self.held is not None:
            self.held.unlink(missing_ok=True)
        os.close(self.descriptor)


def acquire(folder: Path) -> RunLock:
    """Lock a run folder for this process.

    Raises
    ------
    RunBusyError
        Another process holds the lock, here or on another machine.
    InputError
        The lock file is a link or cannot be written.
    """
    path = folder / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        what = "is a link, which is not followed; remove it" if error.errno == errno.ELOOP else error.strerror
        raise InputError(f"{path}: {what}") from error
    try:
        held = None
        if _flock(descriptor, fcntl.LOCK_EX):
            _require_free(folder)
        else:
            held = _hold(folder)
    except BlockingIOError as error:
        holder = Holder.parse(os.read(descriptor, MAX_BYTES))
        os.close(descriptor)
        raise _busy(folder, holder) from error
    except BaseException:
        os.close(descriptor)
        raise
    os.ftruncate(descriptor, 0)
    os.write(descriptor, Holder.this_process().model_dump_json().encode())
    return RunLock(descriptor, held)


def holder_of(folder: Path) -> Holder | None:
    """Return the process that holds the lock of a run folder, None if there is none; needs no right to write."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:  # missing, a link, or not readable for this user
        return None
    try:
        _flock(descriptor, fcntl.LOCK_SH, patience_s=0.0)
        found = _read_held(folder / HELD)
        return found if found is not None and (found.alive or not found.here) else None
    except BlockingIOError:
        return Holder.parse(os.read(descriptor, MAX_BYTES))
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep other processes of this machine that lock the same file out; wait until they are done.

    On a file system that cannot lock, a second file takes its place; the one of a process that has ended is replaced.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    held = None
    try:
        if not _flock(descriptor, fcntl.LOCK_EX, patience_s=math.inf):
            held = _hold_soon(path.with_name(path.name + ".held"))
        yield
    finally:
        if held is not None:
            held.unlink(missing_ok=True)
        os.close(descriptor)


def forget_held(path: Path) -> None:
    """Remove the file that stands in for a lock; a process of another machine that has ended may have left it."""
    path.with_name(path.name + ".held").unlink(missing_ok=True)


def _hold_soon(path: Path) -> Path:
    """Create the file that stands in for a lock when no other process has it."""
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        except FileExistsError:
            found = _read_held(path)
            gone = found is not None and (found.here and not found.alive if found.pid else _age_s(path) > WRITTEN_S)
            if found is not None and gone:
                _set_aside(path, found)
            time.sleep(0.02)
            continue
        os.write(descriptor, Holder.this_process().model_dump_json().encode())
        os.close(descriptor)
        return path


def _age_s(path: Path) -> float:
    """Return how long ago a file was written, by the clock of this machine; 0 if there is none."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _flock(descriptor: int, kind: int, patience_s: float = PATIENCE_S) -> bool:
    """Lock a file; False if its file system cannot lock.

    Raises
    ------
    BlockingIOError
        Another process holds the lock.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                return False
            if time.monotonic() >= deadline:
                raise BlockingIOError(errno.EWOULDBLOCK, "held") from error
        time.sleep(0.02)


def _require_free(folder: Path) -> None:
    """Refuse a run that a machine holds which cannot lock this file system, though this one can."""
    path = folder / HELD
    found = _read_held(path)
    if found is None:
        return
    if found.alive or not found.here:
        raise _busy(folder, found, f"; if that process has ended, remove {path}")
    _set_aside(path, found)


def _hold(folder: Path) -> Path:
    """Create the file that stands in for the lock; replaces that of a process of this machine that has ended."""
    path = folder / HELD
    for _ in range(3):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        except FileExistsError:
            found = _read_held(path)
            if found is None:
                continue
            if found.alive or not found.here:
                raise _busy(folder, found, f"; if that process has ended, remove {path}") from None
            _set_aside(path, found)
            continue
        os.write(descriptor, Holder.this_process().model_dump_json().encode())
        os.close(descriptor)
        return path
    raise RunBusyError(f"{folder}: other processes are starting this run at the same time; try again")


def _set_aside(path: Path, stale: Holder) -> None:
    """Remove a stale file; one that another process has put in its place is put back."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    if _read_held(aside) != stale:
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    aside.unlink(missing_ok=True)


def _read_held(path: Path) -> Holder | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return Holder.parse(os.read(descriptor, MAX_BYTES))
    finally:
        os.close(descriptor)


def _busy(folder: Path, holder: Holder, hint: str = "") -> RunBusyError:
    return RunBusyError(
        f"{folder}: another process ({holder}) is working on this run; see `dpa-sse watch {folder}`{hint}"
    )


def _started(pid: int) -> float | None:
    """Return when a process was created, None if there is none; independent of the clock where /proc tells it."""
    try:
        return float(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except (OSError, ValueError, IndexError):
        return None
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
