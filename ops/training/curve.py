"""How many labels fine-tuning needs: models trained on nested subsets of the frames, fine-tuned and from scratch."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.dataset import level_of, read_dataset, write_dataset
from dpa_sse.ops.data.frames import SystemData
from dpa_sse.ops.results.active import CurvePoint
from dpa_sse.ops.results.model import Variant
from dpa_sse.ops.training.evaluate import evaluate
from dpa_sse.ops.training.finetune import Adaptation, fine_tune, train_from_scratch

TEST = "test_errors"


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


def subset(dataset: Path, frames: int, seed: int, out: Path) -> None:
    """Write a data set with the first ``frames`` training frames of the order of a seed, and all that is held out.

    Raises
    ------
    InputError
        There are not as many training frames.
    """
    type_map, blocks = read_dataset(dataset)
    train = [block for block in blocks if block.split == "train"]
    total = sum(map(len, train))
    if frames > total:
        raise InputError(f"a point of the curve asks for {frames} frames, but there are {total} for training")
    shift = float(np.random.default_rng(derive_seed(seed, "curve")).random())
    chosen = np.sort(nested_order(total, shift)[:frames])
    kept = [*_selected(train, chosen), *(block for block in blocks if block.split == "test")]
    write_dataset(out, type_map, kept, level=level_of(dataset))


def _selected(blocks: Sequence[SystemData], chosen: NDArray[np.int_]) -> list[SystemData]:
    found, first = [], 0
    for block in blocks:
        own = chosen[(chosen >= first) & (chosen < first + len(block))] - first
        if len(own):
            found.append(block.select(own))
        first += len(block)
    return found


def curve_point(job: Adaptation, variant: Variant, frames: int, seed: int, out: Path) -> CurvePoint:
    """Train a model on a subset for as many epochs as all frames get, and measure it on the held-out frames.

    Parameters
    ----------
    job : Adaptation
        With all frames; the steps of its settings are those for ``settings.frames`` of them.
    variant : {"naive", "from_scratch"}
    frames : int
        Size of the subset.
    seed : int
        Of the subset and of the training.
    out : Path
        Receives ``curve.json``; the model is not kept.
    """
    if (done := CurvePoint.read_if_there(out)) is not None:
        return done
    subset(job.dataset, frames, seed, out / ".subset")
    steps = max(1, round(job.settings.steps * frames / job.settings.frames))
    own = replace(
        job, dataset=out / ".subset", seed=derive_seed(job.seed, "curve", seed),
        settings=job.settings.model_copy(update={"frames": frames, "steps": steps}),
    )
    (train_from_scratch if variant == "from_scratch" else fine_tune)(own, out / ".model")
    errors = evaluate(out / ".model" / "model.pt", out / ".subset", "test", out, TEST, parity=False)
    found = CurvePoint(
        variant=variant, frames=frames, seed=seed, steps=steps, test_frames=errors.n_frames,
        force_mae_meV_A=errors.force_mae_meV_A, energy_mae_meV_atom=errors.energy_mae_shifted_meV_atom,
    )
    found.write(out)
    for name in (".subset", ".model", TEST):
        shutil.rmtree(out / name, ignore_errors=True)
    return found
