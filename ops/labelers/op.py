"""OPs that call a labeler."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from dpa_sse.ops.labelers.aimd import run_aimd
from dpa_sse.ops.labelers.any_settings import AnyLabelerSettings
from dpa_sse.ops.labelers.registry import LABELERS, labeler_versions, with_model
from dpa_sse.ops.labelers.settings import AimdSettings
from dpa_sse.ops.labelers.single_points import label_frames
from dpa_sse.ops.runtime.settings import TaskSettings
from dpa_sse.ops.runtime.task import FanOutOP


class LabelFramesSettings(TaskSettings):
    """Settings of :class:`LabelFrames`."""

    labeler: AnyLabelerSettings


class RunAimdSettings(LabelFramesSettings):
    """Settings of :class:`RunAimd`."""

    aimd: AimdSettings


class RunAimd(FanOutOP):
    """Short molecular dynamics with the labeler, from one perturbed cell."""

    image = "labeler"
    resource_class = "label"
    artifacts = ("cells", "model?")
    keyed_by: ClassVar = {"cells": ("task.{index:03d}",)}
    logs = tuple(LABELERS)
    settings_class = RunAimdSettings

    def versions(self, settings: RunAimdSettings) -> dict[str, str]:
        """Return the versions of the program of the labeler."""
        return labeler_versions(settings.labeler)

    def run(self, out: Path, settings: RunAimdSettings, **inputs: Any) -> None:
        """Write ``frames.extxyz`` with energies, forces and stresses."""
        task = inputs["cells"] / f"task.{inputs['index']:03d}"
        run_aimd(task, with_model(settings.labeler, inputs["model"]), settings.aimd, settings.seed, out)


class LabelFrames(FanOutOP):
    """Labels for one group of selected frames."""

    image = "labeler"
    resource_class = "label"
    artifacts = ("selected", "model?")
    keyed_by: ClassVar = {"selected": ("tasks/task.{index:03d}",)}
    parameters = ("iteration",)
    logs = tuple(LABELERS)
    settings_class = LabelFramesSettings

    def versions(self, settings: LabelFramesSettings) -> dict[str, str]:
        """Return the versions of the program of the labeler."""
        return labeler_versions(settings.labeler)

    def run(self, out: Path, settings: LabelFramesSettings, **inputs: Any) -> None:
        """Write ``frames.extxyz`` with energies, forces and stresses, and a status per frame."""
        task = inputs["selected"] / "tasks" / f"task.{inputs['index']:03d}"
        label_frames(task, with_model(settings.labeler, inputs["model"]), out)
