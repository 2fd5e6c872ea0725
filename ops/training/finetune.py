"""Fine-tuning of a pre-trained model on a few frames of a new compound, and the same network from scratch."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import atomic_path, read_json, write_json
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.npy import read_frames, split_systems
from dpa_sse.ops.potential.inference import branch_of
from dpa_sse.ops.training.presets import training_input
from dpa_sse.ops.training.settings import FinetuneSettings, TrainSettings
from dpa_sse.ops.training.train import train_model

Strategy = Literal["naive", "replay", "from_scratch"]
# Weights that are right already want smaller steps; with the schedule of the pre-training, or with one that falls to
# 1e-5, a fine-tuning of 200 steps on 20 frames of Li6PS5Br ended with larger errors.
RATE_SHARE = 0.6
LABELS = ("energy", "force", "virial")


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
        "frames": sum(len(_positions(system)) for system in systems[:n_new]),
        "replay_frames": sum(len(_positions(system)) for system in systems[n_new:]),
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
    sources = split_systems(dataset, "train")
    lengths = [len(_positions(source)) for source in sources]
    if not sum(lengths):
        raise InputError(f"{dataset}: no training frames to fine-tune on")
    chosen = np.unique(np.linspace(0, sum(lengths) - 1, min(count, sum(lengths))).round().astype(int))
    if (out / "chosen.json").is_file() and read_json(out / "chosen.json")["frames"] == chosen.tolist():
        return split_systems(out)
    if out.exists():
        shutil.rmtree(out)
    first = 0
    for number, (source, length) in enumerate(zip(sources, lengths, strict=True)):
        own = chosen[(chosen >= first) & (chosen < first + length)] - first
        if len(own):
            _write_frames(source, own, type_map, out / f"{number:03d}.{source.name}")
        first += length
    write_json(out / "chosen.json", {"frames": chosen.tolist(), "of": sum(lengths)})
    return split_systems(out)


def _positions(system: Path) -> NDArray[np.float64]:
    return np.concatenate([np.load(path, mmap_mode="r") for path in sorted(system.glob("set.*/coord.npy"))])


def _write_frames(source: Path, chosen: NDArray[np.int_], type_map: Sequence[str], target: Path) -> None:
    frames = read_frames(source, type_map)
    folder = target / "set.000"
    folder.mkdir(parents=True)
    labels = (frames.energies, frames.forces, frames.virials)
    arrays = {"coord": frames.coords, "box": frames.cells, **dict(zip(LABELS, labels, strict=True))}
    for name, values in arrays.items():
        if values is not None:
            rows = values[chosen]
            np.save(folder / f"{name}.npy", rows if name == "energy" else rows.reshape(len(chosen), -1))
    if (frames.types != frames.types[0]).any():
        np.save(folder / "real_atom_types.npy", frames.types[chosen].astype(np.int32))
        types = np.zeros(frames.types.shape[1], dtype=int)
    else:
        types = frames.types[0]
    (target / "type_map.raw").write_text("".join(f"{name}\n" for name in type_map), encoding="utf-8")
    with atomic_path(target / "type.raw") as temporary:
        temporary.write_text("".join(f"{k}\n" for k in types), encoding="utf-8")
