"""Frames of validation and test that are nearly frames of the training set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.audit.frames import Table
from dpa_sse.ops.data.near import Frames, nearest_copy


def near_copies(table: Table, rows: Sequence[int] | NDArray[np.int_]) -> list[tuple[int, int, float]]:
    """Return the held-out frames that have a training frame nearer than 0.1 A.

    Parameters
    ----------
    table : Table
        All frames.
    rows : sequence of int
        Frames with the same atoms in the same order.

    Returns
    -------
    list of (int, int, float)
        Held-out frame, nearest training frame, and the largest displacement of an atom between them, A; a shift of the
        whole cell does not count.
    """
    rows = np.asarray(rows)
    train = rows[table.split[rows] == "train"]
    held_out = rows[table.split[rows] != "train"]
    if not len(train) or not len(held_out):
        return []
    others = Frames(*(np.array(parts) for parts in zip(*(_frame(table, int(row)) for row in train), strict=True)))
    pairs = ((row, nearest_copy(*_frame(table, row), others)) for row in held_out.tolist())
    return [(row, int(train[found[0]]), found[1]) for row, found in pairs if found is not None]


def _frame(table: Table, row: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    block, k = table.blocks[table.block[row]], table.index[row]
    return block.box[k], block.coord[k] @ np.linalg.inv(block.box[k])
