"""Limits for small files that a user names: nothing keeps a command from ending."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MAX_BYTES = 1_000_000
MAX_VALUES = 20_000
MAX_DEPTH = 50


def read_small(path: Path, most: int = MAX_BYTES) -> str:
    """Return the text of a small file.

    Raises
    ------
    ValueError
        It is larger than ``most`` bytes, or not UTF-8.
    OSError
        It cannot be read.
    """
    with path.open("rb") as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValueError(f"larger than {most // 1000} kB")
    return data.decode("utf-8")


def require_bounded(data: Any, most: int = MAX_VALUES, depth: int = MAX_DEPTH) -> Any:
    """Return data of JSON or YAML unchanged.

    Raises
    ------
    ValueError
        It has more values than ``most``, repeated ones of YAML anchors included, or is nested deeper than ``depth``.
    """
    left = most
    waiting: list[tuple[Any, int]] = [(data, 0)]
    while waiting:
        value, level = waiting.pop()
        left -= 1
        if left < 0 or level > depth:
            raise ValueError("too many or too deeply nested values")
        if isinstance(value, dict):
            waiting += [(item, level + 1) for item in value.values()]
        elif isinstance(value, list):
            waiting += [(item, level + 1) for item in value]
    return data
