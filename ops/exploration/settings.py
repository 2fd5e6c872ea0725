"""Settings of the exploration steps."""

from __future__ import annotations

from itertools import product
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from dpa_sse.ops.core.settings import Settings
from dpa_sse.ops.training.settings import TrainSettings

Temperature = Annotated[float, Field(gt=0, le=5000)]
Pressure = Annotated[float, Field(ge=-10, le=200)]


class RelativeTrust(Settings):
    """Trust levels of the relative deviation of a force, which have no unit."""

    epsilon_eV_A: float = Field(
        1.0, gt=0, description="Added to the force, eV/A: the relative deviation is |dF| / (|F| + epsilon), "
        "DeePMD-kit's `relative`."
    )
    lo: float = Field(gt=0, description="Lower trust level: frames below it are accurate.")
    hi: float = Field(gt=0, description="Upper trust level: frames above it are discarded as failed.")


class AdaptiveTrust(Settings):
    """Lower trust levels that follow the exploration, as dpgen2's `adaptive-lower`."""

    candidates: int = Field(
        200, ge=0, description="Frames below the upper trust level that are candidates, those with the largest "
        "deviation of forces."
    )
    rate: float = Field(0.01, ge=0, le=1, description="The same as a share of the frames; the larger number counts.")
    virial_candidates: int = Field(
        0, ge=0, description="Further candidates, those with the largest deviation of the virial; needs "
        "`virial_hi_eV_atom`."
    )
    virial_rate: float = Field(0.0, ge=0, le=1, description="The same as a share of the frames.")
    checked_iterations: int = Field(
        2, ge=2, description="A stage has converged when its lower trust level has changed by less than `tolerance` in "
        "this many iterations, the first of them included; `conv_accuracy` has then no effect."
    )
    tolerance: float = Field(0.05, gt=0, description="In the unit of the lower trust level.")

    @model_validator(mode="after")
    def _some(self) -> AdaptiveTrust:
        if not self.candidates and not self.rate:
            raise ValueError("candidates and rate are both 0: nothing would be a candidate")
        return self


class TrustSettings(Settings):
    """Trust levels of the model deviation: accurate below the lower ones, failed above an upper one, else candidate."""

    force_lo_eV_A: float = Field(
        0.12, gt=0, description="Lower trust level of forces, eV/A: frames below it are accurate."
    )
    force_hi_eV_A: float = Field(
        0.30, gt=0, description="Upper trust level of forces, eV/A: frames above it are discarded as failed."
    )
    virial_lo_eV_atom: float | None = Field(
        None, gt=0, description="Lower trust level of the virial, eV/atom; by default, the virial is not looked at. A "
        "frame is accurate if both forces and virial are."
    )
    virial_hi_eV_atom: float | None = Field(
        None, gt=0, description="Upper trust level of the virial, eV/atom: frames above it are discarded as failed."
    )
    relative: RelativeTrust | None = Field(
        None, description="Levels of the relative deviation of forces, in place of force_lo_eV_A and force_hi_eV_A."
    )
    adaptive: AdaptiveTrust | None = Field(
        None, description="Lower trust levels that follow the exploration, in place of the fixed ones."
    )

    @property
    def force_levels(self) -> tuple[float, float]:
        """Lower and upper trust level of the forces, eV/A or relative."""
        if self.relative is not None:
            return self.relative.lo, self.relative.hi
        return self.force_lo_eV_A, self.force_hi_eV_A

    @property
    def epsilon_eV_A(self) -> float | None:  # noqa: N802  (units in names)
        """What is added to forces of which the relative deviation counts; None where the absolute one counts."""
        return self.relative.epsilon_eV_A if self.relative else None

    @property
    def problem(self) -> str:
        """Why the levels are inconsistent; empty if they are not."""
        if self.adaptive is None:
            if self.relative is None and self.force_lo_eV_A >= self.force_hi_eV_A:
                return (
                    f"force_lo_eV_A ({self.force_lo_eV_A:g}) must be smaller than force_hi_eV_A "
                    f"({self.force_hi_eV_A:g})"
                )
            if self.relative is not None and self.relative.lo >= self.relative.hi:
                return f"relative: lo ({self.relative.lo:g}) must be smaller than hi ({self.relative.hi:g})"
            return self._virial_problem()
        if self.virial_lo_eV_atom is not None:
            return "virial_lo_eV_atom has no effect with adaptive; virial_hi_eV_atom alone is used"
        if self.virial_hi_eV_atom is None and (self.adaptive.virial_candidates or self.adaptive.virial_rate):
            return "adaptive: candidates by their virial need virial_hi_eV_atom"
        return ""

    def _virial_problem(self) -> str:
        lo, hi = self.virial_lo_eV_atom, self.virial_hi_eV_atom
        if lo is None and hi is None:
            return ""
        if lo is None or hi is None:
            given, other = ("virial_lo_eV_atom", "hi") if hi is None else ("virial_hi_eV_atom", "lo")
            return f"{given} needs virial_{other}_eV_atom as well: frames are sorted by both levels"
        return f"virial_lo_eV_atom ({lo:g}) must be smaller than virial_hi_eV_atom ({hi:g})" if lo >= hi else ""

    @model_validator(mode="after")
    def _consistent(self) -> TrustSettings:
        if problem := self.problem:
            raise ValueError(problem)
        return self


class TrustChange(Settings):
    """Trust levels of a stage or of a system, where they differ from those of `trust`."""

    force_lo_eV_A: float | None = Field(None, gt=0, description="Lower trust level of forces, eV/A.")
    force_hi_eV_A: float | None = Field(None, gt=0, description="Upper trust level of forces, eV/A.")
    virial_lo_eV_atom: float | None = Field(None, gt=0, description="Lower trust level of the virial, eV/atom.")
    virial_hi_eV_atom: float | None = Field(None, gt=0, description="Upper trust level of the virial, eV/atom.")
    relative: RelativeTrust | None = Field(
        None, description="Levels of the relative deviation of forces; all systems of a stage need the same "
        "epsilon_eV_A."
    )
    adaptive: AdaptiveTrust | None = Field(None, description="Lower trust levels that follow the exploration.")


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
    trust: TrustChange = Field(
        TrustChange(), description="Trust levels of this stage, where they differ from `concurrent_learning.trust`."
    )

    @model_validator(mode="after")
    def _pressures_have_an_effect(self) -> ExplorationStage:
        if self.ensemble == "nvt" and self.pressures_GPa != [0.0]:
            raise ValueError("pressures_GPa has no effect at constant volume (ensemble: nvt); remove it")
        return self

    def state_points(self) -> list[tuple[float, float]]:
        """Return temperature (K) and pressure (GPa) of the runs from each cell."""
        return list(product(self.temperatures_K, self.pressures_GPa))


def _one_or_several(value: Any) -> str:
    return "several" if isinstance(value, (list, tuple)) else "one"


Trainings = Annotated[
    Annotated[TrainSettings, Tag("one")] | Annotated[list[TrainSettings], Field(min_length=1), Tag("several")],
    Discriminator(_one_or_several),
]


class ConcurrentLearningSettings(Settings):
    """Concurrent learning (DP-GEN) with an ensemble of light models."""

    text_files: ClassVar[tuple[str, ...]] = ("lammps_template",)

    models: int = Field(4, ge=2, le=16, description="Number of models in the ensemble.")
    train: Trainings = Field(
        TrainSettings(preset="se_e2_a-tiny"), description="Network and training of the models; or a list of them for a "
        "committee of different networks, one for each model, or fewer that the models take in turn."
    )
    reuse_models: bool = Field(
        True, description="From the second iteration on, training starts from the previous models."
    )
    reuse_steps: int | None = Field(
        None, ge=1, description="Training steps when starting from the previous models; `train.steps` by default."
    )
    timestep_fs: float = Field(2.0, ge=0.05, le=5, description="MD time step, fs.")
    sample_every: int = Field(10, ge=1, description="MD steps between evaluations of the model deviation.")
    lammps_template: str | None = Field(
        None, description="Your own LAMMPS input for the explorations, with placeholders for what the pipeline "
        "needs (docs/exploration.md); relative to the configuration file."
    )
    sanity_steps: int = Field(
        100, ge=0, description="Steps of the short sanity MD of every new model; 0: no sanity MD."
    )
    trust: TrustSettings = Field(TrustSettings(), description="Trust levels of the model deviation.")
    trust_of: dict[str, TrustChange] = Field(
        default={}, description="Trust levels of single systems, by name, e.g. {Li6PS5Cl: {force_hi_eV_A: 0.4}}; they "
        "also replace those of a stage."
    )
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

    @property
    def trainings(self) -> list[TrainSettings]:
        """The different networks and trainings."""
        return list(self.train) if isinstance(self.train, list) else [self.train]

    @property
    def members(self) -> list[TrainSettings]:
        """Network and training of each model."""
        return [self.trainings[index % len(self.trainings)] for index in range(self.models)]

    def trust_in(self, stage: ExplorationStage, system: str) -> TrustSettings:
        """Return the trust levels of a system in a stage: those of all, changed by the stage, then by the system.

        Raises
        ------
        ValueError
            They are inconsistent.
        """
        values = self.trust.model_dump()
        for change in (stage.trust, self.trust_of.get(system, TrustChange())):
            values |= {name: value for name, value in change.model_dump().items() if value is not None}
        return TrustSettings.model_validate(values)
