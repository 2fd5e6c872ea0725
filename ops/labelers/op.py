"""OPs that call a labeler."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter

from dpa_sse.ops.labelers.aimd import run_aimd
from dpa_sse.ops.labelers.label import label_frames
from dpa_sse.ops.labelers.registry import LABELERS
from dpa_sse.ops.labelers.settings import AimdSettings, LabelerSettings
from dpa_sse.ops.task import FanOutOP


def parse_labeler(data: dict[str, Any], model: Path | None = None) -> LabelerSettings:
    """Return the settings of the labeler from their JSON form, with the place where its model lies now."""
    settings: LabelerSettings = TypeAdapter(LabelerSettings).validate_python(data)
    if model is not None and settings.model_file:
        settings = settings.model_copy(update={settings.model_file: str(model)})
    return settings


class RunAimd(FanOutOP):
    """Short molecular dynamics with the labeler from one perturbed cell."""

    software = "labeler"
    kind = "label"
    artifacts = ("cells", "model?")
    own: ClassVar = {"cells": ("task.{index:03d}",)}
    logs = tuple(LABELERS)

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write ``frames.extxyz`` with energies, forces and stresses."""
        task = inputs["cells"] / f"task.{inputs['index']:03d}"
        labeler = parse_labeler(settings["labeler"], inputs["model"])
        run_aimd(task, labeler, AimdSettings(**settings["aimd"]), settings["seed"], out)


class LabelFrames(FanOutOP):
    """Labels for one group of selected frames."""

    software = "labeler"
    kind = "label"
    artifacts = ("selected", "model?")
    own: ClassVar = {"selected": ("tasks/task.{index:03d}",)}
    numbers = ("iteration",)
    logs = tuple(LABELERS)

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write ``frames.extxyz`` with energies, forces and stresses, and a status per frame."""
        task = inputs["selected"] / "tasks" / f"task.{inputs['index']:03d}"
        label_frames(task, parse_labeler(settings["labeler"], inputs["model"]), out)
