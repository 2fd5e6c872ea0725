"""Fine-tuning of a pre-trained model on a few frames of a new compound, and the same network from scratch."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import read_json, write_json
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.npy import read_system, split_systems, write_system
from dpa_sse.ops.potential.inference import branch_of
from dpa_sse.ops.training.presets import training_input
from dpa_sse.ops.training.settings import FinetuneSettings, TrainSettings
from dpa_sse.ops.training.train import train_model

Strategy = Literal["naive", "replay", "from_scratch"]
# Weights that are right already want smaller steps; with the schedule of the pre-training, or with one that falls to
# 1e-5, a fine-tuning of 200 steps on 20 frames of Li6PS5Br ended with larger errors.
RATE_SHARE = 0.6


def finetune_model(
    pretrained: Path,
    strategy: Strategy,
    settings: FinetuneSettings,
    pretrain: TrainSettings,
    dataset: Path,
    type_map: Sequence[str],
    seed: int,
    out: Path,
    *,
    base_dataset: Path | None = None,
    base_dir: Path | None = None,
    model_branch: str | None = None,
) -> dict[str, Any]:
    """Adapt a pre-trained model to a new compound, or train its network from scratch on the same frames.

    All strategies see the same frames of the new compound for the same number of steps, and start with the learning
    rate that suits them: fine-tuning with that of ``settings`` (0.6 of the preset's by default), the network from
    scratch with that of its own preset, which serves random weights better.

    Parameters
    ----------
    pretrained : Path
        Checkpoint (.pt) of the pre-trained model.
    strategy : {"naive", "replay", "from_scratch"}
        ``replay`` mixes in frames of ``base_dataset``, half of the steps; ``from_scratch`` uses only the network of
        ``pretrained``, not its weights.
    settings : FinetuneSettings
        Frames, steps, learning rates.
    pretrain : TrainSettings
        Preset of the pre-trained model: loss and schedule come from it.
    dataset : Path
        Data set of the new compound; its ``train`` split is used.
    type_map : sequence of str
        Elements of the project.
    seed : int
        Seed of the project.
    out : Path
        Model folder; ``data/`` in it holds the chosen frames.
    base_dataset : Path, optional
        Data of the pre-training, for ``replay``.
    base_dir : Path, optional
        Folder that a file name in ``pretrain.preset`` refers to.
    model_branch : str
        Branch of a multi-task pre-trained model; the one that its ``model.json`` names by default.

    Returns
    -------
    dict
        The content of ``model.json`` with ``strategy``, ``frames`` and ``learning_rate``.
    """
    systems = choose_frames(dataset, settings.frames, type_map, out / "data" / "new")
    n_new = len(systems)
    if strategy == "replay":
        if base_dataset is None:
            raise InputError("fine-tuning with replay needs the data of the pre-training, none was given")
        systems += choose_frames(base_dataset, settings.replay_frames, type_map, out / "data" / "replay")
    train = TrainSettings(**{key: getattr(pretrain, key) for key in TrainSettings.model_fields})
    train = train.model_copy(update={"steps": settings.steps})
    data = training_input(train, type_map, systems, [], derive_seed(seed, "finetune", strategy), base_dir)
    if strategy != "from_scratch":
        _set_rates(data["learning_rate"], settings)
    if len(systems) > n_new:
        data["training"]["training_data"]["auto_prob"] = (
            f"prob_sys_size;0:{n_new}:0.5;{n_new}:{len(systems)}:0.5"
        )
    branch = branch_of(pretrained) if model_branch is None else model_branch
    scratch = strategy == "from_scratch"
    result = train_model(
        data, out, preset=train.preset, seed=derive_seed(seed, "finetune", strategy), model_branch=branch or "",
        finetune=None if scratch else pretrained, network_of=pretrained if scratch else None,
    )
    rate = data["learning_rate"]
    result |= {
        "strategy": strategy,
        "frames": _count(systems[:n_new], type_map),
        "replay_frames": _count(systems[n_new:], type_map),
        "learning_rate": {"start_lr": rate["start_lr"], "stop_lr": rate.get("stop_lr")},
    }
    write_json(out / "model.json", result)
    return result


def _set_rates(rate: dict[str, Any], settings: FinetuneSettings) -> None:
    for key in ("start_lr", "stop_lr"):
        own = getattr(settings, key)
        if own is not None:
            rate[key] = own
            rate.pop(f"{key}_ratio", None)
        elif key in rate:
            rate[key] *= RATE_SHARE


def choose_frames(dataset: Path, count: int, type_map: Sequence[str], out: Path) -> list[Path]:
    """Write ``count`` training frames of a data set, spread evenly over its trajectories, as deepmd/npy folders.

    Evenly spaced frames of a trajectory are less alike than random ones. All frames are taken when there are fewer.

    Returns
    -------
    list of Path
        The written folders, one for each folder of the data set that gave a frame.
    """
    sources = [(folder, block) for folder in split_systems(dataset, "train") for block in read_system(folder, type_map)]
    total = sum(len(block) for _, block in sources)
    if not total:
        raise InputError(f"{dataset}: no training frames to fine-tune on")
    chosen = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))
    if (out / "chosen.json").is_file() and read_json(out / "chosen.json")["frames"] == chosen.tolist():
        return split_systems(out)
    if out.exists():
        shutil.rmtree(out)
    first = 0
    for number, (source, block) in enumerate(sources):
        own = chosen[(chosen >= first) & (chosen < first + len(block))] - first
        if len(own):
            write_system(out / f"{number:03d}.{source.name}", type_map, block.select(own))
        first += len(block)
    write_json(out / "chosen.json", {"frames": chosen.tolist(), "of": total})
    return split_systems(out)


def _count(systems: Sequence[Path], type_map: Sequence[str]) -> int:
    return sum(len(block) for system in systems for block in read_system(system, type_map))
