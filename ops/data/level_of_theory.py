"""The level of theory of labels: one data set holds labels of one level only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.data.incar import same_value

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
        for element, potential in level.get("potentials", {}).items():
            if not isinstance(joined["potentials"].get(element), dict):  # title and hash say more than a title
                joined["potentials"][element] = potential
    return joined


def _difference(one: Level, other: Level) -> str:
    if one.get("code") != other.get("code"):
        return f"{one.get('code')} and {other.get('code')}"
    first, second = one.get("settings", {}), other.get("settings", {})
    for name in sorted({*first, *second}):
        if not _same_setting(name, first.get(name), second.get(name)):
            return f"{name} = {first.get(name, 'unset')} and {name} = {second.get(name, 'unset')}"
    first, second = one.get("potentials", {}), other.get("potentials", {})
    for element in sorted({*first} & {*second}):
        titles, hashes = zip(*(_title_and_hash(value) for value in (first[element], second[element])), strict=True)
        if titles[0] != titles[1]:
            return f"the potential of {element}: {titles[0]} and {titles[1]}"
        if None not in hashes and hashes[0] != hashes[1]:
            return f"the potential of {element}: {titles[0]} in two versions"
    return ""


def _same_setting(name: str, one: Any, other: Any) -> bool:
    """Return whether two values mean the same: one user writes ``T`` and ``1E-06`` where another one does not."""
    return one == other or (one is not None and other is not None and same_value(name, one, other))


def _title_and_hash(potential: Any) -> tuple[Any, Any]:
    """Return what identifies a data set; an output of VASP tells its title only."""
    return (potential.get("titel"), potential.get("sha256")) if isinstance(potential, dict) else (potential, None)
