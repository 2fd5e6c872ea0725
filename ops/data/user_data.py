"""A user's own data set in deepmd/npy (plain or mixed type), validated and converted to the project's type map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.collect import split_by_trajectory
from dpa_sse.ops.data.dataset import write_dataset
from dpa_sse.ops.data.frames import SystemData, drop_duplicates
from dpa_sse.ops.data.reading import LabelledData, read_data
from dpa_sse.ops.data.settings import SplitSettings
from dpa_sse.ops.data.stores import folder_stores
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
    return _load(path, type_map).blocks


def _load(path: Path, type_map: Sequence[str], *, mix_levels: bool = False) -> LabelledData:
    if not path.is_dir():
        raise InputError(f"{path}: no such folder")
    if not (path / DatasetInfo.FILE).is_file() and not folder_stores(path):
        raise InputError(f"{path}: no deepmd/npy system found (no type.raw in or below it)")
    # types without names are never guessed from the project
    return read_data(path, "npy", type_map, unnamed=(), mix_levels=mix_levels)


def import_user_dataset(
    path: Path, type_map: Sequence[str], split: SplitSettings, seed: int, out: Path, *, mix_levels: bool = False
) -> DatasetInfo:
    """Write a user's data as a data set of this pipeline; data without splits are split by set."""
    data = _load(path, type_map, mix_levels=mix_levels)
    blocks, notes = data.blocks, list(data.notes)
    if {block.split for block in blocks} == {"train"}:
        blocks, remarks = split_by_trajectory(blocks, split, seed)
        notes += remarks
    blocks, dropped, _ = distinct = drop_duplicates(blocks)
    return write_dataset(
        out, type_map, blocks, duplicates_dropped=dropped, notes=(*notes, *distinct.notes()), level=data.level,
    )
