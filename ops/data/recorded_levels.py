"""The levels of theory that folders of data record, compared before anything is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.files import walk_folders
from dpa_sse.ops.data.level_of_theory import MIXED, join_levels
from dpa_sse.ops.data.read_sets import LEVEL_FILE, level_from
from dpa_sse.ops.results.dataset import DatasetInfo
from dpa_sse.ops.results.level import LevelOfTheory


def level_conflict(folders: Mapping[str, Path], code: str | None) -> tuple[str, str] | None:
    """Return the first of some folders whose labels cannot join those before it, and why; None if all can.

    Parameters
    ----------
    folders : mapping
        Name and path of each folder; one that does not exist is passed over.
    code : str, optional
        Code of the labels that the data are added to.
    """
    joined: LevelOfTheory | None = None
    before = ""
    for name, folder in folders.items():
        for level in recorded_levels(folder):
            if code is not None and level.code not in (code, MIXED):
                return name, f"labels by {level.code} cannot be mixed with labels by {code}, the labeler"
            try:
                joined = join_levels([joined, level])
            except FatalError as error:
                return name, f"{error}" + (f" ({before} and {name})" if before and before != name else "")
            before = before or name
    return None


def mixed_codes(folders: Mapping[str, Path], code: str | None) -> list[str]:
    """Return the codes of all labels, in the order of the folders; the code that they are added to comes first."""
    found = [code] if code else []
    for folder in folders.values():
        for level in recorded_levels(folder):
            found += level.settings.get("codes", level.code).split(", ")
    return list(dict.fromkeys(found))


def recorded_levels(folder: Path) -> Iterator[LevelOfTheory]:
    """Yield the levels that a folder and those below it record."""
    for here, files in walk_folders(folder):
        level = None
        if DatasetInfo.FILE in files:
            try:
                info = DatasetInfo.read_if_there(Path(here))
            except FatalError:
                continue
            level = None if info is None else info.level
        elif LEVEL_FILE in files:
            level = level_from((Path(here) / LEVEL_FILE).read_text(encoding="utf-8", errors="replace"))
        if level is not None:
            yield level
