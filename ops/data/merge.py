"""Add newly labelled frames to a data set, and merge data sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.convert import frames_to_blocks
from dpa_sse.ops.data.dataset import level_of, read_dataset, write_dataset
from dpa_sse.ops.data.frames import drop_duplicates
from dpa_sse.ops.data.level_of_theory import merged_level
from dpa_sse.ops.data.near import keep_apart, keep_new_apart
from dpa_sse.ops.data.results import gather_frames
from dpa_sse.ops.results.dataset import DatasetInfo


def merge_labelled(
    dataset: Path, results: Sequence[Path], out: Path, *, min_success_ratio: float = 0.0
) -> DatasetInfo:
    """Write ``dataset`` plus the newly labelled frames, which go to the training set.

    Parameters
    ----------
    dataset : Path
        Data set folder; not changed.
    results : sequence of Path
        Task folders with ``frames.extxyz`` and ``status.json``; ``info["system"]`` names the system.
    out : Path
        The new data set folder.
    min_success_ratio : float
        Smallest share of good frames.

    Returns
    -------
    DatasetInfo
        With ``labelled`` (frames that got labels), ``added`` (of these, without duplicates) and ``failed``.

    Raises
    ------
    FatalError
        Too many frames failed, or the new labels are of another level of theory.
    """
    type_map, old = read_dataset(dataset)
    found = gather_frames(results, min_success_ratio)
    new = frames_to_blocks(found.frames, type_map)
    apart = keep_new_apart([block for block in old if block.split != "train"], new)
    blocks, dropped, _ = distinct = drop_duplicates([*old, *apart.blocks])
    return write_dataset(
        out, type_map, blocks, duplicates_dropped=dropped, labelled=len(found.frames),
        added=sum(map(len, blocks)) - sum(map(len, old)), failed=found.failed,
        notes=(*distinct.notes(), *apart.notes()), level=merged_level([level_of(dataset), found.level]),
    )


def merge_datasets(datasets: Sequence[Path], out: Path, *, mix_levels: bool = False) -> DatasetInfo:
    """Write the union of several data sets with the same type map; splits are kept, duplicates dropped.

    Parameters
    ----------
    datasets : sequence of Path
    out : Path
        The new data set folder.
    mix_levels : bool
        Accept labels of different levels of theory.

    Raises
    ------
    InputError
        No data set, or different type maps.
    FatalError
        Different levels of theory.
    """
    loaded = [read_dataset(path) for path in datasets]
    if not loaded:
        raise InputError("no data set to merge")
    maps = {tuple(type_map) for type_map, _ in loaded}
    if len(maps) > 1:
        raise InputError(f"data sets with different type maps cannot be merged: {sorted(map(list, maps))}")
    blocks, dropped, _ = distinct = drop_duplicates([block for _, blocks in loaded for block in blocks])
    apart = keep_apart(blocks)
    return write_dataset(
        out, loaded[0][0], apart.blocks, duplicates_dropped=dropped, notes=(*distinct.notes(), *apart.notes()),
        level=merged_level(map(level_of, datasets), mix=mix_levels),
    )
