"""Collect the trajectories of the initial molecular dynamics into a data set, split by whole trajectories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.convert import frames_to_blocks
from dpa_sse.ops.data.dataset import write_dataset
from dpa_sse.ops.data.frames import SystemData, drop_duplicates
from dpa_sse.ops.data.near import keep_apart
from dpa_sse.ops.data.results import gather_frames
from dpa_sse.ops.data.settings import SplitSettings
from dpa_sse.ops.results.dataset import DatasetInfo, Split
from dpa_sse.ops.structures.trajectory_names import arrangement_of


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
    apart = keep_apart(blocks)
    return write_dataset(
        out, type_map, apart.blocks, duplicates_dropped=dropped, failed=found.failed,
        notes=(*notes, *distinct.notes(), *apart.notes()),
        level=found.level,
    )


def split_by_trajectory(
    blocks: Sequence[SystemData], split: SplitSettings, seed: int
) -> tuple[list[SystemData], list[str]]:
    """Assign whole trajectories to train, validation and test; return the new blocks and notes.

    A system with two or more trajectories contributes at least one to the test set (if the test share is not zero) and
    keeps at least one for training; validation gets some only if its share rounds to one or more. The split is
    stratified by temperature, see :func:`assign_splits`.
    """
    notes = []
    place: dict[tuple[str, str], Split] = {}
    systems: dict[str, list[str]] = {}
    temperatures = _temperatures(blocks)
    for block in blocks:
        known = systems.setdefault(block.system, [])
        known += [name for name in dict.fromkeys(block.trajectories) if name not in known]
    for system, names in systems.items():
        if len(names) == 1 and (split.test > 0 or split.validation > 0):
            notes.append(f"{system}: only one trajectory, used for training")
        own = [temperatures.get((system, name)) for name in names]
        for name, part in assign_splits(names, split, derive_seed(seed, "split", system), own).items():
            place[system, name] = part
    result = []
    for block in blocks:
        parts = np.array([place[block.system, name] for name in block.trajectories])
        result += [
            replace(block.select(np.flatnonzero(parts == part)), split=part) for part in dict.fromkeys(parts.tolist())
        ]
    return result, notes


def _temperatures(blocks: Sequence[SystemData]) -> dict[tuple[str, str], float]:
    """Return the temperature of each trajectory, K, that of its first frame; without those that are unknown."""
    found: dict[tuple[str, str], float] = {}
    for block in blocks:
        if block.temperatures_K is not None:
            for name, temperature in zip(block.trajectories, block.temperatures_K.tolist(), strict=True):
                if math.isfinite(temperature):
                    found.setdefault((block.system, name), temperature)
    return found


def assign_splits(
    names: Sequence[str], split: SplitSettings, seed: int, temperatures: Sequence[float | None] | None = None
) -> dict[str, Split]:
    """Return the split of each trajectory.

    Held-out trajectories are drawn from the temperatures in turn, each time from one with the most that are left, so
    that the test set covers the range; the last trajectory of a temperature is held out only if no other is left to
    draw, so that the model is trained at every temperature at which it is tested. Where the trajectories started from
    several arrangements of the atoms, whole arrangements are held out: trajectories from one arrangement are more alike
    than those of the model's later use.
    """
    started = [arrangement_of(name) for name in names]
    arrangements = sorted({k for k in started if k is not None})
    if None not in started and len(arrangements) > 1:
        return dict(zip(names, map(_part_of_arrangement(arrangements, split, seed).__getitem__, started), strict=True))
    count = len(names)
    test, validation = split.held_out_of(count)
    order = np.random.default_rng(seed).permutation(count)
    waiting: dict[float | None, list[str]] = {}
    for k in order:
        waiting.setdefault(temperatures[k] if temperatures else None, []).append(names[k])
    drawn: list[str] = []
    while len(drawn) < test + validation:
        drawn.append(max(waiting.values(), key=len).pop(0))
    held_out: dict[str, Split] = {
        **dict.fromkeys(drawn[:test], "test"), **dict.fromkeys(drawn[test:], "validation"),
    }
    return {name: held_out.get(name, "train") for name in names}


def _part_of_arrangement(arrangements: Sequence[int], split: SplitSettings, seed: int) -> dict[int | None, Split]:
    """Return the split of each arrangement; the best one, with which production starts, is trained on."""
    test, validation = split.held_out_of(len(arrangements))
    best, *others = arrangements
    drawn = [others[k] for k in np.random.default_rng(seed).permutation(len(others))]
    parts: dict[int | None, Split] = dict.fromkeys([best, *drawn], "train")
    parts |= dict.fromkeys(drawn[:test], "test") | dict.fromkeys(drawn[test:test + validation], "validation")
    return parts
