"""Data sets in other formats, and data sets split by trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.collect import count_frames, split_by_trajectory
from dpa_sse.ops.data.dataset import drop_duplicates
from dpa_sse.ops.data.formats import find_format, format_of_target
from dpa_sse.ops.data.reading import LabelledData, read_data
from dpa_sse.ops.data.settings import SplitSettings
from dpa_sse.ops.data.writing import check_target, write_data


def convert_data(
    source: Path, out: Path, from_format: str | None = None, to_format: str | None = None,
    type_map: Sequence[str] | None = None, *, overwrite: bool = False,
) -> dict[str, Any]:
    """Write labelled data in another format; the last bit of every number is kept.

    Parameters
    ----------
    source, out : Path
        What to read and what to write.
    from_format, to_format : str, optional
        Names of `dpa_sse.ops.data.formats.FORMATS`; by default recognised, and told by the ending of ``out``.
    type_map : sequence of str, optional
        Elements of the written data in their order.
    overwrite : bool
        Replace ``out`` if it exists.

    Returns
    -------
    dict
        n_frames, systems, type_map, from, to, notes.

    Raises
    ------
    InputError
        Whatever is wrong with the source, the formats, the type map or the target.
    """
    form = find_format(to_format, writable=True) if to_format else format_of_target(out)
    _check_places(source, out)
    check_target(out, overwrite=overwrite)
    data = read_data(source, from_format, check_type_map(type_map))
    write_data(out, form.name, data.type_map, data.blocks, overwrite=overwrite, **_level(data))
    return {
        "n_frames": sum(map(len, data.blocks)), "systems": len({block.system for block in data.blocks}),
        "type_map": data.type_map, "from": data.form, "to": form.name, "notes": data.notes,
    }


def split_data(
    source: Path, out: Path, split: SplitSettings, seed: int, *, form: str | None = None,
    type_map: Sequence[str] | None = None, overwrite: bool = False,
) -> dict[str, Any]:
    """Write a data set whose whole trajectories go to train, validation or test, duplicates dropped.

    Parameters
    ----------
    source : Path
        Data in any format; splits that it has are forgotten.
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

    Returns
    -------
    dict
        n_frames and trajectories (per split), duplicates_dropped, notes.

    Raises
    ------
    InputError
        No system has two trajectories: a split by frame would put neighbours in time into training and test.
    """
    _check_places(source, out)
    check_target(out, overwrite=overwrite)
    if split.test == 0 and split.validation == 0:
        raise InputError("neither a test nor a validation share is wanted: there is nothing to split")
    data = read_data(source, form, check_type_map(type_map))
    blocks = [replace(block, split="train") for block in data.blocks]
    names: dict[str, set[str]] = {}
    for block in blocks:
        names.setdefault(block.system, set()).update(block.trajectories)
    if all(len(own) < 2 for own in names.values()):
        raise InputError(
            f"{source}: no system has two trajectories, so there is nothing that could be held out "
            "(frames of one trajectory resemble each other: they are never divided)"
        )
    parts, notes = split_by_trajectory(blocks, split, seed)
    parts, dropped = drop_duplicates(parts)
    write_data(
        out, "npy", data.type_map, parts, overwrite=overwrite, duplicates_dropped=dropped, notes=notes, **_level(data)
    )
    trajectories: dict[str, set[tuple[str, str]]] = {"train": set(), "validation": set(), "test": set()}
    for block in parts:
        trajectories[block.split].update((block.system, name) for name in block.trajectories)
    return {
        "n_frames": count_frames(parts), "trajectories": {name: len(own) for name, own in trajectories.items()},
        "duplicates_dropped": dropped, "notes": [*data.notes, *notes],
    }


def check_type_map(type_map: Sequence[str] | None) -> list[str] | None:
    """Return the type map if it is a list of distinct elements; None stays None."""
    if type_map is None:
        return None
    from ase.data import chemical_symbols

    unknown = [name for name in type_map if name not in chemical_symbols[1:]]
    twice = sorted({name for name in type_map if list(type_map).count(name) > 1})
    if not type_map or unknown or twice:
        what = f"{', '.join(unknown)} is no element" if unknown else f"{', '.join(twice) or 'nothing'} is named twice"
        raise InputError(f"type map [{', '.join(type_map)}]: {what if type_map else 'it is empty'}")
    return list(type_map)


def _level(data: LabelledData) -> dict[str, Any]:
    """Return the level of theory for ``dataset.json``, where the source records it."""
    return {} if data.level is None else {"level": data.level}


def _check_places(source: Path, out: Path) -> None:
    here, there = source.resolve(), out.resolve()
    if here == there or there in here.parents or here in there.parents:
        raise InputError(f"{out}: the result would lie in the source, or the source in it; choose another place")
