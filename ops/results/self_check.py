"""``self_check.json``: errors of the model against the labeler on frames of the production runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

from dpa_sse.ops.results.base import Result, ResultPart
from dpa_sse.ops.results.dataset import FailedTask
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.ops.results.md import Ensemble

Trust = Literal["trusted", "to be taken with care", "not trusted", "not checked"]


class ErrorEstimate(ResultPart):
    """Mean of an error over frames.

    Attributes
    ----------
    mean : float
    ci95 : tuple of float or None
        95 % interval of the mean (Student's t); None where a single frame leaves none.
    sd : float or None
        Standard deviation between the frames of one run.
    n : int
        Number of frames.
    """

    mean: float
    ci95: tuple[float, float] | None
    sd: float | None
    n: int

    @property
    def half_width(self) -> float | None:
        """Half of the interval; None where there is none."""
        return None if self.ci95 is None else (self.ci95[1] - self.ci95[0]) / 2


class ModelErrors(ResultPart):
    """Errors of one model on frames of production.

    Attributes
    ----------
    energy_bias_meV_atom : ErrorEstimate or None
        Model minus label, after the shift of the composition; None where no shift is known.
    energy_mae_meV_atom : float or None
        Mean absolute value of the same difference.
    force_mae_meV_A : ErrorEstimate
        Mean absolute error of the force components.
    pressure_error_GPa : ErrorEstimate or None
        Model minus label; None where the labels have no stress.
    """

    energy_bias_meV_atom: ErrorEstimate | None
    energy_mae_meV_atom: float | None
    force_mae_meV_A: ErrorEstimate
    pressure_error_GPa: ErrorEstimate | None


class EnergyShift(ResultPart):
    """Mean of model minus label on the labelled training frames of one composition.

    The training frames are a fixed reference, but there are few of them: the interval is that of their scatter within
    each trajectory. Differences between trajectories (of another temperature) belong to the reference.

    Attributes
    ----------
    composition : str
        Reduced formula.
    model_meV_atom, teacher_meV_atom : float
        Of the model of the MD, and of its teacher.
    half95_meV_atom, teacher_half95_meV_atom : float or None
        Half of their 95 % intervals; None for a single frame. They are part of the intervals of the energy errors.
    n_frames : int
        Training frames.
    """

    composition: str
    model_meV_atom: float
    teacher_meV_atom: float
    half95_meV_atom: float | None
    teacher_half95_meV_atom: float | None
    n_frames: int


class CheckedFrame(ResultPart):
    """Errors on one frame, for people who plot them; energies after the shift."""

    system: str
    temperature_K: float
    replica: int
    step: int
    energy_error_meV_atom: float | None
    force_mae_meV_A: float
    pressure_error_GPa: float | None


class CheckedPoint(ResultPart):
    """Self-check of the runs of one system at one temperature.

    Attributes
    ----------
    system, composition : str
        Name, and reduced formula.
    temperature_K, pressure_GPa, ensemble, n_atoms
        State point of the runs.
    runs, labels : int
        Production runs, and labelled frames of them.
    errors, teacher : ModelErrors or None
        Of the model of the MD and of its teacher; None without labels.
    verdict : Trust
        Of a conductivity from these runs.
    reasons : tuple of str
        Why it is not ``trusted``.
    """

    system: str
    composition: str
    temperature_K: float
    pressure_GPa: float
    ensemble: Ensemble
    n_atoms: int
    runs: int
    labels: int
    errors: ModelErrors | None
    teacher: ModelErrors | None
    verdict: Trust
    reasons: tuple[str, ...]


class CheckedSystem(ResultPart):
    """Self-check of all production runs of one system.

    Attributes
    ----------
    held_out_force_mae_meV_A : float or None
        Of the same model on held-out labelled frames of this composition, else of all compositions; None without any.
    force_mae_ratio : float or None
        Force MAE in production over that on held-out frames.
    """

    system: str
    labels: int
    errors: ModelErrors | None
    teacher: ModelErrors | None
    held_out_force_mae_meV_A: float | None
    force_mae_ratio: float | None
    verdict: Trust
    reasons: tuple[str, ...]


class CheckBars(ResultPart):
    """What the verdicts compare with."""

    max_energy_bias_meV_atom: float
    max_pressure_error_GPa: float
    max_force_mae_ratio: float

    def exceeded_by(self, system: CheckedSystem) -> bool:
        """Return whether a mean error over all runs of a system is beyond its bar."""
        if system.errors is None:
            return False
        pairs = (
            (system.errors.energy_bias_meV_atom, self.max_energy_bias_meV_atom),
            (system.errors.pressure_error_GPa, self.max_pressure_error_GPa),
        )
        ratio = system.force_mae_ratio
        return any(found is not None and abs(found.mean) > bar for found, bar in pairs) or (
            ratio is not None and ratio > self.max_force_mae_ratio
        )


class RoundSummary(ResultPart):
    """One round of the loop back to labels: the errors of its production, by system.

    ``corrected``: its models were trained on the labelled frames of the rounds before; else they are those of the round
    before.
    """

    round: int
    corrected: bool
    labels: int
    systems: tuple[CheckedSystem, ...]


def needs_correction(points: Iterable[CheckedPoint], systems: Iterable[CheckedSystem], bars: CheckBars) -> bool:
    """Return whether the model is not good enough, and there are labels to learn from.

    A mean error beyond its bar is enough, whether or not it could be chance: the labels exist already.
    """
    found = list(points)
    if not any(point.labels for point in found):
        return False
    return any(point.verdict == "not trusted" for point in found) or any(bars.exceeded_by(one) for one in systems)


class SelfCheck(Result):
    """The model against the labeler, on frames of the production runs.

    Attributes
    ----------
    level : LevelOfTheory or None
        Level of theory of the labels.
    bars : CheckBars
    shifts : tuple of EnergyShift
    points : tuple of CheckedPoint
        By system and temperature.
    systems : tuple of CheckedSystem
    frames : tuple of CheckedFrame
    failed : tuple of FailedTask
        Labels that failed.
    rounds : tuple of RoundSummary
        All rounds so far, the one of this file last.
    full : bool
        The production had its full length; false for the short one of an early round.
    finished : bool
        No further round follows.
    """

    FILE: ClassVar[str] = "self_check.json"

    level: LevelOfTheory | None
    bars: CheckBars
    shifts: tuple[EnergyShift, ...]
    points: tuple[CheckedPoint, ...]
    systems: tuple[CheckedSystem, ...]
    frames: tuple[CheckedFrame, ...]
    failed: tuple[FailedTask, ...]
    rounds: tuple[RoundSummary, ...]
    full: bool
    finished: bool

    @property
    def corrections(self) -> int:
        """How often the models were trained on labelled production frames."""
        return sum(one.corrected for one in self.rounds)

    @property
    def beyond(self) -> bool:
        """Whether the labels show that the model is not good enough at one temperature or more."""
        return needs_correction(self.points, self.systems, self.bars)
