"""OPs of production molecular dynamics."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from dpa_sse.ops.md.prepare import prepare_md
from dpa_sse.ops.md.production import run_md
from dpa_sse.ops.md.settings import MdSettings
from dpa_sse.ops.potential.folder import model_file
from dpa_sse.ops.runtime.task import FanOutOP, TaskOP


class PrepareMd(TaskOP):
    """One task folder per system, temperature and replica."""

    artifacts = ("cells",)

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write ``task.NNN/``."""
        prepare_md(inputs["cells"], MdSettings(**settings["md"]), settings["seed"], out)


class RunMd(FanOutOP):
    """Equilibration and production at one temperature; stops itself when the run has exploded or melted."""

    image = "deepmd"
    resource_class = "md"
    artifacts = ("tasks", "student")
    version = 2  # places are averaged over a picosecond
    keyed_by: ClassVar = {"tasks": ("task.{index:03d}",)}

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write an MD folder."""
        task = inputs["tasks"] / f"task.{inputs['index']:03d}"
        run_md(task, model_file(inputs["student"]), settings["type_map"], out)
