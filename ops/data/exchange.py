"""Conversion of data sets to other formats, and splits by trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.account import SourceCount
from dpa_sse.ops.data.collect import split_by_trajectory
from dpa_sse.ops.data.formats import find_format, format_of_target
from dpa_sse.ops.data.frames import count_frames, drop_duplicates
from dpa_sse.ops.data.near import NEAR_A, keep_apart
from dpa_sse.ops.data.reading import read_data
from dpa_sse.ops.data.settings import SplitSettings
from dpa_sse.ops.data.writing import check_target, write_data
from dpa_sse.ops.results.base import ResultPart
from dpa_sse.ops.results.dataset import SPLITS, Split
from dpa_sse.ops.results.level import LevelOfTheory


class ConversionSummary(ResultPart):
    """What :func:`convert_data` has written."""

    n_frames: int
    systems: int
    type_map: tuple[str, ...]
    source_format: str = Field(serialization_alias="from")
    target_format: str = Field(serialization_alias="to")
    notes: tuple[str, ...] = ()
    sources: tuple[SourceCount, ...] = ()
    level: LevelOfTheory | None = None


class SplitSummary(ResultPart):
    """What :func:`split_data` has written: frames and trajectories of each split."""

    n_frames: dict[Split, int]
    trajectories: dict[Split, int]
    duplicates_dropped: int
    notes: tuple[str, ...] = ()
    sources: tuple[SourceCount, ...] = ()
    level: LevelOfTheory | None = None


def convert_data(
    source: Path, out: Path, from_format: str | None = None, to_format: str | None = None,
    type_map: Sequence[str] | None = None, *, overwrite: bool = False, mix_levels: bool = False,
) -> ConversionSummary:
    """Write labelled data in another format; every number keeps its last bit.

    Parameters
    ----------
    source, out : Path
        What to read and what to write.
    from_format, to_format : str, optional
        Names of `dpa_sse.ops.data.formats.FORMATS`; by default detected, and derived from the suffix of ``out``.
    type_map : sequence of str, optional
        Elements of the written data in their order.
    overwrite : bool
        Replace ``out`` if it exists.
    mix_levels : bool
        Accept labels of different levels of theory.

    Raises
    ------
    InputError
        The source, a format, the type map or the target is not valid.
    """
    form = find_format(to_format, writable=True) if to_format else format_of_target(out)
    check_places(source, out)
    check_target(out, overwrite=overwrite)
    data = read_data(source, from_format, check_type_map(type_map), mix_levels=mix_levels)
    notes = (*data.notes, *drop_duplicates(data.blocks).notes())  # of conflicting labels: nothing is dropped here
    write_data(out, form.name, data.type_map, data.blocks, overwrite=overwrite, level=data.level, notes=notes)
    return ConversionSummary(
        n_frames=sum(map(len, data.blocks)), systems=len({block.system for block in data.blocks}),
        type_map=tuple(data.type_map), source_format=data.form, target_format=form.name, notes=notes,
        sources=tuple(data.sources), level=data.level,
    )


def split_data(
    source: Path, out: Path, split: SplitSettings, seed: int, *, form: str | None = None,
    type_map: Sequence[str] | None = None, overwrite: bool = False, mix_levels: bool = False,
) -> SplitSummary:
    """Split data into train, validation and test by whole trajectories, and drop duplicates.

    Parameters
    ----------
    source : Path
        Data in any format; its present splits are ignored.
    out : Path
        The new data set (deepmd/npy).
    split : SplitSettings
        Shares of the trajectories of each system.
    seed : int
        Decides which trajectories go where.
    form : str, optional
        Format of the source.
    type_map : sequence of str, optional
        Elements of the written data in their order.
    overwrite : bool
        Replace ``out`` if it exists.
    mix_levels : bool
        Accept labels of different levels of theory.

    Raises
    ------
    InputError
        No system has two trajectories; a split by frame would put neighbouring time steps into training and test set.
    """
    check_places(source, out)
    check_target(out, overwrite=overwrite)
    if split.test == 0 and split.validation == 0:
        raise InputError("the test and validation shares are both zero: there is nothing to split")
    data = read_data(source, form, check_type_map(type_map), mix_levels=mix_levels)
    blocks = [replace(block, split="train") for block in data.blocks]
    names: dict[str, set[str]] = {}
    for block in blocks:
        names.setdefault(block.system, set()).update(block.trajectories)
    if all(len(own) < 2 for own in names.values()):
        raise InputError(
            f"{source}: no system has two trajectories, so nothing can be held out "
            "(frames of one trajectory are correlated and are never split); trajectories are told apart by file, or by "
            "`trajectory=NAME` in the comment lines of extxyz: convert a folder with one file for each"
        )
    parts, notes = split_by_trajectory(blocks, split, seed)
    parts, dropped, _ = distinct = drop_duplicates(parts)
    notes = [*notes, *distinct.notes()]
    apart = keep_apart(parts)
    if near := apart.held_out + apart.train + apart.stuck:
        notes.append(
            f"{near} frames are within {NEAR_A:g} A of a frame of the other part: `data audit` calls such a test set "
            "unusable, and a project leaves them out; longer or more different trajectories help"
        )
    write_data(
        out, "npy", data.type_map, parts, overwrite=overwrite, duplicates_dropped=dropped, notes=tuple(notes),
        level=data.level,
    )
    trajectories: dict[Split, set[tuple[str, str]]] = {split: set() for split in SPLITS}
    for block in parts:
        trajectories[block.split].update((block.system, name) for name in block.trajectories)
    return SplitSummary(
        n_frames=count_frames(parts), trajectories={name: len(own) for name, own in trajectories.items()},
        duplicates_dropped=dropped, notes=(*data.notes, *notes), sources=tuple(data.sources), level=data.level,
    )


def check_type_map(type_map: Sequence[str] | None) -> list[str] | None:
    """Return the type map after checking that it lists distinct elements; None stays None.

    Raises
    ------
    InputError
        It is empty, or an entry is not an element or a duplicate.
    """
    if type_map is None:
        return None
    from ase.data import chemical_symbols

    unknown = [name for name in type_map if name not in chemical_symbols[1:]]
    repeated = sorted({name for name in type_map if list(type_map).count(name) > 1})
    if not type_map or unknown or repeated:
        what = f"not an element: {', '.join(unknown)}" if unknown else f"duplicate: {', '.join(repeated)}"
        raise InputError(f"type map [{', '.join(type_map)}]: {what if type_map else 'it is empty'}")
    return list(type_map)


def check_places(source: Path, out: Path) -> None:
    """Refuse an output that is the source, or in it, or around it.

    Raises
    ------
    InputError
        It is.
    """
    here, there = source.resolve(), out.resolve()
    if here == there or there in here.parents or here in there.parents:
        raise InputError(f"{out}: output and source must not contain each other; choose another output path")
