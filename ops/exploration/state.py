"""State of a concurrent learning: which iteration, which stage, what came out so far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dpa_sse.ops.core.files import read_json
from dpa_sse.ops.exploration.settings import ConcurrentLearningSettings, ExplorationStage

STATE = "state.json"


def initial_state(settings: ConcurrentLearningSettings) -> dict[str, Any]:
    """Return the state before the first iteration."""
    return {"iteration": 0, "stage": 0, "iteration_in_stage": 0, "finished": not settings.stages, "history": []}


def read_state(training_data: Path, settings: ConcurrentLearningSettings) -> dict[str, Any]:
    """Return the state that an iteration has left beside its data set; the initial one where none has."""
    path = training_data / STATE
    return dict(read_json(path)) if path.is_file() else initial_state(settings)


def current_stage(state: dict[str, Any], settings: ConcurrentLearningSettings) -> ExplorationStage:
    """Return the stage that the next exploration belongs to (the last one when finished)."""
    return settings.stages[min(int(state["stage"]), len(settings.stages) - 1)]


def next_state(state: dict[str, Any], settings: ConcurrentLearningSettings, report: dict[str, Any]) -> dict[str, Any]:
    """Return the state after an iteration.

    A stage ends when it has converged, or after its ``max_iterations``; concurrent learning ends with its last stage.

    Parameters
    ----------
    state : dict
        The state with which the iteration began.
    settings : ConcurrentLearningSettings
    report : dict
        The iteration's report; only ``converged`` is read, the whole of it goes into the history.
    """
    stage, inside = int(state["stage"]), int(state["iteration_in_stage"]) + 1
    if report["converged"] or inside >= current_stage(state, settings).max_iterations:
        stage, inside = stage + 1, 0
    return {
        "iteration": int(state["iteration"]) + 1,
        "stage": stage,
        "iteration_in_stage": inside,
        "finished": stage >= len(settings.stages),
        "history": [*state["history"], report],
    }
