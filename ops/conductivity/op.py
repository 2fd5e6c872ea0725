"""OP of the conductivity analysis."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.data.paths import dataset_of
from dpa_sse.ops.results.status import TaskStatus, require_success
from dpa_sse.ops.runtime.groups import results
from dpa_sse.ops.runtime.settings import FanInSettings
from dpa_sse.ops.runtime.task import TaskOP

ROOM_TEMPERATURE_K = 300.0


class ConductivityTaskSettings(FanInSettings):
    """What the step needs of the project."""

    conductivity: ConductivitySettings


class Conductivity(TaskOP):
    """Diffusion, conductivity and Arrhenius extrapolation from the production trajectories."""

    resource_class = "analysis"
    artifacts = ("trajectories*", "labels?")
    returns: ClassVar[dict[str, type]] = {"sigma_300K_mS_cm": float}
    version = 2
    settings_class = ConductivityTaskSettings

    def run(self, out: Path, settings: ConductivityTaskSettings, **inputs: Any) -> dict[str, float | None]:
        """Write ``conductivity.json``, tables and figures."""
        from dpa_sse.ops.conductivity.analyse import analyse
        from dpa_sse.ops.conductivity.output import write_analysis
        from dpa_sse.ops.data.dataset import level_of

        runs = results(inputs["trajectories"])
        if any(TaskStatus.path_in(run).is_file() for run in runs):  # not trajectories from elsewhere
            require_success(runs, settings.min_success_ratio, "production MD", usable=False, some=True)
        analysis = analyse(runs or inputs["trajectories"], settings.conductivity)
        if inputs.get("labels"):
            level = level_of(dataset_of(inputs["labels"]))
            analysis = replace(analysis, result=analysis.result.model_copy(update={"labels": level}))
        write_analysis(analysis, settings.conductivity, out)
        line = analysis.result.arrhenius.at(ROOM_TEMPERATURE_K)
        return {"sigma_300K_mS_cm": line.sigma_mS_cm if line else None}
