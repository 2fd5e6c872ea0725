"""A line of the doctor's report, and starting programs to see how they answer."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["ok", "missing", "warning", "optional"]

PROBE_TIMEOUT_S = 120
NO_ANSWER = f"no answer within {PROBE_TIMEOUT_S} s"
ANSWER_MARK = "PROBE"
"""A child process prints its answer as JSON after this word, on a separate line."""


@dataclass(frozen=True)
class Finding:
    """A line of the doctor's report.

    Attributes
    ----------
    group, name : str
        What was checked.
    status : {"ok", "missing", "warning", "optional"}
        ``missing``: needed for the quickstart, but not found; ``optional``: not found, and needed for some uses only.
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
    """Run a program; return whether it succeeded, and its output (or why it did not start).

    The text is ``NO_ANSWER`` if the program was started but took too long, which does not mean that it is broken.
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
    """Return the last line that is not empty, cut to 200 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no output"


def answer_line(answer: Any) -> str:
    """Return the line that a child process prints as its answer; ``answer`` is JSON data."""
    return f"{ANSWER_MARK}{json.dumps(answer)}"


def answer_in(text: str) -> Any:
    """Return the last answer in the output of a child process, None if there is none."""
    lines = [line.removeprefix(ANSWER_MARK) for line in text.splitlines() if line.startswith(ANSWER_MARK)]
    return json.loads(lines[-1]) if lines else None
