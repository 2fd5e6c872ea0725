"""Concurrent learning: ``sanity.json``, ``report.json`` of an iteration, and ``state.json`` of the loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from dpa_sse.ops.results.base import Result, ResultPart
from dpa_sse.ops.results.dataset import FailedTask


class SanityResult(ResultPart):
    """Outcome of the sanity MD of one model.

    Attributes
    ----------
    model : int
        Index of the model in the ensemble.
    status : {"ok", "failed"}
        ``failed``: at least one of its runs did not reach its end.
    reason : str
        Why it failed, by system.
    max_temperature_K : float or None
        Highest temperature in any of its runs; None where nothing was run.
    temperature_K : float
        Target temperature.
    steps : int
        MD steps of each run; 0 when the check is switched off.
    """

    model: int
    status: Literal["ok", "failed"]
    reason: str
    max_temperature_K: float | None
    temperature_K: float
    steps: int


class SanityCheck(Result):
    """Outcome of the sanity MD of all models of an ensemble, in their order."""

    FILE: ClassVar[str] = "sanity.json"

    models: tuple[SanityResult, ...]

    @property
    def passed(self) -> list[int]:
        """Indices of the models that may explore."""
        return [index for index, result in enumerate(self.models) if result.status == "ok"]


class DroppedCandidates(ResultPart):
    """Number of candidates that are not labelled, by reason."""

    unphysical: int = 0
    known: int = 0
    similar: int = 0


class TrustGroup(ResultPart):
    """Systems that have their trust levels in common, and their frames.

    Attributes
    ----------
    systems : tuple of str
    force_lo, force_hi : float
        Trust levels of the forces: eV/Angstrom; without a unit where ``epsilon_eV_A`` is given.
    epsilon_eV_A : float or None
        Of the relative deviation, |dF| / (|F| + epsilon); None where the absolute one counts.
    virial_lo_eV_atom, virial_hi_eV_atom : float or None
        Trust levels of the virial; None where it is not looked at.
    adaptive : bool
        Whether the lower levels are those that this exploration led to.
    accurate, candidate, failed : int
        Number of frames.
    converged : bool
    """

    systems: tuple[str, ...]
    force_lo: float
    force_hi: float
    epsilon_eV_A: float | None
    virial_lo_eV_atom: float | None
    virial_hi_eV_atom: float | None
    adaptive: bool
    accurate: int
    candidate: int
    failed: int
    converged: bool

    @property
    def unit(self) -> str:
        """Unit of the levels of the forces, after a blank."""
        return " eV/A" if self.epsilon_eV_A is None else f" relative to |F| + {self.epsilon_eV_A:g} eV/A"

    @property
    def lower(self) -> str:
        """The lower levels, as text."""
        virial = "" if self.virial_lo_eV_atom is None else f", virial {self.virial_lo_eV_atom:.3g} eV/atom"
        return f"{self.force_lo:.3g}{self.unit}{virial}"

    @property
    def upper(self) -> str:
        """The upper levels, as text."""
        virial = "" if self.virial_hi_eV_atom is None else f", virial {self.virial_hi_eV_atom:g} eV/atom"
        return f"{self.force_hi:g}{self.unit}{virial}"

    @property
    def levels(self) -> str:
        """All levels, as text: ``0.12 to 0.3 eV/A``."""
        text = f"{self.force_lo:.3g} to {self.force_hi:.3g}{self.unit}"
        if self.virial_hi_eV_atom is not None:
            text += f", virial {self.virial_lo_eV_atom:.3g} to {self.virial_hi_eV_atom:.3g} eV/atom"
        return text + (" (adaptive)" if self.adaptive else "")


class IterationReport(Result):
    """What an iteration of concurrent learning explored and selected.

    Attributes
    ----------
    iteration : int
        Number of the iteration, from 0.
    stage : int
        Index of the exploration stage.
    accurate, candidate, failed : int
        Number of frames by trust level.
    accurate_ratio, candidate_ratio, failed_ratio : float or None
        Their shares; None where nothing was explored.
    relative : bool
        Whether the deviations of the forces are relative ones, without a unit.
    max_devi_f, mean_devi_f : float or None
        Largest and mean force deviation of the ensemble, eV/Angstrom or relative; None where nothing was explored.
    max_devi_v_eV_atom : float or None
        Largest deviation of the virial.
    groups : tuple of TrustGroup
        Trust levels, by the systems that have them in common.
    converged : bool
        Whether the stage has converged.
    selected : int
        Number of frames to label.
    dropped : DroppedCandidates
        Candidates that were examined and rejected.
    passed_over : int
        Candidates that were not examined, because enough were selected.
    runs, runs_exploded : int
        Number of exploration runs with frames, and of those that exploded.
    runs_failed : tuple of FailedTask
        Exploration tasks without frames.
    sanity : tuple of SanityResult
        Outcome of the sanity MD, one for each model.
    message : str
        The outcome in one sentence.
    labelled : int or None
        Number of selected frames that got labels; None until they are labelled.
    label_failures : tuple of FailedTask
        Labelling tasks that lost frames.
    """

    FILE: ClassVar[str] = "report.json"
    VERSION: ClassVar[int] = 2

    iteration: int
    stage: int
    accurate: int
    candidate: int
    failed: int
    accurate_ratio: float | None
    candidate_ratio: float | None
    failed_ratio: float | None
    relative: bool
    max_devi_f: float | None
    mean_devi_f: float | None
    max_devi_v_eV_atom: float | None
    groups: tuple[TrustGroup, ...]
    converged: bool
    selected: int
    dropped: DroppedCandidates
    passed_over: int
    runs: int
    runs_exploded: int
    runs_failed: tuple[FailedTask, ...]
    sanity: tuple[SanityResult, ...]
    message: str
    labelled: int | None = None
    label_failures: tuple[FailedTask, ...] = ()

    @property
    def levels(self) -> str:
        """Trust levels, as text; with the systems where they differ."""
        if len(self.groups) == 1:
            return self.groups[0].levels
        return "; ".join(f"{', '.join(group.systems)}: {group.levels}" for group in self.groups)


class LearningState(Result):
    """State of concurrent learning between two iterations.

    Attributes
    ----------
    iteration : int
        Number of the next iteration.
    stage : int
        Index of the exploration stage that the next iteration belongs to.
    iteration_in_stage : int
        Number of iterations that this stage has had.
    finished : bool
        Whether the last stage has ended.
    history : tuple of IterationReport
        Reports of all iterations so far.
    """

    FILE: ClassVar[str] = "state.json"

    iteration: int
    stage: int
    iteration_in_stage: int
    finished: bool
    history: tuple[IterationReport, ...]

    @property
    def unchanged(self) -> bool:
        """Whether the latest iteration has added no label, so that its models are those of the next one, too."""
        return bool(self.history) and self.history[-1].labelled == 0

    def with_labels(self, labelled: int, failures: Sequence[FailedTask]) -> LearningState:
        """Return the state with the outcome of labelling added to the report of the latest iteration."""
        *before, latest = self.history
        latest = latest.model_copy(update={"labelled": labelled, "label_failures": tuple(failures)})
        return self.model_copy(update={"history": (*before, latest)})
