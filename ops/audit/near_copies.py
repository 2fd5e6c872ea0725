"""Frames of validation and test that are nearly frames of the training set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.audit.frames import Table

NEAR_A = 0.1
NEAR_STRAIN = 0.01
FIRST_ATOMS = 4  # compared before all others: they exclude nearly every pair


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
    boxes, fractional = (np.array(parts) for parts in zip(*(_frame(table, int(row)) for row in train), strict=True))
    found = []
    for row in held_out.tolist():
        box, own = _frame(table, row)
        candidates = np.flatnonzero(np.abs(boxes @ np.linalg.inv(box) - np.eye(3)).max(axis=(1, 2)) < NEAR_STRAIN)
        few = min(FIRST_ATOMS, len(own))
        if few < len(own) and len(candidates):
            size = _largest(fractional[candidates, :few] - own[:few], box, centred=False)
            candidates = candidates[size < 2 * NEAR_A]  # relative to the first atom
        if len(candidates):
            size = _largest(fractional[candidates] - own, box, centred=True)
            best = int(size.argmin())
            if size[best] < NEAR_A:
                found.append((row, int(train[candidates[best]]), float(size[best])))
    return found


def _frame(table: Table, row: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    block, k = table.blocks[table.block[row]], table.index[row]
    return block.box[k], block.coord[k] @ np.linalg.inv(block.box[k])


def _largest(change: NDArray[np.float64], box: NDArray[np.float64], *, centred: bool) -> NDArray[np.float64]:
    """Return the largest displacement in each frame, A, without a common shift."""
    change = change - change[:, :1]
    change = change - np.round(change)
    if centred:
        change = change - change.mean(axis=1, keepdims=True)
    return np.asarray(np.linalg.norm(change @ box, axis=2).max(axis=1))
