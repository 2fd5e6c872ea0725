"""Finding and running CP2K."""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from dpa_sse.ops.core.errors import FatalError, InputError, TransientError
from dpa_sse.ops.core.tools import KilledError, run_tool, tail
from dpa_sse.ops.labelers.cp2k.kinds import POTENTIAL_FILE
from dpa_sse.ops.labelers.cp2k.output import has_ended, why_it_stopped
from dpa_sse.ops.labelers.settings import Cp2kSettings

OLDEST, NEWEST = (8, 1), (2024, 3)
"""Versions whose output cp2kdata reads: older ones print the stress differently, newer ones the forces."""

CRASHES = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP")
"""Signals of a crash, which would happen again. Any other signal came from outside."""

KILLED_CODES = tuple(128 + number for number in (1, 2, 9, 15))  # of mpirun when a rank was killed
PLACES = ("/usr/share/cp2k", "/usr/local/share/cp2k", "/usr/share/cp2k/data")


class RunError(Exception):
    """CP2K did not finish with this input; the message states why in one line."""


def command_words(settings: Cp2kSettings) -> list[str]:
    """Return program and arguments.

    Raises
    ------
    InputError
        The command is empty, has unbalanced quotes, or its program does not exist.
    """
    try:
        words = shlex.split(settings.command)
    except ValueError as error:
        raise InputError(f"command {settings.command!r}: {error}") from error
    if not words:
        raise InputError("command is empty: give e.g. cp2k, or mpirun -np 8 cp2k.psmp")
    for word in (words[0], words[-1]):  # the launcher, and what it launches
        if not word.startswith("-") and shutil.which(word) is None:
            raise InputError(f"program {word!r} not found (Debian, Ubuntu: apt-get install cp2k)")
    return words


def data_folder(settings: Cp2kSettings) -> Path:
    """Return the folder of basis sets and potentials.

    Raises
    ------
    InputError
        It does not exist, or is not one of CP2K.
    """
    named = settings.data_dir or os.environ.get("CP2K_DATA_DIR")
    if named:
        folder = Path(named).expanduser()
        if not (folder / POTENTIAL_FILE).is_file():
            origin = "data_dir" if settings.data_dir else "CP2K_DATA_DIR"
            raise InputError(f"{origin}: {folder} has no {POTENTIAL_FILE}")
        return folder
    program = shutil.which(shlex.split(settings.command)[-1])
    near_program = [Path(program).resolve().parents[1] / part for part in ("share/cp2k", "share/cp2k/data", "data")] \
        if program else []
    for folder in [*near_program, *map(Path, PLACES)]:
        if (folder / POTENTIAL_FILE).is_file():
            return folder
    raise InputError(f"no folder with {POTENTIAL_FILE} found: set data_dir, or CP2K_DATA_DIR")


@functools.cache
def version(words: tuple[str, ...]) -> str:
    """Return the version of CP2K, e.g. ``2023.1``; without the launcher.

    Raises
    ------
    InputError
        The program does not start, is not CP2K, or its output cannot be read.
    """
    try:
        done = subprocess.run(
            [words[-1], "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=60, check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"{words[-1]} --version: {error}") from error
    match = re.search(r"CP2K version (\d+)\.(\d+)", done.stdout.decode("utf-8", "replace"))
    if not match:
        raise InputError(f"{words[-1]} is not CP2K: `{words[-1]} --version` does not report a version of CP2K")
    found = (int(match[1]), int(match[2]))
    if not OLDEST <= found <= NEWEST:
        raise InputError(
            f"cp2kdata does not read the output of CP2K {found[0]}.{found[1]}; use "
            f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
        )
    return f"{found[0]}.{found[1]}"


def run_cp2k(settings: Cp2kSettings, folder: Path, data: Path, *, timeout_s: float | None = None) -> str:
    """Run CP2K on ``folder/run.inp`` and return its output, which stays in ``folder/run.out``.

    Raises
    ------
    RunError
        It stopped with an error, crashed, or took longer than ``timeout_s``.
    TransientError
        It was killed from outside.
    FatalError
        The program is missing.
    """
    try:
        words = command_words(settings)
    except InputError as error:
        raise FatalError(f"labeler cp2k: {error}") from error
    output = folder / "run.out"
    output.unlink(missing_ok=True)  # CP2K appends
    log = folder / "run.log"
    log.unlink(missing_ok=True)
    environment = {"CP2K_DATA_DIR": str(data)}
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # containers, where Open MPI would refuse to start
        environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    try:
        run_tool([*words, "-i", "run.inp", "-o", "run.out"], log, folder, env=environment, timeout_s=timeout_s)
    except KilledError as error:
        if error.signal not in CRASHES:
            raise
        raise RunError(_reason(output, f"CP2K crashed ({error.signal})")) from error
    except TransientError as error:
        if timeout_s is None:  # the time limit of the task, not of this run
            raise
        raise RunError(f"CP2K took longer than {timeout_s / 60:g} min (timeout_min)") from error
    except FatalError as error:
        if any(f"failed with code {code};" in str(error) for code in KILLED_CODES):
            raise TransientError("CP2K was killed") from error
        last = (tail(log, 1) or "no message").strip()
        raise RunError(_reason(output, f"CP2K ended with an error: {last}")) from error
    text = _read(output)
    if not has_ended(text):
        raise RunError(_reason(output, "the output of CP2K is truncated"))
    return text


def _reason(output: Path, otherwise: str) -> str:
    return why_it_stopped(_read(output)) or otherwise


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
