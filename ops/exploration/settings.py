"""Settings of the exploration steps."""

from __future__ import annotations

from itertools import product
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dpa_sse.ops.core.settings import Settings
from dpa_sse.ops.training.settings import TrainSettings

Temperature = Annotated[float, Field(gt=0, le=5000)]
Pressure = Annotated[float, Field(ge=-10, le=200)]


class TrustSettings(Settings):
    """Trust levels of the model deviation in forces: accurate below `lo`, failed above `hi`, candidate in between."""

    force_lo_eV_A: float = Field(0.12, gt=0, description="Lower trust level, eV/A: frames below it are accurate.")
    force_hi_eV_A: float = Field(
        0.30, gt=0, description="Upper trust level, eV/A: frames above it are discarded as failed."
    )

    @model_validator(mode="after")
    def _ordered(self) -> TrustSettings:
        if self.force_lo_eV_A >= self.force_hi_eV_A:
            raise ValueError(
                f"force_lo_eV_A ({self.force_lo_eV_A}) must be smaller than force_hi_eV_A ({self.force_hi_eV_A})"
            )
        return self


class ExplorationStage(Settings):
    """Runs for each temperature, pressure and cell; when a stage has converged, the next one starts."""

    temperatures_K: list[Temperature] = Field(min_length=1, description="Temperatures of the runs, K.")
    pressures_GPa: list[Pressure] = Field(default=[0.0], min_length=1, description="Pressures of the runs, GPa.")
    ensemble: Literal["npt", "npt-aniso", "npt-tri", "nvt"] = Field(
        "npt", description="`npt` keeps the shape of the cell, `npt-aniso` its angles only, `npt-tri` nothing; `nvt`: "
        "at the volumes of the perturbed cells."
    )
    cells_per_system: int = Field(1, ge=1, description="Perturbed cells of each system that runs start from.")
    steps: int = Field(500, ge=1, description="MD steps of each run.")
    max_iterations: int = Field(
        2, ge=1, description="Iterations after which the next stage starts even without convergence."
    )

    @model_validator(mode="after")
    def _pressures_have_an_effect(self) -> ExplorationStage:
        if self.ensemble == "nvt" and self.pressures_GPa != [0.0]:
            raise ValueError("pressures_GPa has no effect at constant volume (ensemble: nvt); remove it")
        return self

    def state_points(self) -> list[tuple[float, float]]:
        """Return temperature (K) and pressure (GPa) of the runs from each cell."""
        return list(product(self.temperatures_K, self.pressures_GPa))


class ConcurrentLearningSettings(Settings):
    """Concurrent learning (DP-GEN) with an ensemble of light models."""

    models: int = Field(4, ge=2, le=16, description="Number of models in the ensemble.")
    train: TrainSettings = Field(
        TrainSettings(preset="se_e2_a-tiny"), description="Network and training of the models."
    )
    reuse_models: bool = Field(
        True, description="From the second iteration on, training starts from the previous models."
    )
    reuse_steps: int | None = Field(
        None, ge=1, description="Training steps when starting from the previous models; `train.steps` by default."
    )
    timestep_fs: float = Field(2.0, ge=0.05, le=5, description="MD time step, fs.")
    sample_every: int = Field(10, ge=1, description="MD steps between evaluations of the model deviation.")
    sanity_steps: int = Field(
        100, ge=0, description="Steps of the short sanity MD of every new model; 0: no sanity MD."
    )
    trust: TrustSettings = Field(TrustSettings(), description="Trust levels of the model deviation.")
    max_selected: int = Field(20, ge=1, description="Largest number of candidate frames labelled per iteration.")
    conv_accuracy: float = Field(
        0.95, gt=0, le=1, description="Share of accurate frames at which a stage has converged."
    )
    selection: Literal["random", "diverse"] = Field(
        "random", description="Which candidates are labelled if there are more: random ones, as DP-GEN takes them; or "
        "`diverse`, those whose environments are farthest from the data and from each other, in the descriptor of the "
        "first model."
    )
    frames_per_task: int = Field(10, ge=1, description="Frames per labelling task.")
    stages: list[ExplorationStage] = Field(min_length=1, description="Stages of the exploration, in order, e.g. "
        "[{temperatures_K: [300, 600], steps: 2000}].")
