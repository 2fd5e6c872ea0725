"""Problems of a configuration, each with its place in the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.foreign import printable

COMMAND_LINE = "command line"

KeyPath = tuple[str | int, ...]


class Mark(NamedTuple):
    """Place of a key: its file (or the command line) and its line, counted from 1."""

    file: str
    line: int | None


Marks = Mapping[KeyPath, Mark]


def dotted(path: KeyPath) -> str:
    """Return a path as users write it: ``systems.0.name``."""
    return ".".join(map(str, path))


@dataclass(frozen=True, order=True)
class Problem:
    """One thing to correct; prints as ``configs/my.yaml:12: md.replicas: what is wrong``."""

    file: str
    line: int | None
    path: str
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return printable(": ".join(part for part in (place, self.path, self.message) if part))


class ConfigError(InputError):
    """The configuration is invalid; ``problems`` holds everything that was found, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sort_problems(problems)
        super().__init__("\n".join(map(str, self.problems)))


def sort_problems(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems without duplicates, sorted by file and line; those from the command line come last."""
    return sorted(dict.fromkeys(problems), key=lambda one: (one.line is None, one.file, one.line or 0))


def find_mark(marks: Marks, path: KeyPath, file: str | Path) -> Mark:
    """Return the place of ``path``, or of the nearest enclosing section if the key itself is not given."""
    for length in range(len(path), -1, -1):
        mark = marks.get(path[:length])
        if mark is not None:
            return mark
    return Mark(str(file), 1)


def locate(marks: Marks, path: KeyPath, message: str, file: str | Path) -> Problem:
    """Return a problem at the place of ``path``."""
    mark = find_mark(marks, path, file)
    return Problem(mark.file, mark.line, dotted(path), message)
