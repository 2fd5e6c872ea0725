"""Settings of the exploration steps."""

from __future__ import annotations

from itertools import product
from typing import Annotated

from pydantic import Field, model_validator

from dpa_sse.ops.core.settings import Settings
from dpa_sse.ops.training.settings import TrainSettings

Temperature = Annotated[float, Field(gt=0, le=5000)]
Pressure = Annotated[float, Field(ge=-10, le=200)]


class TrustSettings(Settings):
    """Largest force deviation of the ensemble: below `lo` accurate, above `hi` failed, between: candidate."""

    force_lo_eV_A: float = Field(0.12, gt=0)
    force_hi_eV_A: float = Field(0.30, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> TrustSettings:
        if self.force_lo_eV_A >= self.force_hi_eV_A:
            raise ValueError(
                f"force_lo_eV_A ({self.force_lo_eV_A}) must be smaller than force_hi_eV_A ({self.force_hi_eV_A})"
            )
        return self


class ExplorationStage(Settings):
    """NPT runs over temperature x pressure x cell; the loop moves to the next stage when one has converged."""

    temperatures_K: list[Temperature] = Field(min_length=1)
    pressures_GPa: list[Pressure] = Field(default=[0.0], min_length=1)
    cells_per_system: int = Field(1, ge=1, description="Perturbed cells of each system from which runs start.")
    steps: int = Field(500, ge=1)
    max_iterations: int = Field(2, ge=1, description="Iterations of this stage before the next one begins.")

    def state_points(self) -> list[tuple[float, float]]:
        """Return temperature (K) and pressure (GPa) of the runs from each cell."""
        return list(product(self.temperatures_K, self.pressures_GPa))


class ConcurrentLearningSettings(Settings):
    """Concurrent learning with an ensemble of light models."""

    models: int = Field(4, ge=2, le=16, description="Size of the ensemble.")
    train: TrainSettings = TrainSettings(preset="se_e2_a-tiny")
    reuse_models: bool = Field(True, description="From the second iteration on, start from the previous models.")
    reuse_steps: int | None = Field(None, ge=1, description="Training steps when starting from the previous models.")
    timestep_fs: float = Field(2.0, gt=0, le=5)
    sample_every: int = Field(10, ge=1, description="Model deviation every so many steps.")
    sanity_steps: int = Field(100, ge=0, description="Steps of the sanity MD of every new model (0: none).")
    trust: TrustSettings = TrustSettings()
    max_selected: int = Field(20, ge=1, description="Frames labelled per iteration, at most.")
    conv_accuracy: float = Field(0.95, gt=0, le=1, description="Share of accurate frames for convergence.")
    frames_per_task: int = Field(10, ge=1, description="Frames per labelling task.")
    stages: list[ExplorationStage] = Field(min_length=1)
