"""Settings of the distillation steps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dpa_sse.ops.core.settings import Settings
from dpa_sse.ops.structures.settings import PerturbSettings
from dpa_sse.ops.training.settings import TrainSettings


class SelfExplorationSettings(Settings):
    """MD with a first student; the teacher labels its frames, and the final student is also trained on them."""

    steps: int = Field(ge=1, description="MD steps of each run.")
    frames: int = Field(25, ge=1, description="Frames taken from each run.")
    training_steps: int | None = Field(
        None, ge=1, description="Training steps of the first student; those of the final one by default."
    )


class DistillSettings(Settings):
    """Training of a light, fast student on MD frames labelled by the teacher, the fine-tuned large model."""

    perturb: PerturbSettings = Field(
        PerturbSettings(count=2), description="Perturbed cells that the teacher MD starts from."
    )
    temperatures_K: list[Annotated[float, Field(gt=0, le=5000)]] = Field(
        default=[900.0], min_length=1, description="Temperatures of the teacher MD, K."
    )
    pressure_GPa: float = Field(0.0, ge=-10, le=200, description="Pressure of the teacher MD, GPa.")
    ensemble: Literal["npt", "npt-aniso", "npt-tri"] = Field(
        "npt", description="`npt` keeps the shape of the cell in the teacher MD, `npt-aniso` its angles only, "
        "`npt-tri` nothing."
    )
    steps: int = Field(2000, ge=1, description="Steps of the teacher MD from each perturbed cell.")
    timestep_fs: float = Field(2.0, ge=0.05, le=5, description="MD time step, fs.")
    sample_every: int = Field(10, ge=1, description="MD steps between sampled frames.")
    labelled_cells: int = Field(
        0, ge=0, le=10_000, description="Further perturbed cells of each system that the teacher labels, without MD; "
        "for training only."
    )
    frame_displacement_A: float = Field(
        0.05, ge=0, le=1, description="Largest displacement of the atoms of a sampled frame before labelling, A."
    )
    frame_strain: float = Field(
        0.01, ge=0, le=0.3, description="Largest strain of a sampled frame before labelling."
    )
    max_force_eV_A: float = Field(10.0, gt=0, description="Frames with a larger force are dropped, eV/A.")
    self_exploration: SelfExplorationSettings | None = Field(
        None, description="MD with a first student, labelled for the final one; omitted by default."
    )
    student: TrainSettings = Field(
        TrainSettings(preset="se_e2_a-tiny"), description="Network and training of the student."
    )
    test: float = Field(0.2, gt=0, lt=1, description="Share of the teacher trajectories held out as test set.")

    def n_teacher_runs(self, n_systems: int) -> int:
        """Return the number of teacher MD runs: each perturbed cell of each system, at each temperature."""
        return n_systems * self.perturb.count * len(self.temperatures_K)
