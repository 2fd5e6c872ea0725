"""A smaller training set, for sample-efficiency curves and for fine-tuning with few frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.collect import count_frames
from dpa_sse.ops.data.dataset import SPLITS, read_dataset, write_dataset


def limit_frames(dataset: Path, split: str, n: int, seed: int, out: Path) -> dict[str, Any]:
    """Write a copy of a data set with at most ``n`` frames in one split.

    The frames are drawn without replacement from the whole split; for one seed a smaller ``n`` gives a subset of
    a larger one. The other splits are copied as they are.

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
    """
    if split not in SPLITS or n < 1:
        raise InputError(f"limit_frames: split must be one of {', '.join(SPLITS)} and n at least 1, got {split}, {n}")
    type_map, blocks = read_dataset(dataset)
    owners = [(k, frame) for k, block in enumerate(blocks) if block.split == split for frame in range(len(block))]
    order = np.random.default_rng(derive_seed(seed, "limit_frames", split)).permutation(len(owners))
    kept = {owners[k] for k in order[:n]}
    result = [
        block if block.split != split else block.select([f for f in range(len(block)) if (k, f) in kept])
        for k, block in enumerate(blocks)
    ]
    return write_dataset(out, type_map, result, n_frames=count_frames(result), drawn_from=len(owners))
