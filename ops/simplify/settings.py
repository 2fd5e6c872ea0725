"""Settings of the thinning of a data set."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from dpa_sse.ops.core.settings import Settings
from dpa_sse.ops.training.settings import TrainSettings


class SimplifySettings(Settings):
    """Thinning of labelled data: models are trained on few frames, and those frames are added that they do not know."""

    models: int = Field(4, ge=2, le=16, description="Number of models in the ensemble.")
    train: TrainSettings = Field(
        TrainSettings(preset="se_e2_a-tiny"), description="Network and training of the models; from scratch in every "
        "iteration."
    )
    initial_frames: int = Field(50, ge=1, description="Frames that the first models are trained on, spread evenly.")
    frames: int = Field(50, ge=1, description="Frames added in an iteration, at most.")
    max_iterations: int = Field(10, ge=1, le=90, description="Iterations, at most.")
    force_lo_eV_A: float = Field(
        0.12, gt=0, description="Frames on which the forces of the ensemble deviate by less are not needed, eV/A."
    )
    force_hi_eV_A: float | None = Field(
        None, gt=0, description="Frames with a larger deviation are left out, eV/A: their labels may be wrong. By "
        "default, none are."
    )
    conv_accuracy: float = Field(
        0.99, gt=0, le=1, description="Share of the other frames that are not needed, at which it is enough."
    )
    coverage: bool = Field(
        default=True, description="A frame is also needed if it has environments outside of those of the chosen "
        "frames: where no model has seen anything, all of them may agree."
    )
    selection: Literal["random", "diverse"] = Field(
        "diverse", description="Which frames are added if more are needed: random ones, or those whose environments "
        "are farthest from the chosen ones and from each other, in the descriptor of the first model."
    )

    @model_validator(mode="after")
    def _ordered(self) -> SimplifySettings:
        if self.force_hi_eV_A is not None and self.force_lo_eV_A >= self.force_hi_eV_A:
            raise ValueError(
                f"force_lo_eV_A ({self.force_lo_eV_A}) must be smaller than force_hi_eV_A ({self.force_hi_eV_A})"
            )
        return self
