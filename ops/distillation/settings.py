"""Settings of the distillation steps."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dpa_sse.ops.core.settings import Settings
from dpa_sse.ops.structures.settings import PerturbSettings
from dpa_sse.ops.training.settings import TrainSettings


class SelfExplorationSettings(Settings):
    """MD with a first student; the teacher labels its frames, and the final student is trained on them as well."""

    steps: int = Field(ge=1, description="MD steps of each run.")
    frames: int = Field(25, ge=1, description="Frames that are taken from each run.")
    training_steps: int | None = Field(
        None, ge=1, description="Training steps of the first student; by default those of the final one."
    )


class DistillSettings(Settings):
    """From the fine-tuned teacher to a light, fast student."""

    perturb: PerturbSettings = PerturbSettings(count=2)
    temperatures_K: list[Annotated[float, Field(gt=0, le=5000)]] = Field(default=[900.0], min_length=1)
    pressure_GPa: float = Field(0.0, ge=-10, le=200)
    steps: int = Field(2000, ge=1, description="Steps of the teacher MD from each perturbed cell.")
    timestep_fs: float = Field(2.0, gt=0, le=5)
    sample_every: int = Field(10, ge=1)
    frame_displacement_A: float = Field(0.05, ge=0, le=1, description="Perturbation of the frames before labelling.")
    frame_strain: float = Field(0.01, ge=0, le=0.3)
    max_force_eV_A: float = Field(10.0, gt=0, description="Frames with a larger force are dropped.")
    self_exploration: SelfExplorationSettings | None = Field(
        None, description="MD with a first student, labelled by the teacher for the final one; omitted by default."
    )
    student: TrainSettings = TrainSettings(preset="se_e2_a-tiny")
    test: float = Field(0.2, gt=0, lt=1, description="Share of the teacher trajectories that is held out.")

    def n_teacher_runs(self, n_systems: int) -> int:
        """Return the number of teacher runs of that many systems, and of runs with the first student."""
        return n_systems * self.perturb.count * len(self.temperatures_K)
