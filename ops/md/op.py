"""OPs of production molecular dynamics."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from dpa_sse.ops.md.extension import KEPT
from dpa_sse.ops.md.prepare import prepare_md
from dpa_sse.ops.md.production import run_md
from dpa_sse.ops.md.settings import MdSettings
from dpa_sse.ops.potential.folder import model_file
from dpa_sse.ops.runtime import events
from dpa_sse.ops.runtime.settings import TaskSettings
from dpa_sse.ops.runtime.task import FanOutOP, TaskOP


class PrepareMdSettings(TaskSettings):
    """Settings of :class:`PrepareMd`."""

    md: MdSettings


class PrepareMd(TaskOP):
    """One task folder per system, temperature and replica."""

    artifacts = ("cells",)
    settings_class = PrepareMdSettings

    def run(self, out: Path, settings: PrepareMdSettings, **inputs: Any) -> None:
        """Write ``task.NNN/``."""
        prepare_md(inputs["cells"], settings.md, settings.seed, out)


class RunMd(FanOutOP):
    """Equilibration and production at one temperature; stops when the run has exploded or melted."""

    image = "deepmd"
    resource_class = "md"
    artifacts = ("tasks", "student")
    logs = (KEPT,)
    version = 2  # sites are averaged over one picosecond
    keyed_by: ClassVar = {"tasks": ("task.{index:03d}",)}
    settings_class = TaskSettings

    def run(self, out: Path, settings: TaskSettings, **inputs: Any) -> None:
        """Write an MD folder."""
        task = inputs["tasks"] / f"task.{inputs['index']:03d}"
        earlier = run_md(
            task, model_file(inputs["student"]), settings.type_map, out, versions=self.versions(settings)
        )
        if earlier is not None:
            text = f"{out.name} continued the run in {earlier.name}; its equilibration and its steps were not repeated"
            events.emit("note", reason=text)
