"""``.done.json``: the output parameters of a finished task."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from pydantic import Field

from dpa_sse.ops.results.base import Result

OutputValue: TypeAlias = bool | int | float | None
"""An output parameter of a task; None where the result has none."""


class TaskRecord(Result):
    """Written last: a task folder with this file is complete.

    Attributes
    ----------
    values : dict
        Output parameters.
    seconds : float
        Duration of the task.
    versions : dict
        Versions of the programs that decided its numbers. They are not a part of the hash of the task: a result that
        was made with other versions is reused, and reported as such.
    subject : str
        What it is about, if the name of the task does not say so: the target.
    """

    FILE: ClassVar[str] = ".done.json"

    values: dict[str, OutputValue]
    seconds: float
    versions: dict[str, str] = Field(default_factory=dict)
    subject: str = ""
