"""Files that a training and its child processes exchange in the ``.work`` folder of a model folder."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dpa_sse.ops.results.base import Result
from dpa_sse.ops.results.model import NeighbourCounts

Trainable = Literal["all", "fitting_net", "lora"]
"""Weights that a fine-tuning changes."""
StartKind = Literal["from_scratch", "init_model", "finetune", "same_network"]


class TrainTask(Result):
    """What the training process does.

    Attributes
    ----------
    input : dict
        DeePMD-kit's training input.
    change_bias : bool
        Fit the energy per element to the training data after the training.
    start : {"from_scratch", "init_model", "finetune", "same_network"}
    start_model : str or None
        Checkpoint that the start needs.
    branch : str
        Branch of a multi-task checkpoint.
    trainable : {"all", "fitting_net", "lora"}
        Weights that a fine-tuning changes.
    lora_rank : int
    base_systems : tuple of str
        Of the folders of the input, those of the base systems, which are another task (two fitting nets); empty for a
        training with one task.
    widen : bool
        Widen neighbour lists that would drop neighbours (else reject them).
    compress : bool
        Also write the compressed model.
    parity_frames : int
        Number of frames on which the files are compared.
    parity_systems : tuple of str
        Folders that they are taken from.
    """

    FILE: ClassVar[str] = "task.json"

    input: dict[str, Any]
    change_bias: bool
    start: StartKind
    start_model: str | None
    branch: str
    trainable: Trainable = "all"
    lora_rank: int = 16
    base_systems: tuple[str, ...] = ()
    widen: bool
    compress: bool
    parity_frames: int
    parity_systems: tuple[str, ...]


class TrainOutcome(Result):
    """What the training process reports; see :class:`dpa_sse.ops.results.model.ModelInfo`."""

    FILE: ClassVar[str] = "trained.json"

    n_parameters: int
    messages: tuple[str, ...]
    seconds: float
    resumed_at_step: int | None


class TrainingNeighbours(Result):
    """Neighbours in the training data."""

    FILE: ClassVar[str] = "neighbours.json"

    counts: NeighbourCounts


class ChildError(Result):
    """Why a child process failed: name of the exception class, and message."""

    FILE: ClassVar[str] = "error.json"

    kind: str
    message: str


class BiasTask(Result):
    """A fit of the energy bias: checkpoint, deepmd/npy folders, branch of a multi-task checkpoint."""

    FILE: ClassVar[str] = "bias_task.json"

    model: str
    systems: tuple[str, ...]
    branch: str | None


class AdoptTask(Result):
    """A checkpoint to freeze: elements that it must know, and branch of a multi-task checkpoint."""

    FILE: ClassVar[str] = "adopt.json"

    model: str
    type_map: tuple[str, ...]
    branch: str
