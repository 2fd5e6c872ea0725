"""Settings of the training steps."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from dpa_sse.ops.core.settings import Settings


class TrainSettings(Settings):
    """A network and how long it is trained."""

    preset: str = Field(description="Name of a file in configs/presets, or a deepmd input.json of your own.")
    steps: int | None = Field(None, ge=1, description="Training steps; the preset's own number by default.")
    batch_size: int | str | None = Field(None, description="Frames per step, or deepmd's `auto:N`.")
    start_lr: float | None = Field(None, gt=0, description="Learning rate at the start.")
    stop_lr: float | None = Field(None, gt=0, description="Learning rate at the end.")
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="Dotted deepmd keys, e.g. `model.descriptor.rcut: 6.0`."
    )


class PretrainSettings(TrainSettings):
    """The large model, trained on all collected data; or a model that exists already."""

    preset: str = "dpa2-tiny"
    model: str | None = Field(None, description="A model file (.pt), or a deepmd built-in name, instead of training.")
    branch: str = Field("", description="Branch of a multi-task model.")
    widen_nsel: bool = Field(True, description="Widen `nsel`/`sel` that would drop neighbours (else refuse).")


class ResolvedTraining(TrainSettings):
    """Training settings of a task: the preset is included."""

    network: dict[str, Any] = Field(description="Training input of the preset, in DeePMD-kit's format.")


class ResolvedPretraining(ResolvedTraining, PretrainSettings):
    """Pre-training settings of a task: the preset is included."""


class FinetuneSettings(Settings):
    """Adapting the pre-trained model to one new compound with a few frames."""

    frames: int = Field(20, ge=1, description="Training frames of the new compound.")
    strategy: Literal["naive", "replay"] = Field("naive", description="`replay` mixes in data of the base systems.")
    replay_frames: int = Field(20, ge=1, description="Frames of the base data with `strategy: replay`.")
    steps: int = Field(200, ge=1, description="Training steps.")
    start_lr: float | None = Field(
        None, gt=0, description="Learning rate at the start; 0.6 of the pre-training's by default."
    )
    stop_lr: float | None = Field(None, gt=0, description="Learning rate at the end; 0.6 of the pre-training's.")
    from_scratch: bool = Field(True, description="Also train the same network from scratch on the same frames.")
