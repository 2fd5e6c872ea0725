"""Several labelled data sets of any format as one: trajectories stay apart, duplicates and leaks are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.account import SourceCount
from dpa_sse.ops.data.exchange import check_places, check_type_map
from dpa_sse.ops.data.formats import find_format, format_of_target
from dpa_sse.ops.data.frames import SystemData, count_frames, drop_duplicates, merge_blocks
from dpa_sse.ops.data.near import keep_apart
from dpa_sse.ops.data.npy import renumber_types
from dpa_sse.ops.data.reading import LabelledData, common_level, read_data
from dpa_sse.ops.data.writing import check_target, write_data
from dpa_sse.ops.results.base import ResultPart
from dpa_sse.ops.results.dataset import Split
from dpa_sse.ops.results.level import LevelOfTheory


class MergeSummary(ResultPart):
    """What :func:`merge_data` has written.

    Attributes
    ----------
    n_frames : dict
        Frames of each split.
    read : dict
        Frames of each input, by its path.
    duplicates_dropped, near_copies_dropped : int
        Frames that are in several inputs, or twice in one; held-out frames that resemble a training frame.
    type_map : tuple of str
    target_format : str
    notes : tuple of str
    sources : tuple of SourceCount
    level : LevelOfTheory or None
    """

    n_frames: dict[Split, int]
    read: dict[str, int]
    duplicates_dropped: int
    near_copies_dropped: int
    type_map: tuple[str, ...]
    target_format: str = Field(serialization_alias="to")
    notes: tuple[str, ...] = ()
    sources: tuple[SourceCount, ...] = ()
    level: LevelOfTheory | None = None


def merge_data(
    sources: Sequence[Path], out: Path, to_format: str | None = None, type_map: Sequence[str] | None = None, *,
    overwrite: bool = False, mix_levels: bool = False,
) -> MergeSummary:
    """Write several data sets as one.

    Splits are kept. A frame that is in several inputs is written once, in the split that is held out most; held-out
    frames that nearly equal a training frame of another input are left out. Trajectories of the same name in different
    inputs stay different.

    Parameters
    ----------
    sources : sequence of Path
        Files and folders in any format; at least two.
    out : Path
        What to write.
    to_format : str, optional
        Name of one of `dpa_sse.ops.data.formats.FORMATS`; derived from the suffix of ``out`` by default.
    type_map : sequence of str, optional
        Elements of the written data in their order; in order of appearance by default.
    overwrite : bool
        Replace ``out`` if it exists.
    mix_levels : bool
        Accept labels of different levels of theory.

    Raises
    ------
    InputError
        An input is given twice or contains another one, cannot be read, or its labels are of another level of theory.
    """
    form = find_format(to_format, writable=True) if to_format else format_of_target(out)
    _check_sources(sources, out)
    check_target(out, overwrite=overwrite)
    wanted = check_type_map(type_map)
    loaded = [read_data(path, type_map=wanted, mix_levels=mix_levels) for path in sources]
    elements = wanted or list(dict.fromkeys(name for data in loaded for name in data.type_map))
    levels = [(str(path), data.level) for path, data in zip(sources, loaded, strict=True)]
    level, remarks = common_level(levels, mix_levels=mix_levels, kind="inputs")
    blocks, dropped, _ = distinct = drop_duplicates(_blocks(sources, loaded, elements))
    apart = keep_apart(blocks)
    final = merge_blocks(apart.blocks)
    near = sum(map(len, blocks)) - sum(map(len, final))
    notes = (*(note for data in loaded for note in data.notes), *remarks, *distinct.notes(), *apart.notes())
    write_data(
        out, form.name, elements, final, overwrite=overwrite, level=level, notes=notes,
        **({"duplicates_dropped": dropped} if form.name == "npy" else {}),
    )
    return MergeSummary(
        n_frames=count_frames(final),
        read={str(path): sum(map(len, data.blocks)) for path, data in zip(sources, loaded, strict=True)},
        duplicates_dropped=dropped, near_copies_dropped=near, type_map=tuple(elements), target_format=form.name,
        notes=notes, sources=tuple(count for data in loaded for count in data.sources), level=level,
    )


def _check_sources(sources: Sequence[Path], out: Path) -> None:
    if len(sources) < 2:
        raise InputError("give at least two inputs to merge; `dpa-sse data convert` takes one")
    places = [path.resolve() for path in sources]
    for number, path in enumerate(sources):
        check_places(path, out)
        for other in range(number):
            if places[number] == places[other]:
                raise InputError(f"{path}: given twice (also as {sources[other]}); name each input once")
            for inner, outer in ((number, other), (other, number)):
                if places[outer] in places[inner].parents:
                    raise InputError(f"{sources[inner]} is inside {sources[outer]}: its frames would be read twice")


def _blocks(sources: Sequence[Path], loaded: Sequence[LabelledData], elements: Sequence[str]) -> list[SystemData]:
    """Return all blocks with the same elements; trajectories get the name of their input where names clash."""
    seen: dict[tuple[str, str], int] = {}
    found = []
    for number, (path, data) in enumerate(zip(sources, loaded, strict=True)):
        taken = {(block.system, name) for block in data.blocks for name in block.trajectories}
        clashing = {key for key in taken if seen.setdefault(key, number) != number}
        for block in data.blocks:
            names = [
                f"{number}-{path.stem}/{name}" if (block.system, name) in clashing else name
                for name in block.trajectories
            ]
            types = renumber_types(block.types, data.type_map, list(elements), str(path))
            found.append(replace(block, types=types, trajectories=names))
    return found
