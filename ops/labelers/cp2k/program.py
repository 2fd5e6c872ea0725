"""Finding and running CP2K."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.labelers import programs
from dpa_sse.ops.labelers.cp2k.kinds import POTENTIAL_FILE
from dpa_sse.ops.labelers.cp2k.output import has_ended, why_it_stopped
from dpa_sse.ops.labelers.programs import RunError, program_of, read_output, run_program
from dpa_sse.ops.labelers.settings import Cp2kSettings

OLDEST, NEWEST = (8, 1), (2026, 2)
"""Versions whose output is read: older ones print the stress differently."""
PLACES = ("/usr/share/cp2k", "/usr/local/share/cp2k", "/usr/share/cp2k/data")


def command_words(settings: Cp2kSettings) -> list[str]:
    """Return program and arguments.

    Raises
    ------
    InputError
        The command is empty, has unbalanced quotes, or its program does not exist.
    """
    return programs.command_words(
        settings.command, "cp2k, or mpirun -np 8 cp2k.psmp", " (Debian, Ubuntu: apt-get install cp2k)"
    )


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
    program = shutil.which(program_of(command_words(settings)))
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
    program = program_of(words)
    try:
        done = subprocess.run(
            [program, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=60, check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"{program} --version: {error}") from error
    match = re.search(r"CP2K version (\d+)\.(\d+)", done.stdout.decode("utf-8", "replace"))
    if not match:
        raise InputError(f"{program} is not CP2K: `{program} --version` does not report a version of CP2K")
    found = (int(match[1]), int(match[2]))
    if not OLDEST <= found <= NEWEST:
        raise InputError(
            f"the output of CP2K {found[0]}.{found[1]} has not been tried; use "
            f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
        )
    return f"{found[0]}.{found[1]}"


def run_cp2k(settings: Cp2kSettings, folder: Path, data: Path, *, timeout_min: float = 0.0) -> str:
    """Run CP2K on ``folder/run.inp`` and return its output, which stays in ``folder/run.out``.

    Raises
    ------
    RunError
        It stopped with an error, crashed, or took longer than ``timeout_min``.
    TransientError
        It was killed from outside.
    FatalError
        The program is missing.
    """
    try:
        words = command_words(settings)
    except InputError as error:
        raise FatalError(f"labeler cp2k: {error}") from error
    output, log = folder / "run.out", folder / "run.log"
    output.unlink(missing_ok=True)  # CP2K appends
    log.unlink(missing_ok=True)
    run_program(
        [*words, "-i", "run.inp", "-o", "run.out"], folder, log, name="CP2K", timeout_min=timeout_min,
        env={"CP2K_DATA_DIR": str(data)}, reason=lambda: why_it_stopped(read_output(output)),
    )
    text = read_output(output)
    if not has_ended(text):
        raise RunError(why_it_stopped(text) or "the output of CP2K is truncated")
    return text
