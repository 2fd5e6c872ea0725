"""Collect the trajectories of the initial molecular dynamics into a data set, split by whole trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.convert import frames_to_blocks
from dpa_sse.ops.data.dataset import write_dataset
from dpa_sse.ops.data.frames import SystemData, drop_duplicates
from dpa_sse.ops.data.results import gather_frames
from dpa_sse.ops.data.settings import SplitSettings
from dpa_sse.ops.results.dataset import DatasetInfo, Split


def collect_trajectories(
    results: Sequence[Path], type_map: Sequence[str], split: SplitSettings, seed: int, min_success_ratio: float,
    out: Path,
) -> DatasetInfo:
    """Write the data set of all trajectories and return its ``dataset.json``.

    Parameters
    ----------
    results : sequence of Path
        Task folders with ``frames.extxyz`` and ``status.json``.
    type_map : sequence of str
        Elements of the project.
    split : SplitSettings
        Shares of validation and test.
    seed : int
        Seed of the project; decides which trajectories go where.
    min_success_ratio : float
        Smallest share of good trajectories.
    out : Path
        The data set folder.

    Raises
    ------
    FatalError
        Too many tasks failed, or there is no frame.
    """
    found = gather_frames(results, min_success_ratio)
    blocks, notes = split_by_trajectory(frames_to_blocks(found.frames, type_map), split, seed)
    blocks, dropped, _ = distinct = drop_duplicates(blocks)
    if not blocks:
        raise FatalError("the initial trajectories have no labelled frame")
    return write_dataset(
        out, type_map, blocks, duplicates_dropped=dropped, failed=found.failed,
        notes=(*notes, *distinct.notes()),
        level=found.level,
    )


def split_by_trajectory(
    blocks: Sequence[SystemData], split: SplitSettings, seed: int
) -> tuple[list[SystemData], list[str]]:
    """Assign whole trajectories to train, validation and test; return the new blocks and notes.

    A system with two or more trajectories contributes at least one to the test set (if the test share is not zero) and
    keeps at least one for training; validation gets some only if its share rounds to one or more.
    """
    notes = []
    place: dict[tuple[str, str], Split] = {}
    systems: dict[str, list[str]] = {}
    for block in blocks:
        known = systems.setdefault(block.system, [])
        known += [name for name in dict.fromkeys(block.trajectories) if name not in known]
    for system, names in systems.items():
        if len(names) == 1 and (split.test > 0 or split.validation > 0):
            notes.append(f"{system}: only one trajectory, used for training")
        for name, part in assign_splits(names, split, derive_seed(seed, "split", system)).items():
            place[system, name] = part
    result = []
    for block in blocks:
        parts = np.array([place[block.system, name] for name in block.trajectories])
        result += [
            replace(block.select(np.flatnonzero(parts == part)), split=part) for part in dict.fromkeys(parts.tolist())
        ]
    return result, notes


def assign_splits(names: Sequence[str], split: SplitSettings, seed: int) -> dict[str, Split]:
    """Return the split of each trajectory."""
    count = len(names)
    test, validation = split.held_out_of(count)
    shuffled = [names[k] for k in np.random.default_rng(seed).permutation(count)]
    held_out: dict[str, Split] = {
        **dict.fromkeys(shuffled[:test], "test"), **dict.fromkeys(shuffled[test:test + validation], "validation"),
    }
    return {name: held_out.get(name, "train") for name in names}
