"""The level of theory of labels: one data set holds labels of one level only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ops.errors import FatalError

Level = dict[str, Any]


def join_levels(levels: Iterable[Level | None]) -> Level | None:
    """Return the common level of labels.

    Parameters
    ----------
    levels : iterable of dict or None
        Of each a ``code``, its ``settings`` (name: value) and ``potentials`` (element: what identifies the data set).
        None stands for labels whose source says nothing about itself.

    Raises
    ------
    FatalError
        They differ in the code, a setting (functional, cutoff), or the potential of an element.
    """
    joined: Level | None = None
    for level in levels:
        if level is None:
            continue
        if joined is None:
            joined = {**level, "potentials": dict(level.get("potentials", {}))}
            continue
        if difference := _difference(joined, level):
            raise FatalError(f"labels of different levels of theory can not be mixed: {difference}")
        joined["potentials"] |= level.get("potentials", {})
    return joined


def _difference(one: Level, other: Level) -> str:
    if one.get("code") != other.get("code"):
        return f"{one.get('code')} and {other.get('code')}"
    first, second = one.get("settings", {}), other.get("settings", {})
    for name in sorted({*first, *second}):
        if first.get(name) != second.get(name):
            return f"{name} = {first.get(name, 'unset')} and {name} = {second.get(name, 'unset')}"
    first, second = one.get("potentials", {}), other.get("potentials", {})
    for element in sorted({*first} & {*second}):
        if first[element] != second[element]:
            names = [value.get("titel", value) if isinstance(value, dict) else value for value in
                     (first[element], second[element])]
            detail = f"{names[0]} and {names[1]}" if names[0] != names[1] else f"{names[0]} in two versions"
            return f"the potential of {element}: {detail}"
    return ""
