"""From the trajectories of the initial molecular dynamics to a data set, split by whole trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.convert import frames_to_blocks
from dpa_sse.ops.data.dataset import SystemData, drop_duplicates, write_dataset
from dpa_sse.ops.data.results import failures, gather_frames
from dpa_sse.ops.data.settings import SplitSettings


def collect_trajectories(
    results: Sequence[Path], type_map: Sequence[str], split: SplitSettings, seed: int, min_success_ratio: float,
    out: Path,
) -> dict[str, Any]:
    """Write the data set made of all trajectories and return its ``dataset.json``.

    Parameters
    ----------
    results : sequence of Path
        Task folders with ``frames.extxyz`` and ``status.json``.
    type_map : sequence of str
        Elements of the project.
    split : SplitSettings
        Shares of validation and test.
    seed : int
        Seed of the project: decides which trajectories go where.
    min_success_ratio : float
        Smallest share of good trajectories.
    out : Path
        The data set folder.

    Returns
    -------
    dict
        type_map, systems, n_frames (per split), duplicates_dropped, failed, notes.

    Raises
    ------
    FatalError
        Too many tasks failed, or no frame is left.
    """
    found = gather_frames(results, min_success_ratio)
    blocks, notes = split_by_trajectory(frames_to_blocks(found.frames, type_map), split, seed)
    blocks, dropped = drop_duplicates(blocks)
    if not blocks:
        raise FatalError("the initial trajectories hold no labelled frame")
    return write_dataset(
        out, type_map, blocks, n_frames=count_frames(blocks), duplicates_dropped=dropped,
        failed=failures(found.failed), notes=notes, level=found.level,
    )


def split_by_trajectory(
    blocks: Sequence[SystemData], split: SplitSettings, seed: int
) -> tuple[list[SystemData], list[str]]:
    """Assign whole trajectories to train, validation and test; return the new blocks and notes.

    A system with two or more trajectories gives at least one to the test set (if a test share is wanted)
    and keeps at least one for training; validation gets some only if its share rounds to one or more.
    """
    notes = []
    place: dict[tuple[str, str], str] = {}
    systems: dict[str, list[str]] = {}
    for block in blocks:
        known = systems.setdefault(block.system, [])
        known += [name for name in dict.fromkeys(block.trajectories) if name not in known]
    for system, names in systems.items():
        if len(names) == 1 and (split.test > 0 or split.validation > 0):
            notes.append(f"{system}: one trajectory only, all of it is in the training set")
        for name, part in assign_splits(names, split, derive_seed(seed, "split", system)).items():
            place[system, name] = part
    result = []
    for block in blocks:
        parts = np.array([place[block.system, name] for name in block.trajectories])
        result += [
            replace(block.select(np.flatnonzero(parts == part)), split=part) for part in dict.fromkeys(parts.tolist())
        ]
    return result, notes


def assign_splits(names: Sequence[str], split: SplitSettings, seed: int) -> dict[str, str]:
    """Return train, validation or test for each name."""
    count = len(names)
    test = min(max(1, round(split.test * count)), count - 1) if split.test > 0 and count > 1 else 0
    validation = max(0, min(round(split.validation * count), count - 1 - test))
    shuffled = [names[k] for k in np.random.default_rng(seed).permutation(count)]
    chosen = dict.fromkeys(shuffled[:test], "test") | dict.fromkeys(shuffled[test:test + validation], "validation")
    return {name: chosen.get(name, "train") for name in names}


def count_frames(blocks: Sequence[SystemData]) -> dict[str, int]:
    """Return the number of frames in each split."""
    counts: dict[str, int] = {"train": 0, "validation": 0, "test": 0}
    for block in blocks:
        counts[block.split] += len(block)
    return counts
