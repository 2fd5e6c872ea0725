"""One line of the doctor's report, and programs that are started to see what they say."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "missing", "warning", "optional"]

PROBE_TIMEOUT_S = 120
NO_ANSWER = f"no answer within {PROBE_TIMEOUT_S} s"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Attributes
    ----------
    group, name : str
        What was looked at.
    status : {"ok", "missing", "warning", "optional"}
        ``missing``: needed for the quickstart; ``optional``: not there, and only some uses need it.
    value : str
        Version, path or amount.
    note : str
        What it means or what to do; may be empty.
    """

    group: str
    name: str
    status: Status
    value: str
    note: str = ""


def probe(argv: list[str], env: dict[str, str] | None = None, cwd: str | None = None) -> tuple[bool, str]:
    """Run a program; return whether it ended well, and what it printed (or why it did not start).

    The text is ``NO_ANSWER`` where the program was started and took too long: that says nothing against it.
    """
    try:
        done = subprocess.run(
            argv, env={**os.environ, **(env or {})}, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=PROBE_TIMEOUT_S, check=False,
        )
    except subprocess.TimeoutExpired:
        return False, NO_ANSWER
    except OSError as error:
        return False, str(error.strerror or error)
    return done.returncode == 0, done.stdout.decode("utf-8", "replace")


def last_line(text: str) -> str:
    """Return the last line with something in it, cut to 200 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no output"
