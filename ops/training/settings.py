"""Settings of the training steps."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from dpa_sse.ops.core.settings import Settings, unique
from dpa_sse.ops.results.training import Trainable
from dpa_sse.ops.structures.settings import PerturbSettings


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


class RoundSettings(Settings):
    """MD with the fine-tuned model, and which of its frames are labelled for the next round."""

    frames: int = Field(10, ge=1, le=1000, description="Frames that are labelled in each round.")
    selection: Literal["diverse", "random", "committee"] = Field(
        "diverse", description="`diverse`: the frames whose environments are farthest from those of the training "
        "frames and of each other, in the descriptor of the model; `committee`: those on which models that were "
        "fine-tuned with other seeds differ most; `random`."
    )
    models: int = Field(3, ge=2, le=8, description="Models that are fine-tuned in each round, for `committee`.")
    perturb: PerturbSettings = Field(
        PerturbSettings(count=2), description="Perturbed cells that the MD starts from."
    )
    temperatures_K: list[Annotated[float, Field(gt=0, le=5000)]] = Field(
        default=[], description="Temperatures of the MD, K; those of the section `md` by default, else of `distill`."
    )
    pressure_GPa: float = Field(0.0, ge=-10, le=200, description="Pressure of the MD, GPa.")
    steps: int = Field(1000, ge=1, description="Steps of the MD from each perturbed cell.")
    timestep_fs: float = Field(2.0, ge=0.05, le=5, description="MD time step, fs.")
    sample_every: int = Field(20, ge=1, description="MD steps between frames that may be chosen.")
    max_force_eV_A: float = Field(
        10.0, gt=0, description="Labelled frames with a larger force are not trained on, eV/A."
    )
    enough_force_mae_meV_A: float | None = Field(
        None, gt=0, description="No further round once the force MAE on the newly labelled frames, which the model has "
        "not seen, is below this, meV/A; by default all rounds take place."
    )

    def n_runs(self, n_systems: int, temperatures: int) -> int:
        """Return the number of MD runs of a round."""
        return n_systems * self.perturb.count * temperatures


class FinetuneSettings(Settings):
    """Fine-tuning of the pre-trained model for a new compound with a few frames."""

    frames: int = Field(20, ge=1, description="Training frames of the new compound.")
    strategy: Literal["naive", "replay", "multitask"] = Field(
        "naive", description="`replay` mixes in data of the base systems, in half of the steps; `multitask` has a "
        "separate fitting net for them, so that their labels may be of another level of theory; `naive` leaves them "
        "out."
    )
    replay_frames: int = Field(20, ge=1, description="Frames of the base data, for `replay` and `multitask`.")
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
    rounds: int = Field(
        0, ge=0, le=10, description="Rounds of active fine-tuning: MD with the model fine-tuned so far, labels of some "
        "of its frames, training with them; 0: only the frames of the short MD with the labeler."
    )
    explore: RoundSettings = Field(
        RoundSettings(), description="MD of a round, and how its frames are chosen."
    )
    curve: Annotated[list[Annotated[int, Field(ge=1)]], AfterValidator(unique)] = Field(
        default=[], description="Numbers of frames, e.g. [10, 20, 40], for a curve of errors against labels: models on "
        "nested subsets, fine-tuned and from scratch, each frame seen equally often; omitted by default."
    )
    curve_seeds: int = Field(2, ge=1, le=20, description="Models for each point of the curve.")
    from_scratch: bool = Field(
        True, description="Also train the same network from scratch on the same frames, for comparison."
    )
