"""The event log: one JSON line per event, appended by all processes of a local run; in a pod, its output."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

LOG = "log.jsonl"


def emit(event: str, stage: str, task: str, *, folder: Path | None = None, **fields: Any) -> None:
    """Append an event to the log of the run that ``DPA_SSE_RUN`` names; without one, print it if so asked.

    ``DPA_SSE_EVENTS=stdout`` asks: the log of a pod then tells which tasks it did.

    A line is written by one system call on a file opened for appending, so lines of several processes
    do not mix.
    """
    run = os.environ.get("DPA_SSE_RUN")
    if run is None and os.environ.get("DPA_SSE_EVENTS") != "stdout":
        return
    record: dict[str, Any] = {"time": round(time.time(), 3), "event": event, "stage": stage, "task": task}
    if folder is not None and run is not None:
        record["folder"] = os.path.relpath(folder, run)
    record.update({key: value for key, value in fields.items() if value is not None})
    line = (json.dumps(record) + "\n").encode()
    if run is None:
        os.write(1, line)
        return
    descriptor = os.open(Path(run) / LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
