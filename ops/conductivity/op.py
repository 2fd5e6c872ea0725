"""OP of the conductivity analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ops.conductivity.settings import ConductivitySettings
from ops.task import TaskOP, results


class Conductivity(TaskOP):
    """Diffusion, conductivity and Arrhenius extrapolation from the production trajectories."""

    artifacts = ("trajectories*",)

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write ``conductivity.json``, tables and figures."""
        from ops.conductivity.analyse import analyse_folder

        analyse_folder(results(inputs["trajectories"]), ConductivitySettings(**settings["conductivity"]), out)
