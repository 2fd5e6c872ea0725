"""Which tasks of a fan-out share a process or a pod."""

from __future__ import annotations

import math


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
        Every n-th task where there are n groups: neighbours (one system, one temperature) take equally long, so that
        groups of neighbours would not.
    """
    return range(group, count, math.ceil(count / size))
