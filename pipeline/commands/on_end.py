"""What the user wants at the end of a run: a command, a message to a web address. Neither can fail the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.foreign import printable
from dpa_sse.pipeline.config.sections import ProjectSections

COMMAND_S = 60.0
"""Time that the command has; it may start something that takes longer."""
ADDRESS_S = 10.0


@dataclass(frozen=True)
class Ended:
    """A run that has ended.

    Attributes
    ----------
    name : str
    folder : Path
    status : str
        As in ``summary.json``.
    exit_code : int
    lines : tuple of str
        The result, as it is printed.
    """

    name: str
    folder: Path
    status: str
    exit_code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The result in one text."""
        return "\n".join([f"{self.name}: {self.status}", *self.lines])

    def message(self) -> dict[str, object]:
        """Return what is sent: no path of this machine. ``text`` is what chat programs show."""
        return {
            "text": self.text, "run": self.name, "status": self.status, "exit_code": self.exit_code,
            "result": list(self.lines),
        }


def announce_end(project: ProjectSections, base_dir: Path, ended: Ended) -> list[str]:
    """Start the command and send the message that the project asks for; return what did not work."""
    faults = []
    if project.on_end:
        faults.append(_run(project.on_end, base_dir, ended))
    if project.on_end_url:
        faults.append(_post(project.on_end_url, ended))
    return [printable(fault) for fault in faults if fault]


def program_of(argv: Sequence[str], base_dir: Path) -> str:
    """Return the program of the command; a relative path with a slash is relative to the configuration file."""
    path = Path(argv[0]).expanduser()
    return str((base_dir / path).resolve()) if "/" in argv[0] else argv[0]


def _run(argv: Sequence[str], base_dir: Path, ended: Ended) -> str:
    variables = dict([
        env.END_STATUS.entry(ended.status), env.END_RESULT.entry(ended.text), env.END_FOLDER.entry(ended.folder),
    ])
    try:
        child = subprocess.Popen(
            [program_of(argv, base_dir), *argv[1:]], cwd=ended.folder, env={**os.environ, **variables},
            stdin=subprocess.PIPE, start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return f"on_end: {argv[0]} could not be started ({error}); the run is not affected"
    try:
        child.communicate(json.dumps(ended.message()).encode(), timeout=COMMAND_S)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return f"on_end: {argv[0]} was stopped after {COMMAND_S:g} s; the run is not affected"
    if child.returncode:
        return f"on_end: {argv[0]} ended with exit code {child.returncode}; the run is not affected"
    return ""


def _post(address: str, ended: Ended) -> str:
    from http.client import HTTPException
    from urllib.error import URLError
    from urllib.request import Request, urlopen

    url = os.environ.get(address.removeprefix("$"), "")
    if not url.startswith(("http://", "https://")):
        return f"on_end_url: {address} does not hold an address that starts with http:// or https://; nothing was sent"
    body = json.dumps(ended.message()).encode()
    try:
        request = Request(url, body, {"Content-Type": "application/json", "User-Agent": "dpa-sse"})  # noqa: S310
        with urlopen(request, timeout=ADDRESS_S):  # noqa: S310  (the scheme was checked)
            return ""
    except (URLError, OSError, HTTPException, ValueError) as error:  # the address itself may be a secret
        reason = getattr(error, "reason", "") or type(error).__name__
        return f"on_end_url: the message was not accepted ({reason}); the run is not affected"
