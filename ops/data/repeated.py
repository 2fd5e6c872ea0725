"""One run in two files of a folder: its frames count once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dpa_sse.ops.data.frames import INPUTS, SystemData
from dpa_sse.ops.data.part import DataPart

SETS = ("npy", "mixed", "dataset", "hdf5", "extxyz")
SAME_EV, SAME_EV_A = 2e-5, 2e-5


def drop_repeated_runs(parts: Sequence[DataPart]) -> list[DataPart]:
    """Leave out frames of data sets that are also there as output of the calculation, and count them.

    An old export beside its calculations would count them twice, under another name and maybe in the test set.
    """
    outputs = [part for part in parts if part.count.form not in SETS]
    if not outputs or len(outputs) == len(parts):
        return list(parts)
    known: dict[Any, list[tuple[float, np.ndarray]]] = {}
    for part in outputs:
        for block in part.blocks:
            for k in range(len(block)):
                known.setdefault(_key(part, block), []).append((float(block.energy[k]), _sizes(block, k)))
    result = []
    for part in parts:
        if part.count.form not in SETS:
            result.append(part)
            continue
        kept = [block.select(_new(known.get(_key(part, block), []), block)) for block in part.blocks]
        left = sum(map(len, part.blocks)) - sum(map(len, kept))
        if left:
            reason = "also there as output of the calculation"
            count = part.count.model_copy(update={
                "taken": part.count.taken - left, "left_out": {**part.count.left_out, reason: left},
            })
            result.append(replace(part, blocks=kept, count=count))
        else:
            result.append(part)
    return result


def copy_notes(parts: Sequence[DataPart]) -> list[str]:
    """Return one note for each source with frames that an earlier source holds, too: two copies of one run."""
    seen: dict[bytes, str] = {}
    notes = []
    for part in parts:
        earlier: dict[str, int] = {}
        for block in part.blocks:
            names = "".join(part.type_map[kind] for kind in block.types)
            for k in range(len(block)):
                digest = _digest(names, block, k)
                first = seen.setdefault(digest, part.count.path)
                if first != part.count.path:
                    earlier[first] = earlier.get(first, 0) + 1
        notes += [f"{part.count.path}: {count} frames are also in {path}" for path, count in earlier.items()]
    return notes


def _digest(names: str, block: SystemData, frame: int) -> bytes:
    """Return a hash of the structure of a frame and of the further inputs, rounded to what outputs print."""
    inputs = [block.extra[name][frame] for name in INPUTS if name in block.extra]
    rounded = [np.round(one, 5) + 0.0 for one in (block.coord[frame], block.box[frame], *inputs)]
    return hashlib.sha256(names.encode() + b"".join(one.tobytes() for one in rounded)).digest()


def _key(part: DataPart, block: SystemData) -> tuple[str, ...]:
    return tuple(sorted(part.type_map[kind] for kind in block.types))


def _sizes(block: SystemData, frame: int) -> np.ndarray:
    """Return the sizes of the forces, sorted: they do not depend on orientation and order."""
    return np.sort(np.linalg.norm(block.force[frame], axis=1))


def _new(known: Sequence[tuple[float, np.ndarray]], block: SystemData) -> list[int]:
    """Return the frames that are not known."""
    def old(frame: int) -> bool:
        return any(
            abs(energy - block.energy[frame]) < SAME_EV and np.abs(sizes - _sizes(block, frame)).max() < SAME_EV_A
            for energy, sizes in known
        )

    return [frame for frame in range(len(block)) if not old(frame)]
