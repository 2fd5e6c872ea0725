"""State of concurrent learning: which iteration, which stage, and the reports so far."""

from __future__ import annotations

from pathlib import Path

from dpa_sse.ops.exploration.settings import ConcurrentLearningSettings, ExplorationStage
from dpa_sse.ops.results.learning import IterationReport, LearningState


def initial_state(settings: ConcurrentLearningSettings) -> LearningState:
    """Return the state before the first iteration."""
    return LearningState(iteration=0, stage=0, iteration_in_stage=0, finished=not settings.stages, history=())


def read_state(training_data: Path, settings: ConcurrentLearningSettings) -> LearningState:
    """Return the state that the last iteration left next to its data set, or the initial one."""
    return LearningState.read_if_there(training_data) or initial_state(settings)


def current_stage(state: LearningState, settings: ConcurrentLearningSettings) -> ExplorationStage:
    """Return the stage that the next exploration belongs to (the last one when finished)."""
    return settings.stages[min(state.stage, len(settings.stages) - 1)]


def next_state(
    state: LearningState, settings: ConcurrentLearningSettings, report: IterationReport
) -> LearningState:
    """Return the state after an iteration.

    A stage ends when it has converged or after its ``max_iterations``; concurrent learning ends with its last stage.

    Parameters
    ----------
    state : LearningState
        State at the start of the iteration.
    settings : ConcurrentLearningSettings
    report : IterationReport
        Report of the iteration; it is appended to the history.
    """
    stage, inside = state.stage, state.iteration_in_stage + 1
    if report.converged or inside >= current_stage(state, settings).max_iterations:
        stage, inside = stage + 1, 0
    return LearningState(
        iteration=state.iteration + 1,
        stage=stage,
        iteration_in_stage=inside,
        finished=stage >= len(settings.stages),
        history=(*state.history, report),
    )
