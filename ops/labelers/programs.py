"""Programs of labelers: their command lines, the folders of their data, and one run of them.

Shared by all labelers whose program is started by us. A run that fails for its own reasons raises :class:`RunError`,
one that was killed from outside a transient error.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dpa_sse.ops.core.errors import FatalError, InputError, MissingProgramError, TransientError
from dpa_sse.ops.core.tools import KilledError, run_tool, tail
from dpa_sse.ops.runtime.versions import executable

MPI = ("mpirun", "mpiexec", "mpiexec.hydra", "orterun", "srun", "jsrun", "aprun", "ibrun")
"""Programs that start others as MPI ranks."""
LAUNCHERS = (*MPI, "env", "nice", "numactl", "taskset", "time")

CRASHES = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP")
"""Signals of a crash, which would happen again. Any other signal came from outside."""

KILLED_CODES = tuple(128 + number for number in (1, 2, 9, 15))  # of mpirun when a rank was killed


class RunError(Exception):
    """A program has no result for this input; the message states why in one line."""


class NotConvergedError(RunError):
    """The self-consistency cycle did not converge."""


def command_words(command: str, example: str, hint: str = "") -> list[str]:
    """Return program and arguments of a command line.

    Parameters
    ----------
    command : str
        As in the settings; a launcher such as mpirun may come first.
    example : str
        What to write, for the message about an empty command.
    hint : str
        Where to get or how to name the program, appended to the message about a missing one.

    Raises
    ------
    InputError
        The command is empty, has unbalanced quotes, or its program does not exist.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(f"command {command!r}: {error}") from error
    if not words:
        raise InputError(f"command is empty: give e.g. {example}")
    if shutil.which(words[0]) is None:
        raise InputError(f"program {words[0]!r} not found{hint}")
    if Path(words[0]).name in LAUNCHERS and not any(_is_program(word) for word in words[1:]):
        started = [word for word in words[1:] if not word.startswith("-")]
        missing = f"program {started[-1]!r} not found" if started else f"{words[0]} has no program to start"
        raise InputError(missing + hint)
    return words


def program_of(words: Sequence[str]) -> str:
    """Return the program in a command line: the one that a launcher starts, else the first word."""
    if Path(words[0]).name in LAUNCHERS:
        return next((word for word in words[1:] if _is_program(word)), words[-1])
    return words[0]


def program_build(words: Sequence[str]) -> str:
    """Return what distinguishes builds of the program in a command line, which may not know its version."""
    program = program_of(words)
    return executable(Path(shutil.which(program) or program))


def _is_program(word: str) -> bool:
    return not word.startswith("-") and Path(word).name not in LAUNCHERS and shutil.which(word) is not None


def named_folder(value: str | None, key: str, variable: str, content: str) -> Path:
    """Return a folder of the user's files: that of a key, else that of an environment variable.

    Raises
    ------
    InputError
        Neither is given, or there is no such folder.
    """
    name = value or os.environ.get(variable)
    if not name:
        raise InputError(f"no {content}: set the environment variable {variable}, or {key}")
    folder = Path(name).expanduser()
    if not folder.is_dir():
        source = key if value else f"the environment variable {variable}"
        raise InputError(f"{source} names {folder}: no such folder")
    return folder


def run_program(
    words: Sequence[str], folder: Path, log: Path, *, name: str, timeout_min: float = 0.0,
    env: Mapping[str, str] | None = None, reason: Callable[[], str] = str,
) -> None:
    """Run a program in a folder to its end.

    Parameters
    ----------
    words : sequence of str
        Program and arguments. Ranks that a launcher starts get one thread each, a single process all of the task.
    folder, log : Path
        Where it runs; what it prints.
    name : str
        Name of the program, for messages.
    timeout_min : float
        Time limit of the run, minutes; 0: none but that of the task.
    env : mapping, optional
        Additional environment.
    reason : callable
        Returns what the output says about a failure, in one line; empty if it says nothing.

    Raises
    ------
    RunError
        It stopped with an error, crashed, or took longer than ``timeout_min``.
    TransientError
        It was killed from outside.
    MissingProgramError
        The program is missing.
    """
    environment = dict(env or {})
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # containers, where Open MPI would refuse to start
        environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    limit = timeout_min * 60 or None
    threads = 1 if Path(words[0]).name in MPI else None
    try:
        run_tool(words, log, folder, env=environment, timeout_s=limit, threads=threads)
    except MissingProgramError:
        raise
    except KilledError as error:
        if error.signal not in CRASHES:
            raise
        raise RunError(reason() or f"{name} crashed ({error.signal})") from error
    except TransientError as error:
        if limit is None:  # the time limit of the task, not of this run
            raise
        raise RunError(f"{name} took longer than {timeout_min:g} min (timeout_min)") from error
    except FatalError as error:
        if any(f"failed with code {code};" in str(error) for code in KILLED_CODES):
            raise TransientError(f"{name} was killed") from error
        last = tail(log, 1).strip() or f"{' '.join(words)} wrote nothing and failed"
        raise RunError(reason() or f"{name} ended with an error: {last}") from error


def read_output(path: Path) -> str:
    """Return the text of an output; empty without one."""
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
