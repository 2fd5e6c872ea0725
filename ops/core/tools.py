"""Runs other programs: output goes to a log file, no orphans, errors quote the end of the log."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from dpa_sse.ops.core.environment import THREADS
from dpa_sse.ops.core.errors import FatalError, MissingProgramError, TransientError

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "DP_INTRA_OP_PARALLELISM_THREADS",
)
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class KilledError(TransientError):
    """A program was killed by a signal, whose name is ``signal``."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.signal = name


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies (Linux only; a no-op elsewhere)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def available_threads() -> int:
    """Return how many threads this task may use: the share that its engine assigned, else all cores of the process."""
    return THREADS.read() or len(os.sched_getaffinity(0))


def thread_environment(threads: int | None = None) -> dict[str, str]:
    """Return the variables that limit numerical libraries to ``threads`` threads.

    Two processes with two threads each on two cores are ten times slower than with one each, so every child gets these.
    Waiting threads sleep: spinning ones (OpenMP's default) made a training with two threads eight times slower as soon
    as another program used one of the two cores, and gain nothing on idle cores.
    """
    count = str(threads or available_threads())
    others = {"DP_INTER_OP_PARALLELISM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return {**dict.fromkeys(THREAD_VARIABLES, count), **others}


def tail(path: Path, lines: int = 15) -> str:
    """Return the last lines of a log file, undecodable bytes replaced."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 20_000))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-lines:])


def run_tool(
    argv: Sequence[str | Path],
    log: Path,
    cwd: Path,
    *,
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    threads: int | None = None,
) -> float:
    """Run a program to its end and return its duration in seconds.

    Parameters
    ----------
    argv : sequence of str or Path
        Program and arguments; never a shell line.
    log : Path
        Gets standard output and standard error, appended, so that a restart keeps the first part.
    cwd : Path
        Working folder of the program.
    env : mapping, optional
        Added to the environment of this process.
    timeout_s : float, optional
        Wall-clock limit.
    threads : int, optional
        Threads of the program; by default all threads of this task.

    Raises
    ------
    FatalError
        The program is missing or ended with an error code.
    TransientError
        It was killed by a signal (:class:`KilledError`) or exceeded ``timeout_s``.
    """
    command = [str(part) for part in argv]
    environment = {**os.environ, **thread_environment(threads), **(env or {})}
    start = time.monotonic()
    with log.open("ab") as stream:
        try:
            done = subprocess.run(
                command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=stream,
                stderr=subprocess.STDOUT, timeout=timeout_s, preexec_fn=die_with_parent, check=False,
            )
        except FileNotFoundError as error:
            raise MissingProgramError(f"program not found: {command[0]} (run `dpa-sse doctor`)") from error
        except subprocess.TimeoutExpired as error:
            raise TransientError(f"{Path(command[0]).name} exceeded {timeout_s:.0f} s; log: {log}") from error
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise KilledError(f"{Path(command[0]).name} was killed by {name}; log: {log}\n{tail(log)}", name)
    if done.returncode > 0:
        raise FatalError(f"{Path(command[0]).name} failed with code {done.returncode}; log: {log}\n{tail(log)}")
    return time.monotonic() - start


def cpp_compiler() -> str | None:
    """Return the C++ compiler that PyTorch calls: $CXX, else g++; None if there is none."""
    return shutil.which(os.environ.get("CXX") or "g++")
