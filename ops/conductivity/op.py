"""OP of the conductivity analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.results.status import require_success
from dpa_sse.ops.runtime.groups import results
from dpa_sse.ops.runtime.task import TaskOP


class Conductivity(TaskOP):
    """Diffusion, conductivity and Arrhenius extrapolation from the production trajectories."""

    resource_class = "analysis"
    artifacts = ("trajectories*",)
    returns: ClassVar[dict[str, type]] = {"sigma_300K_mS_cm": float}

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> dict[str, Any]:
        """Write ``conductivity.json``, tables and figures."""
        from dpa_sse.ops.conductivity.analyse import analyse_folder

        runs = results(inputs["trajectories"])
        require_success(runs, settings["min_success_ratio"], "production MD", usable=False)
        sources = runs or inputs["trajectories"]
        found = analyse_folder(sources, ConductivitySettings(**settings["conductivity"]), out)
        return {"sigma_300K_mS_cm": found["arrhenius"].get("sigma_300K_mS_cm")}
