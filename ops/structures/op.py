"""OP of the structure stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dpa_sse.ops.runtime.task import TaskOP
from dpa_sse.ops.structures.perturb import perturb_cells
from dpa_sse.ops.structures.settings import PerturbSettings


class PerturbCells(TaskOP):
    """Perturbed copies of every cell, one task folder each."""

    artifacts = ("cells",)

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write ``task.NNN/cell.extxyz``."""
        perturb_cells(inputs["cells"], PerturbSettings(**settings["perturb"]), settings["seed"], out)
