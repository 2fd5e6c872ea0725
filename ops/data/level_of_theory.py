"""The level of theory of labels: one data set holds labels of one level only."""

from __future__ import annotations

from collections.abc import Iterable

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.data.incar import same_value
from dpa_sse.ops.results.level import LevelOfTheory, PotentialFile


def join_levels(levels: Iterable[LevelOfTheory | None]) -> LevelOfTheory | None:
    """Return the common level of labels.

    Parameters
    ----------
    levels : iterable of LevelOfTheory or None
        None: labels whose source does not state its level.

    Returns
    -------
    LevelOfTheory or None
        With the potentials of all elements; None if no level is known.

    Raises
    ------
    FatalError
        They differ in the code, a setting (functional, cutoff), or the potential of an element.
    """
    joined: LevelOfTheory | None = None
    for level in levels:
        if level is None:
            continue
        if joined is None:
            joined = level
            continue
        if difference := _difference(joined, level):
            raise FatalError(f"labels of different levels of theory cannot be mixed: {difference}")
        potentials = dict(joined.potentials)
        for element, potential in level.potentials.items():
            if not isinstance(potentials.get(element), PotentialFile):  # title and hash say more than a title
                potentials[element] = potential
        joined = joined.model_copy(update={"potentials": potentials})
    return joined


def _difference(one: LevelOfTheory, other: LevelOfTheory) -> str:
    if one.code != other.code:
        return f"{one.code} and {other.code}"
    first, second = one.settings, other.settings
    for name in sorted({*first, *second}):
        if not _same_setting(name, first.get(name), second.get(name)):
            return f"{name} = {first.get(name, 'unset')} and {name} = {second.get(name, 'unset')}"
    for element in sorted({*one.potentials} & {*other.potentials}):
        pair = (one.potentials[element], other.potentials[element])
        titles = [value.titel if isinstance(value, PotentialFile) else value for value in pair]
        if titles[0] != titles[1]:
            return f"the potential of {element}: {titles[0]} and {titles[1]}"
        # an output of VASP holds the title only
        if len({value.sha256 for value in pair if isinstance(value, PotentialFile)}) > 1:
            return f"the potential of {element}: {titles[0]} in two versions"
    return ""


def _same_setting(name: str, one: str | None, other: str | None) -> bool:
    """Return whether two values mean the same: one user writes ``T`` and ``1E-06`` where another one does not."""
    return one == other or (one is not None and other is not None and same_value(name, one, other))
