"""A data set folder: deepmd/npy folders per split and system, listed in ``dataset.json``.

    <dataset>/{train,validation,test}/<system>/{type.raw,type_map.raw,set.000/*.npy}

Frames of one system whose atoms differ in number or order, or that lack the virial, go into separate folders
(``Li2S``, ``Li2S.2`` ...). ``type_map.raw`` always holds the whole type map of the project.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.frames import SystemData, count_frames, join, merge_blocks
from dpa_sse.ops.data.npy import load_system, write_system
from dpa_sse.ops.data.stores import FolderStore
from dpa_sse.ops.results.dataset import SPLITS, DatasetInfo, StoredSystem
from dpa_sse.ops.results.level import LevelOfTheory


def write_dataset(out: Path, type_map: Sequence[str], blocks: Iterable[SystemData], **facts: Any) -> DatasetInfo:
    """Write a data set and return the content of its ``dataset.json``.

    Parameters
    ----------
    out : Path
        Data set folder; an unfinished one from an earlier attempt is replaced.
    type_map : sequence of str
        Full type map of the project.
    blocks : iterable of SystemData
        Joined by their key.
    **facts
        Further fields of :class:`DatasetInfo`.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / DatasetInfo.FILE).unlink(missing_ok=True)
    for split in SPLITS:
        shutil.rmtree(out / split, ignore_errors=True)
    merged = merge_blocks(blocks)
    entries: list[StoredSystem] = []
    for block in merged:
        folder = _free_folder(out / block.split, block.system)
        write_system(folder, type_map, block)
        entries.append(_entry(block, folder.relative_to(out).as_posix()))
    info = DatasetInfo(type_map=tuple(type_map), systems=tuple(entries), n_frames=count_frames(merged), **facts)
    info.write(out)
    return info


def read_dataset(path: Path) -> tuple[list[str], list[SystemData]]:
    """Return the type map and the blocks of a data set folder.

    Raises
    ------
    InputError
        ``dataset.json`` is missing, or does not match the folders.
    """
    info = DatasetInfo.read_if_there(path)
    if info is None:
        raise InputError(f"{path}: not a data set of this pipeline (no {DatasetInfo.FILE})")
    return list(info.type_map), [_read_entry(path, entry, info.type_map) for entry in info.systems]


def level_of(dataset: Path) -> LevelOfTheory | None:
    """Return the level of theory that a data set records, None where it records none."""
    info = DatasetInfo.read_if_there(dataset)
    return None if info is None else info.level


def _read_entry(path: Path, entry: StoredSystem, type_map: Sequence[str]) -> SystemData:
    """Read one folder; names of system, split and trajectories are those of ``dataset.json``."""
    blocks = load_system(FolderStore(path, path / entry.path), type_map, entry.system, check_numbers=False)
    if sum(map(len, blocks)) != sum(entry.frames_per_trajectory) or len({block.key for block in blocks}) > 1:
        raise InputError(f"{path / entry.path}: not the frames that {DatasetInfo.FILE} lists")
    runs = list(zip(entry.trajectories, entry.frames_per_trajectory, strict=True))
    known = entry.temperatures_K
    return replace(
        join(blocks), system=entry.system, split=entry.split,
        trajectories=[name for name, count in runs for _ in range(count)],
        temperatures_K=None if known is None else np.repeat(np.array(known, float), entry.frames_per_trajectory),
    )


def _entry(block: SystemData, path: str) -> StoredSystem:
    found = np.full(len(block), np.nan) if block.temperatures_K is None else block.temperatures_K
    temperatures = [float(value) if math.isfinite(value) else None for value in found]
    runs = [
        (key, len(list(group))) for key, group in groupby(zip(block.trajectories, temperatures, strict=True))
    ]
    return StoredSystem(
        split=block.split, system=block.system, path=path, n_frames=len(block), n_atoms=len(block.types),
        trajectories=tuple(name for (name, _), _ in runs), frames_per_trajectory=tuple(count for _, count in runs),
        temperatures_K=tuple(value for (_, value), _ in runs) if np.isfinite(found).any() else None,
    )


def _free_folder(parent: Path, name: str) -> Path:
    folder, number = parent / name, 2
    while folder.exists():
        folder, number = parent / f"{name}.{number}", number + 1
    return folder
