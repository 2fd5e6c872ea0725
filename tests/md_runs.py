"""Records of MD runs for tests."""

from __future__ import annotations

from typing import Any

from dpa_sse.ops.results.md import ExplorationTask, MdRun, MdTask

TASK: dict[str, Any] = {
    "system": "Li2S", "ensemble": "nvt", "temperature_K": 900.0, "pressure_GPa": 0.0, "replica": 0, "timestep_fs": 2.0,
    "equilibration_steps": 0, "steps": 1000, "dump_every": 10, "restart_every": 0, "seed": 1,
}
OUTCOME: dict[str, Any] = {
    "n_atoms": 12, "composition": {"Li": 8, "S": 4}, "status": "ok", "reason": "", "n_frames": 101, "steps_per_s": 50.0,
    "seconds": 20.0, "threads": 1, "mean_temperature_K": 901.0, "max_temperature_K": 1100.0, "mean_volume_A3": 187.0,
    "polyhedra_kept": None, "rms_by_element_A": None, "sublattices": None, "exchanged": None,
}
EXPLORATION = {"models": [0, 1], "iteration": 0, "stage": 0, "cell": "Li2S.p000"}


def split(changes: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return TASK | {k: v for k, v in changes.items() if k in ExplorationTask.model_fields}, OUTCOME | {
        k: v for k, v in changes.items() if k not in ExplorationTask.model_fields
    }


def md_run(**changes: Any) -> MdRun:
    """Return the record of a production run; arguments are fields of its task or of its outcome."""
    task, outcome = split(changes)
    return MdTask(**task).record(**outcome)


def exploration_run(**changes: Any) -> MdRun:
    """Return the record of an exploration run; arguments are fields of its task or of its outcome."""
    task, outcome = split(EXPLORATION | changes)
    return ExplorationTask(**task).record(**outcome)
