"""Settings of the training steps."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from dpa_sse.ops.core.settings import Settings
from dpa_sse.ops.results.training import Trainable


class TrainSettings(Settings):
    """A network, and how it is trained."""

    preset: str = Field(description="Name of a preset in configs/presets, or your own deepmd input.json.")
    steps: int | None = Field(None, ge=1, description="Training steps; those of the preset by default.")
    batch_size: int | str | None = Field(
        None, description="Frames per step, or deepmd's `auto:N`; that of the preset by default."
    )
    start_lr: float | None = Field(None, gt=0, description="Initial learning rate; that of the preset by default.")
    stop_lr: float | None = Field(None, gt=0, description="Final learning rate; that of the preset by default.")
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="Values of the deepmd input to replace, e.g. `model.descriptor.rcut: 6.0`."
    )


class PretrainSettings(TrainSettings):
    """The large model, trained on all collected data; or an existing model."""

    preset: str = Field("dpa2-tiny", description="Name of a preset in configs/presets, or your own deepmd input.json.")
    model: str | None = Field(
        None, description="Existing model to use instead of training: a file (.pt), or the name of a deepmd built-in "
        "model."
    )
    branch: str = Field("", description="Branch of `model`, if that is a multi-task model.")
    widen_nsel: bool = Field(
        True, description="Increase `sel`/`nsel` if neighbours would be dropped; if false, refuse to train."
    )


class ResolvedTraining(TrainSettings):
    """Training settings of a task: the preset is included."""

    network: dict[str, Any] = Field(description="Training input of the preset, in DeePMD-kit's format.")


class ResolvedPretraining(ResolvedTraining, PretrainSettings):
    """Pre-training settings of a task: the preset is included."""


class FinetuneSettings(Settings):
    """Fine-tuning of the pre-trained model for a new compound with a few frames."""

    frames: int = Field(20, ge=1, description="Training frames of the new compound.")
    strategy: Literal["naive", "replay"] = Field("naive", description="`replay` mixes in data of the base systems.")
    replay_frames: int = Field(20, ge=1, description="Frames of the base data, for `strategy: replay`.")
    steps: int = Field(200, ge=1, description="Training steps.")
    start_lr: float | None = Field(
        None, gt=0, description="Initial learning rate; by default 0.6 times that of the pre-training. For a model of "
        "yours without `pretrain.preset`: 0.6 times that recorded in its checkpoint, else 0.6 times 2e-4 (1e-3 for "
        "se_e2_a and DPA-1; half of it above 10 million parameters)."
    )
    stop_lr: float | None = Field(
        None, gt=0, description="Final learning rate; by default 0.6 times that of the pre-training, for a model of "
        "yours a tenth of start_lr."
    )
    trainable: Trainable = Field(
        "all", description="Weights that are trained: all; `fitting_net`: the descriptor stays as it is; `lora`: "
        "low-rank additions (LoRA), for DPA-4 only."
    )
    lora_rank: int = Field(16, ge=1, le=1024, description="Rank of the additions of `trainable: lora`.")
    from_scratch: bool = Field(
        True, description="Also train the same network from scratch on the same frames, for comparison."
    )
