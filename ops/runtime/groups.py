"""Which tasks of a fan-out share a process or a pod, and the folders of their results."""

from __future__ import annotations

import math
from pathlib import Path


def members(group: int, size: int, count: int) -> range:
    """Return the tasks of one group.

    Parameters
    ----------
    group : int
        Number of the group, from 0.
    size : int
        Tasks in a group, at most.
    count : int
        Tasks in the fan-out.

    Returns
    -------
    range
        Every n-th task if there are n groups: neighbouring tasks (one system, one temperature) take equally long, so
        groups of neighbours would differ in duration.
    """
    return range(group, count, math.ceil(count / size))


class Tasks(list[Path]):
    """Result folders of single tasks, where the groups of a whole fan-out are expected."""


def results(groups: list[Path]) -> list[Path]:
    """Return the result folders of a fan-out in the order of their index, each once (retried pods list them again)."""
    if isinstance(groups, Tasks):
        return list(groups)
    found = {folder.name: folder for group in groups for folder in Path(group).glob("task.*")}
    return sorted(found.values(), key=lambda folder: int(folder.name.rpartition(".")[2]))
