"""The level of theory of labels: one data set holds labels of one level only."""

from __future__ import annotations

from collections.abc import Iterable

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.data.incar import same_value, value_number
from dpa_sse.ops.data.vasp_level import effective
from dpa_sse.ops.results.level import LevelOfTheory, PotentialFile

LARGEST_RATIO = 2.05
MIXED = "mixed"
"""The code of labels of several levels that were mixed on request: any further level is refused again."""


def mixed_level(levels: Iterable[LevelOfTheory]) -> LevelOfTheory:
    """Return the level of labels of several levels that were mixed on request."""
    codes = [one.settings.get("codes", "") if one.code == MIXED else one.code for one in levels]
    return LevelOfTheory(code=MIXED, settings={"codes": ", ".join(dict.fromkeys(", ".join(codes).split(", ")))})


def merged_level(levels: Iterable[LevelOfTheory | None], *, mix: bool = False) -> LevelOfTheory | None:
    """Return the common level of data sets that are merged; what was mixed on request stays mixed.

    Raises
    ------
    FatalError
        They differ, and were not to be mixed.
    """
    every = list(levels)
    known = [one for one in every if one is not None]
    if any(one.code == MIXED for one in known):
        return mixed_level(known)
    try:
        return with_unstated(join_levels(known), every)
    except FatalError:
        if not mix:
            raise
        return mixed_level(known)


def with_unstated(joined: LevelOfTheory | None, levels: Iterable[LevelOfTheory | None]) -> LevelOfTheory | None:
    """Return the common level of labels; it says so if some of them do not state theirs."""
    unstated = any(one is None or one.incomplete for one in levels)
    return joined.model_copy(update={"incomplete": True}) if joined and unstated else joined


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


def level_notes(levels: Iterable[LevelOfTheory]) -> list[str]:
    """Return notes on settings that may differ between labels of one level."""
    found = list(dict.fromkeys(level.settings["EDIFF"] for level in levels if "EDIFF" in level.settings))
    return [f"EDIFF differs: {', '.join(found)}"] if len({float(one) for one in found if _is_number(one)}) > 1 else []


def _is_number(text: str) -> bool:
    return value_number(text, float) is not None


def _difference(one: LevelOfTheory, other: LevelOfTheory) -> str:
    if one.code != other.code:
        return f"{one.code} and {other.code}"
    first, second = _comparable(one, other)
    for name in sorted({*first} & {*second}):
        if not _same_setting(name, first[name], second[name]):
            values = (level.settings.get(name, f"{value} (default)") for level, value in
                      ((one, first[name]), (other, second[name])))
            return " and ".join(f"{name} = {value}" for value in values)
    for element in sorted({*one.potentials} & {*other.potentials}):
        pair = (one.potentials[element], other.potentials[element])
        titles = [value.titel if isinstance(value, PotentialFile) else value for value in pair]
        if titles[0] != titles[1]:
            return f"the potential of {element}: {titles[0]} and {titles[1]}"
        # an output of VASP holds the title only
        if len({value.sha256 for value in pair if isinstance(value, PotentialFile)}) > 1:
            return f"the potential of {element}: {titles[0]} in two versions"
    return ""


def _comparable(one: LevelOfTheory, other: LevelOfTheory) -> tuple[dict[str, str], dict[str, str]]:
    """Return the settings of two levels of one code that can be compared.

    VASP's defaults are filled in. What is not known of one of two outputs of CP2K is not a difference. All other codes
    state their settings completely: one that is missing is a difference.
    """
    if one.code == "VASP":
        first, second = ({k: v for k, v in effective(level).items() if v is not None} for level in (one, other))
        return _without(first, "EDIFF"), _without(second, "EDIFF")
    if one.code == "CP2K" and {*one.settings} & {*other.settings}:
        return one.settings, other.settings
    names = {*one.settings, *other.settings}
    if "model_sha256" in {*one.settings} & {*other.settings}:  # the program around a model does not change its labels
        names -= {"version"}
    return ({name: one.settings.get(name, "unset") for name in names},
            {name: other.settings.get(name, "unset") for name in names})


def _without(settings: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in settings.items() if name not in names}


def _same_setting(name: str, one: str, other: str) -> bool:
    """Return whether two values mean the same: one user writes ``T`` and ``1E-06`` where another one does not."""
    if name == "k_spacing_per_A":
        return _same_mesh(one, other)
    if name == "LREAL":  # outputs say T for A and O, too
        flags = [value_number(value, bool) for value in (one, other)]
        if 1.0 in flags:
            return 0.0 not in flags
    return one == other or same_value(name, one, other)


def _same_mesh(one: str, other: str) -> bool:
    """Return whether two meshes can be of one density.

    One rule gives spacings that differ by less than a factor of two; a cell so large that Gamma is enough may have any
    smaller spacing.
    """
    fine, coarse = sorted((one, other), key=lambda text: float(text.split()[0]))
    return "Gamma" in fine or float(coarse.split()[0]) <= LARGEST_RATIO * float(fine.split()[0])
