"""Frames that are nearly equal: held-out frames that a training frame resembles test nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.data.frames import SystemData

NEAR_A = 0.1
"""Largest displacement of an atom between two frames that count as copies."""
NEAR_STRAIN = 0.01
"""Largest strain between their cells."""
FIRST_ATOMS = 4  # compared before all others: they exclude nearly every pair


@dataclass(frozen=True)
class Frames:
    """Cells, shape (n, 3, 3), and fractional coordinates, shape (n, n_atoms, 3), of frames with the same atoms."""

    boxes: NDArray[np.float64]
    fractional: NDArray[np.float64]

    @classmethod
    def of(cls, blocks: Sequence[SystemData]) -> Frames:
        """Return the frames of blocks with the same atoms in the same order."""
        boxes = np.concatenate([block.box for block in blocks])
        coord = np.concatenate([block.coord for block in blocks])
        return cls(boxes, np.einsum("fij,fjk->fik", coord, np.linalg.inv(boxes)))


def nearest_copy(box: NDArray[np.float64], own: NDArray[np.float64], others: Frames) -> tuple[int, float] | None:
    """Return the nearest of other frames that is a near copy, and its distance.

    Parameters
    ----------
    box : ndarray, shape (3, 3)
    own : ndarray, shape (n_atoms, 3)
        Fractional coordinates.
    others : Frames

    Returns
    -------
    tuple of int and float, or None
        Its number, and the largest displacement of an atom, A; a shift of the whole cell does not count. None if none
        is nearer than 0.1 A.
    """
    candidates = np.flatnonzero(np.abs(np.linalg.inv(box) @ others.boxes - np.eye(3)).max(axis=(1, 2)) < NEAR_STRAIN)
    few = min(FIRST_ATOMS, len(own))
    if few < len(own) and len(candidates):
        size = _largest(others.fractional[candidates, :few] - own[:few], box, centred=False)
        candidates = candidates[size < 2 * NEAR_A]  # relative to the first atom
    if not len(candidates):
        return None
    size = _largest(others.fractional[candidates] - own, box, centred=True)
    best = int(size.argmin())
    return (int(candidates[best]), float(size[best])) if size[best] < NEAR_A else None


def near_to(block: SystemData, others: Sequence[SystemData]) -> NDArray[np.bool_]:
    """Return which frames of a block are near copies of frames of other blocks with the same atoms."""
    alike = [one for one in others if np.array_equal(one.types, block.types) and len(one)]
    return _copies(block, Frames.of(alike)) if alike and len(block) else np.zeros(len(block), bool)


def _copies(block: SystemData, others: Frames) -> NDArray[np.bool_]:
    own = Frames.of([block])
    return np.array([
        nearest_copy(box, fractional, others) is not None
        for box, fractional in zip(own.boxes, own.fractional, strict=True)
    ])


def distances_to(frames: Frames, others: Frames) -> NDArray[np.float64]:
    """Return for each frame the distance to the nearest of other frames: the root mean square displacement, A.

    Strains and shifts of the whole cell do not count, so that a thermal displacement is compared with a thermal one.
    """
    found = np.empty(len(frames.boxes))
    for k, (box, own) in enumerate(zip(frames.boxes, frames.fractional, strict=True)):
        squares = (_change(others.fractional - own, centred=True) @ box) ** 2
        found[k] = np.sqrt(squares.sum(axis=2).mean(axis=1).min())
    return found


class Apart(NamedTuple):
    """Frames without near copies across splits.

    Attributes
    ----------
    blocks : list of SystemData
        What remains.
    held_out, train : int
        Number of held-out and of training frames that were left out.
    stuck : int
        Held-out frames that are near copies but stay, because nothing else of their system would remain.
    stuck_systems : tuple of str
        Their systems.
    """

    blocks: list[SystemData]
    held_out: int = 0
    train: int = 0
    stuck: int = 0
    stuck_systems: tuple[str, ...] = ()

    def notes(self) -> tuple[str, ...]:
        """Return what a reader should know."""
        found = []
        for count, kind, other in ((self.held_out, "held-out", "training"), (self.train, "training", "held-out")):
            if count:
                found.append(f"{count} {kind} frames left out: within {NEAR_A:g} A of a {other} frame")
        if self.stuck:
            found.append(
                f"all {self.stuck} held-out frames of {', '.join(self.stuck_systems)} are within {NEAR_A:g} A of a "
                "training frame: errors on them say little; use longer runs, higher temperatures or larger "
                "displacements"
            )
        return tuple(found)


def keep_apart(blocks: Sequence[SystemData]) -> Apart:
    """Leave out held-out frames that are near copies of training frames.

    Each system is treated on its own (together with those of the same atoms), so that none loses its test set
    unnoticed: if no held-out frame of it remained, the training frames near them are left out instead; if none of these
    remained either, all stay.
    """
    found = [_keep_one_apart(members) for members in _same_atoms(blocks)]
    return Apart(
        [block for one in found for block in one.blocks], sum(one.held_out for one in found),
        sum(one.train for one in found), sum(one.stuck for one in found),
        tuple(name for one in found for name in one.stuck_systems),
    )


def _keep_one_apart(blocks: Sequence[SystemData]) -> Apart:
    kept, dropped, rest = _without_copies(blocks, train=False)
    if rest or not dropped:
        return Apart(kept, held_out=dropped)
    kept, others, rest = _without_copies(blocks, train=True)
    if rest:
        return Apart(kept, train=others)
    return Apart(list(blocks), stuck=dropped, stuck_systems=tuple(dict.fromkeys(block.system for block in blocks)))


def _same_atoms(blocks: Sequence[SystemData]) -> list[list[SystemData]]:
    """Return the blocks with the same atoms in the same order, in groups."""
    groups: dict[bytes, list[SystemData]] = defaultdict(list)
    for block in blocks:
        groups[block.types.astype(np.int32).tobytes()].append(block)
    return list(groups.values())


def keep_new_apart(held_out: Sequence[SystemData], new: Sequence[SystemData]) -> Apart:
    """Leave out new training frames that are near copies of held-out ones; the blocks are those of the new frames."""
    kept, dropped, _ = _without_copies([*held_out, *new], train=True)
    return Apart([block for block in kept if block.split == "train"], train=dropped)


def _without_copies(blocks: Sequence[SystemData], *, train: bool) -> tuple[list[SystemData], int, int]:
    """Return the blocks without training (or held-out) frames that have a copy on the other side.

    Also returns how many were left out, and how many of their side remain.
    """
    groups: dict[bytes, list[int]] = defaultdict(list)
    for number, block in enumerate(blocks):
        groups[block.types.astype(np.int32).tobytes()].append(number)
    near = [np.zeros(len(block), bool) for block in blocks]
    for members in groups.values():
        mine = [k for k in members if (blocks[k].split == "train") == train and len(blocks[k])]
        theirs = [k for k in members if (blocks[k].split == "train") != train and len(blocks[k])]
        if not mine or not theirs:
            continue
        others = Frames.of([blocks[k] for k in theirs])
        for k in mine:
            near[k] = _copies(blocks[k], others)
    dropped = int(sum(mask.sum() for mask in near))
    rest = sum(len(block) for block in blocks if (block.split == "train") == train) - dropped
    kept = [
        block.select(np.flatnonzero(~mask)) if mask.any() else block for block, mask in zip(blocks, near, strict=True)
    ]
    return [block for block in kept if len(block)], dropped, rest


def _change(change: NDArray[np.float64], *, centred: bool) -> NDArray[np.float64]:
    change = change - change[:, :1]
    change = change - np.round(change)
    return change - change.mean(axis=1, keepdims=True) if centred else change


def _largest(change: NDArray[np.float64], box: NDArray[np.float64], *, centred: bool) -> NDArray[np.float64]:
    """Return the largest displacement in each frame, A, without a common shift."""
    return np.asarray(np.linalg.norm(_change(change, centred=centred) @ box, axis=2).max(axis=1))
