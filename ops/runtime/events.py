"""The event log: one JSON line per event, appended by all processes of a local run; in a pod, printed to its log."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dpa_sse.ops.core import environment as env

LOG = "log.jsonl"
STDOUT = "stdout"
EventKind = Literal[
    "run-start", "run-end", "planned", "changed", "error", "note",
    "start", "cached", "done", "failed", "retry",
]


class Event(BaseModel):
    """One line of the event log.

    Attributes
    ----------
    time : float
        Seconds since the epoch.
    kind : str
        What happened: to the run (first line of :data:`EventKind`) or to a task (second line).
    stage, task : str
        Of the task; empty for events of the run.
    folder : str, optional
        Folder of the task below the run folder; of a failed pod, its name.
    checkpoint : bool, optional
        The task resumed from a stored checkpoint.
    seconds : float, optional
        Duration of the task.
    reason : str, optional
        Why it failed or was retried; a remark on one that succeeded in part.
    cores, gpus : int, list of str, optional
        Resources of the run.
    changed, again, kept : list of str, optional
        Steps whose settings have changed, steps that are recomputed, steps whose results are reused.
    code : int, optional
        Exit code of the run.
    pods : str, optional
        Pods of the task, on a cluster.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    time: float = Field(default_factory=lambda: round(time.time(), 3))
    kind: EventKind = Field(alias="event")
    stage: str = ""
    task: str = ""
    folder: str | None = None
    checkpoint: bool | None = None
    seconds: float | None = None
    reason: str | None = None
    cores: int | None = None
    gpus: list[str] | None = None
    changed: list[str] | None = None
    again: list[str] | None = None
    kept: list[str] | None = None
    code: int | None = None
    pods: str | None = None

    @classmethod
    def from_line(cls, line: str | bytes) -> Event:
        """Return the event of a line; keys that this version does not know are ignored.

        Raises
        ------
        ValueError
            The line does not hold an event; its time must be given.
        """
        event = cls.model_validate_json(line, extra="ignore")
        if "time" not in event.model_fields_set or not math.isfinite(event.time):
            raise ValueError("an event without a time")
        return event

    def line(self) -> str:
        """Return the event as a line of the log, with its line break."""
        return json.dumps(self.model_dump(by_alias=True, exclude_none=True)) + "\n"


def emit(kind: EventKind, stage: str = "", task: str = "", *, folder: Path | None = None, **details: Any) -> None:
    """Append an event to the log of the run that this process works for.

    A process outside of a run prints it if the environment asks for that (a pod, whose log then shows its tasks).
    The line is written by one system call on a file opened for appending, so lines of several processes do not mix.

    Parameters
    ----------
    kind : str
        See :data:`EventKind`.
    stage, task : str
        Of the task; empty for events of the run.
    folder : Path, optional
        Of the task.
    **details
        Further fields of :class:`Event`.
    """
    run = env.RUN.read()
    if run is None and env.EVENTS.read() != STDOUT:
        return
    place = os.path.relpath(folder, run) if folder is not None and run is not None else None
    line = Event(kind=kind, stage=stage, task=task, folder=place, **details).line().encode()
    if run is None:
        os.write(1, line)
        return
    log = env.JOB_EVENTS.read() or run / LOG
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
