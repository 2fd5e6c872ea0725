"""A smaller training set, for learning curves and for fine-tuning on few frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.dataset import level_of, read_dataset, write_dataset
from dpa_sse.ops.data.frames import select_across
from dpa_sse.ops.results.dataset import SPLITS, DatasetInfo


def limit_frames(dataset: Path, split: str, n: int, seed: int, out: Path) -> DatasetInfo:
    """Write a copy of a data set with at most ``n`` frames in one split.

    Frames are drawn without replacement from the whole split; with the same seed a smaller ``n`` gives a subset of a
    larger one. The other splits are copied unchanged.

    Parameters
    ----------
    dataset : Path
        Data set folder; not changed.
    split : str
        train, validation or test.
    n : int
        Number of frames to keep; all when there are fewer.
    seed : int
        Seed of the project.
    out : Path
        The new data set folder.

    Raises
    ------
    InputError
        Unknown split, or no frame wanted.
    """
    if split not in SPLITS or n < 1:
        raise InputError(f"limit_frames: split must be one of {', '.join(SPLITS)} and n at least 1, not {split}, {n}")
    rng = np.random.default_rng(derive_seed(seed, "limit_frames", split))
    return _write_subset(dataset, split, lambda total: rng.permutation(total)[:n], out)


def spread_frames(dataset: Path, n: int, seed: int, out: Path) -> DatasetInfo:
    """Write a copy of a data set with ``n`` training frames that are spread evenly; the other splits are unchanged.

    With the same seed, a smaller ``n`` gives a subset of a larger one.

    Raises
    ------
    InputError
        There are not as many training frames.
    """
    def spread(total: int) -> NDArray[np.int_]:
        if n > total:
            raise InputError(f"a point of the curve asks for {n} frames, but there are {total} for training")
        shift = float(np.random.default_rng(derive_seed(seed, "curve")).random())
        return nested_order(total, shift)[:n]

    return _write_subset(dataset, "train", spread, out)


def nested_order(total: int, shift: float) -> NDArray[np.int_]:
    """Return the numbers of frames in an order whose every beginning is spread evenly (van der Corput, base 2).

    Parameters
    ----------
    total : int
        Number of frames.
    shift : float
        Where the order starts, from 0 to 1: other seeds take other frames.
    """
    found: dict[int, None] = {}
    k = 0
    while len(found) < total:
        fraction, base, rest = 0.0, 0.5, k
        while rest:
            fraction, base, rest = fraction + base * (rest & 1), base / 2, rest >> 1
        found.setdefault(int(((fraction + shift) % 1.0) * total), None)
        k += 1
    return np.array(list(found))


def write_chosen(dataset: Path, split: str, chosen: NDArray[np.int_], out: Path) -> DatasetInfo:
    """Write a copy of a data set with these frames of a split, numbered through it; the others are unchanged."""
    return _write_subset(dataset, split, lambda _: chosen, out)


def _write_subset(
    dataset: Path, split: str, choose: Callable[[int], NDArray[np.int_]], out: Path
) -> DatasetInfo:
    """Write a copy of a data set with some frames of a split; ``choose`` gets how many there are, returns which."""
    type_map, blocks = read_dataset(dataset)
    own = [block for block in blocks if block.split == split]
    others = [block for block in blocks if block.split != split]
    total = sum(map(len, own))
    kept = [block for _, block in select_across(own, np.sort(choose(total)))]
    return write_dataset(out, type_map, [*kept, *others], drawn_from=total, level=level_of(dataset))
