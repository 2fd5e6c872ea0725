"""OPs that call a labeler."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from dpa_sse.ops.labelers.aimd import run_aimd
from dpa_sse.ops.labelers.registry import LABELERS, parse_labeler
from dpa_sse.ops.labelers.settings import AimdSettings
from dpa_sse.ops.labelers.single_points import label_frames
from dpa_sse.ops.runtime.task import FanOutOP


class RunAimd(FanOutOP):
    """Short molecular dynamics with the labeler from one perturbed cell."""

    image = "labeler"
    resource_class = "label"
    artifacts = ("cells", "model?")
    keyed_by: ClassVar = {"cells": ("task.{index:03d}",)}
    logs = tuple(LABELERS)

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write ``frames.extxyz`` with energies, forces and stresses."""
        task = inputs["cells"] / f"task.{inputs['index']:03d}"
        labeler = parse_labeler(settings["labeler"], inputs["model"])
        run_aimd(task, labeler, AimdSettings(**settings["aimd"]), settings["seed"], out)


class LabelFrames(FanOutOP):
    """Labels for one group of selected frames."""

    image = "labeler"
    resource_class = "label"
    artifacts = ("selected", "model?")
    keyed_by: ClassVar = {"selected": ("tasks/task.{index:03d}",)}
    parameters = ("iteration",)
    logs = tuple(LABELERS)

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write ``frames.extxyz`` with energies, forces and stresses, and a status per frame."""
        task = inputs["selected"] / "tasks" / f"task.{inputs['index']:03d}"
        label_frames(task, parse_labeler(settings["labeler"], inputs["model"]), out)
