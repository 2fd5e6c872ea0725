"""A smaller training set, for learning curves and for fine-tuning on few frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.dataset import read_dataset, write_dataset
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
    type_map, blocks = read_dataset(dataset)
    owners = [(k, frame) for k, block in enumerate(blocks) if block.split == split for frame in range(len(block))]
    order = np.random.default_rng(derive_seed(seed, "limit_frames", split)).permutation(len(owners))
    kept = {owners[k] for k in order[:n]}
    result = [
        block if block.split != split else block.select([f for f in range(len(block)) if (k, f) in kept])
        for k, block in enumerate(blocks)
    ]
    return write_dataset(out, type_map, result, drawn_from=len(owners))
