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
    max_devi_f_eV_A, mean_devi_f_eV_A : float or None
        Largest and mean force deviation of the ensemble; None where nothing was explored.
    force_lo_eV_A, force_hi_eV_A : float
        Trust levels.
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

    iteration: int
    stage: int
    accurate: int
    candidate: int
    failed: int
    accurate_ratio: float | None
    candidate_ratio: float | None
    failed_ratio: float | None
    max_devi_f_eV_A: float | None
    mean_devi_f_eV_A: float | None
    force_lo_eV_A: float
    force_hi_eV_A: float
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
