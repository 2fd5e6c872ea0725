"""Fine-tuning of a pre-trained model on a few frames of a new compound, and the same network from scratch."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.frames import SystemData, evenly, select_across
from dpa_sse.ops.data.near import near_to
from dpa_sse.ops.data.npy import read_system, split_systems, write_system
from dpa_sse.ops.potential.inference import branch_of
from dpa_sse.ops.results.model import ChosenFrames, LearningRates, ModelInfo, Variant
from dpa_sse.ops.training.deepmd_input import DeepmdInput
from dpa_sse.ops.training.job import FineTune, SameNetwork, Start, TrainJob
from dpa_sse.ops.training.presets import training_input
from dpa_sse.ops.training.rates import FROM_SCRATCH, STOP_SHARE, own_rates
from dpa_sse.ops.training.settings import FinetuneSettings, ResolvedTraining
from dpa_sse.ops.training.train import train_model

# Trained weights require smaller steps; with the schedule of the pre-training, or with one that decays to 1e-5, a
# fine-tuning of 200 steps on 20 frames of Li6PS5Br ended with larger errors.
RATE_SHARE = 0.6


@dataclass(frozen=True)
class Adaptation:
    """A network to be adapted to a new compound.

    Fine-tuning and training from scratch see the same frames of the new compound for the same number of steps, and
    start with the learning rate that suits them: fine-tuning with that of ``settings`` (0.6 of the preset's by
    default), the network from scratch with the rate of its preset, which suits random weights better. Both end at
    ``settings.stop_lr`` where it is given. A model that was trained elsewhere takes the place of the preset, unless
    the settings name one (`dpa_sse.ops.training.rates`).

    Attributes
    ----------
    pretrained : Path
        Checkpoint (.pt) of the pre-trained model.
    pretrain : ResolvedTraining
        Settings of the pre-training: loss and schedule are taken from them.
    settings : FinetuneSettings
        Frames, steps, learning rates.
    dataset : Path
        Data set of the new compound; its ``train`` split is used.
    type_map : sequence of str
        Elements of the project.
    seed : int
        Seed of the project.
    model_branch : str, optional
        Branch of a multi-task pre-trained model; by default the one in its ``model.json``.
    """

    pretrained: Path
    pretrain: ResolvedTraining
    settings: FinetuneSettings
    dataset: Path
    type_map: Sequence[str]
    seed: int
    model_branch: str | None = None

    @property
    def branch(self) -> str:
        """Branch of the pre-trained model; empty for a model with one task."""
        return (branch_of(self.pretrained) if self.model_branch is None else self.model_branch) or ""

    @property
    def own_rates(self) -> LearningRates | None:
        """Rates of the training of a model that was trained elsewhere, if they decide."""
        return own_rates(self.pretrain, ModelInfo.read_if_there(self.pretrained.parent))

    def input(self, variant: Variant, systems: Sequence[Path]) -> DeepmdInput:
        """Return the training input for the chosen frames, with the learning rates of the preset."""
        given = {key: getattr(self.pretrain, key) for key in ResolvedTraining.model_fields}
        train = ResolvedTraining(**{**given, "steps": self.settings.steps})
        return training_input(train, self.type_map, systems, [], derive_seed(self.seed, "finetune", variant))


def fine_tune(
    job: Adaptation, out: Path, *, replay_from: Path | None = None, two_tasks: bool = False
) -> ModelInfo:
    """Fine-tune the pre-trained model on the new compound.

    Parameters
    ----------
    job : Adaptation
    out : Path
        Model folder; ``data/`` in it contains the chosen frames.
    replay_from : Path, optional
        Data set of the pre-training; its frames make up half of the steps (strategy ``replay``).
    two_tasks : bool
        These frames have a separate fitting net (strategy ``multitask``); it is in ``model_base.pt``.

    Returns
    -------
    ModelInfo

    Raises
    ------
    InputError
        A data set has no training frames, or see :func:`dpa_sse.ops.training.train.train_model`.
    FatalError, TransientError
        See :func:`dpa_sse.ops.training.train.train_model`.
    """
    variant: Variant = "naive" if replay_from is None else "multitask" if two_tasks else "replay"
    new = choose_frames(job.dataset, job.settings.frames, job.type_map, out / "data" / "new")
    replay = []
    if replay_from is not None:
        folder = out / "data" / ("base" if two_tasks else "replay")
        replay = choose_frames(
            replay_from, job.settings.replay_frames, job.type_map, folder, not_near=_held_out(job)
        )
    data = job.input(variant, [*new, *replay])
    _set_rates(data.section("learning_rate"), job.settings, job.own_rates)
    if replay and not two_tasks:
        data = data.with_halves(len(new), len(new) + len(replay))
    start = FineTune(
        job.pretrained, job.branch, job.settings.trainable, job.settings.lora_rank, replay if two_tasks else ()
    )
    return _train(job, variant, data, start, (new, replay), out)


def train_from_scratch(job: Adaptation, out: Path) -> ModelInfo:
    """Train the network of the pre-trained model, but with random weights, on the same frames.

    Parameters, result and errors are those of :func:`fine_tune`.
    """
    new = choose_frames(job.dataset, job.settings.frames, job.type_map, out / "data" / "new")
    data = job.input("from_scratch", new)
    rate = data.section("learning_rate")
    stop_lr = job.settings.stop_lr
    if own := job.own_rates:
        rate["start_lr"] = own.start_lr if own.stop_lr else FROM_SCRATCH
        stop_lr = stop_lr or _start(job.settings, own) * STOP_SHARE
    if stop_lr is not None:
        _end_at(rate, stop_lr)
    return _train(job, "from_scratch", data, SameNetwork(job.pretrained, job.branch), (new, []), out)


def _train(
    job: Adaptation, variant: Variant, data: DeepmdInput, start: Start, systems: tuple[list[Path], list[Path]],
    out: Path,
) -> ModelInfo:
    """Train, and record frames and learning rates in ``model.json``; ``systems`` are the new and the replayed ones."""
    seed = derive_seed(job.seed, "finetune", variant)
    trained = train_model(TrainJob(data, start, preset=job.pretrain.preset, seed=seed), out)
    frames, replay_frames = (_count(part, job.type_map) for part in systems)
    rate = data.section("learning_rate")
    info = trained.model_copy(update={
        "strategy": variant,
        "frames": frames,
        "replay_frames": replay_frames,
        "learning_rate": LearningRates(start_lr=rate["start_lr"], stop_lr=rate.get("stop_lr")),
        "own_rates": job.own_rates,
    })
    info.write(out)
    return info


def _end_at(rate: dict[str, Any], stop_lr: float) -> None:
    """Let the schedule end at the same rate as that of fine-tuning: the noise of the last steps is then the same."""
    rate["stop_lr"] = min(stop_lr, rate["start_lr"])
    rate.pop("stop_lr_ratio", None)


def _start(settings: FinetuneSettings, own: LearningRates) -> float:
    return settings.start_lr or RATE_SHARE * own.start_lr


def _set_rates(rate: dict[str, Any], settings: FinetuneSettings, own: LearningRates | None) -> None:
    if own is not None:
        rate["start_lr"] = _start(settings, own)
        _end_at(rate, settings.stop_lr or STOP_SHARE * rate["start_lr"])
        return
    for key in ("start_lr", "stop_lr"):
        own = getattr(settings, key)
        if own is not None:
            rate[key] = own
            rate.pop(f"{key}_ratio", None)
        elif key in rate:
            rate[key] *= RATE_SHARE


def _held_out(job: Adaptation) -> list[SystemData]:
    """Return the frames of the new compound that the model is tested on."""
    return [
        block for split in ("validation", "test") for folder in split_systems(job.dataset, split)
        for block in read_system(folder, job.type_map)
    ]


def choose_frames(
    dataset: Path, count: int, type_map: Sequence[str], out: Path, *, not_near: Sequence[SystemData] = ()
) -> list[Path]:
    """Write ``count`` training frames of a data set, evenly spaced along its trajectories, as deepmd/npy folders.

    Evenly spaced frames of a trajectory are less alike than random ones. All frames are taken if there are fewer.

    Parameters
    ----------
    dataset : Path
    count : int
    type_map : sequence of str
    out : Path
    not_near : sequence of SystemData
        Held-out frames: near copies of them are left out.

    Returns
    -------
    list of Path
        The written folders, one for each folder of the data set with a chosen frame.

    Raises
    ------
    InputError
        The data set has no training frames, or none that is not held out.
    """
    sources = [(folder, block) for folder in split_systems(dataset, "train") for block in read_system(folder, type_map)]
    if not sum(len(block) for _, block in sources):
        raise InputError(f"{dataset}: no training frames to fine-tune on")
    if not_near:
        sources = [(folder, block.select(np.flatnonzero(~near_to(block, not_near)))) for folder, block in sources]
    total = sum(len(block) for _, block in sources)
    if not total:
        raise InputError(
            f"{dataset}: all training frames are copies of frames that are held out for testing; are the base data and "
            "those of the new compound the same?"
        )
    chosen = evenly(total, count)
    record = ChosenFrames(frames=tuple(chosen.tolist()), of=total)
    if ChosenFrames.read_if_there(out) == record:
        return split_systems(out)
    if out.exists():
        shutil.rmtree(out)
    for number, block in select_across([block for _, block in sources], chosen):
        write_system(out / f"{number:03d}.{sources[number][0].name}", type_map, block)
    record.write(out)
    return split_systems(out)


def _count(systems: Sequence[Path], type_map: Sequence[str]) -> int:
    return sum(len(block) for system in systems for block in read_system(system, type_map))
