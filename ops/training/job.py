"""What to train, and from what: the description of a training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.models.builtin import builtin_file, builtin_name
from dpa_sse.ops.results.training import Trainable
from dpa_sse.ops.training.deepmd_input import DeepmdInput

BUILT_IN_PREFIX = "DPA-"


@dataclass(frozen=True)
class FromScratch:
    """Random weights, and the network of the input."""


@dataclass(frozen=True)
class InitModel:
    """Weights and network of a checkpoint; the energy bias is not changed."""

    checkpoint: Path


@dataclass(frozen=True)
class FineTune:
    """Network and weights of a pre-trained model; the energy bias of the elements is fitted to the new data.

    Attributes
    ----------
    model : Path or str
        Checkpoint, or the name of one of DeePMD-kit's built-in models.
    branch : str
        Branch of a multi-task model, or ``RANDOM`` for a new fitting net.
    trainable : {"all", "fitting_net", "lora"}
        Weights that are trained: all, those of the fitting net, or low-rank additions (DPA-4 only).
    lora_rank : int
    base : sequence of Path
        Of the folders of the input, those of the base systems, for a training with two tasks.
    """

    model: Path | str
    branch: str = ""
    trainable: Trainable = "all"
    lora_rank: int = 16
    base: Sequence[Path] = ()


@dataclass(frozen=True)
class SameNetwork:
    """Random weights, and the network of a checkpoint; ``branch`` is that of a multi-task model."""

    checkpoint: Path
    branch: str = ""


Start = FromScratch | InitModel | FineTune | SameNetwork
@dataclass(frozen=True)
class TrainJob:
    """A training.

    Attributes
    ----------
    input : DeepmdInput
        Complete training input (`dpa_sse.ops.training.presets.training_input`). ``sel: auto`` is resolved by the
        training.
    start : FromScratch, InitModel, FineTune or SameNetwork
    preset, seed : optional
        Recorded in ``model.json``.
    widen : bool
        Widen neighbour lists that would drop neighbours; else they are an error.
    compress : bool, optional
        Also write the compressed model; by default if the descriptor allows it without loss (se_e2_a and similar) and
        the network is that of the input.
    parity_frames : int
        Number of frames on which checkpoint, frozen and compressed model are compared.
    parity_systems : sequence of Path
        Folders that they are taken from; the training data by default.
    """

    input: DeepmdInput
    start: Start = FromScratch()
    preset: str = ""
    seed: int | None = None
    widen: bool = True
    compress: bool | None = None
    parity_frames: int = 5
    parity_systems: Sequence[Path] = ()

    def source(self) -> Path | None:
        """Return the checkpoint that the start needs.

        Raises
        ------
        InputError
            It does not exist.
        """
        if isinstance(self.start, FromScratch):
            return None
        path = resolve_model(self.start.model) if isinstance(self.start, FineTune) else self.start.checkpoint
        if not path.is_file():
            raise InputError(f"model file does not exist: {path}")
        return path


def resolve_model(model: Path | str) -> Path:
    """Return the file of a model: a path, or a built-in name that DeePMD-kit has in its cache or can download.

    Raises
    ------
    InputError
        There is no such file or name, or the download failed.
    """
    if Path(model).is_file():
        return Path(model)
    name = str(model)
    if os.sep in name or not (builtin_name(name) or name.upper().startswith(BUILT_IN_PREFIX)):
        raise InputError(f"model file does not exist: {model}")
    return builtin_file(name)
