"""OP of the structure stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dpa_sse.ops.runtime.settings import TaskSettings
from dpa_sse.ops.runtime.task import TaskOP
from dpa_sse.ops.structures.perturb import perturb_cells
from dpa_sse.ops.structures.settings import PerturbSettings


class PerturbCellsSettings(TaskSettings):
    """What the step needs of the project."""

    perturb: PerturbSettings


class PerturbCells(TaskOP):
    """Perturbed copies of every cell, one task folder each."""

    artifacts = ("cells",)
    settings_class = PerturbCellsSettings

    def run(self, out: Path, settings: PerturbCellsSettings, **inputs: Any) -> None:
        """Write ``task.NNN/cell.extxyz``."""
        perturb_cells(inputs["cells"], settings.perturb, settings.seed, out)
