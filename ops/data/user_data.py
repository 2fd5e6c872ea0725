"""A user's own data set in deepmd/npy (plain or mixed type), validated and converted to the project's type map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.collect import split_by_trajectory
from dpa_sse.ops.data.dataset import level_of, read_dataset, write_dataset
from dpa_sse.ops.data.frames import SystemData, drop_duplicates
from dpa_sse.ops.data.npy import folder_stores, load_system, renumber_types
from dpa_sse.ops.data.settings import SplitSettings
from dpa_sse.ops.results.dataset import DatasetInfo


def load_user_dataset(path: Path, type_map: Sequence[str]) -> list[SystemData]:
    """Return all frames below a folder.

    Folders called train, validation (or valid) and test keep their meaning; everything else is training data. Each
    ``set.*`` counts as one trajectory unless the folder is a data set of this pipeline.

    Parameters
    ----------
    path : Path
        Folder with deepmd/npy systems at any depth.
    type_map : sequence of str
        Elements of the project; the types are renumbered to it.

    Raises
    ------
    InputError
        Nothing found, files missing, wrong shapes, NaN, no periodic box, or an element outside the type map.
    """
    if not path.is_dir():
        raise InputError(f"{path}: no such folder")
    if (path / "dataset.json").is_file():
        own_map, blocks = read_dataset(path)
        for block in blocks:
            block.types = renumber_types(block.types, own_map, type_map, str(path))
        return blocks
    stores = folder_stores(path)
    if not stores:
        raise InputError(f"{path}: no deepmd/npy system found (no type.raw in or below it)")
    return [block for store in stores for block in load_system(store, type_map, path.resolve().name)]


def import_user_dataset(
    path: Path, type_map: Sequence[str], split: SplitSettings, seed: int, out: Path
) -> DatasetInfo:
    """Write a user's data as a data set of this pipeline; data without splits are split by set."""
    blocks = load_user_dataset(path, type_map)
    notes: list[str] = []
    if {block.split for block in blocks} == {"train"}:
        blocks, notes = split_by_trajectory(blocks, split, seed)
    blocks, dropped, _ = distinct = drop_duplicates(blocks)
    return write_dataset(
        out, type_map, blocks, duplicates_dropped=dropped, notes=(*notes, *distinct.notes()), level=level_of(path),
    )
