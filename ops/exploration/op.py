"""OPs of concurrent learning: assemble the ensemble, explore, select."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

from dpa_sse.ops.data.paths import dataset_of
from dpa_sse.ops.exploration.explore import explore
from dpa_sse.ops.exploration.prepare import prepare_exploration
from dpa_sse.ops.exploration.sanity import sanity_md
from dpa_sse.ops.exploration.select import select_candidates
from dpa_sse.ops.exploration.settings import LearningSettings
from dpa_sse.ops.files import read_json
from dpa_sse.ops.success import require_success
from dpa_sse.ops.task import FanOutOP, TaskOP, results


class AssembleEnsemble(TaskOP):
    """The new models, a short sanity MD with each, and the exploration tasks of this iteration."""

    software = "deepmd"
    kind = "md"
    artifacts = ("campaign", "models*", "cells")
    numbers = ("iteration",)

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write ``models/`` (with ``sanity.json`` each) and ``tasks/``."""
        learning = LearningSettings(**settings["learning"])
        folders = results(inputs["models"])
        require_success(folders, 1.0, "training of the ensemble")
        state = read_json(inputs["campaign"] / "state.json")
        models = []
        for index, folder in enumerate(folders):
            target = out / "models" / f"model.{index:03d}"
            target.mkdir(parents=True, exist_ok=True)
            for path in folder.iterdir():
                if path.is_file():
                    shutil.copyfile(path, target / path.name)
            models.append(target)
        sanity = sanity_md(models, inputs["cells"], state, learning, settings["type_map"], settings["seed"], out)
        prepare_exploration(state, learning, inputs["cells"], sanity, settings["seed"], out / "tasks")


class Explore(FanOutOP):
    """LAMMPS NPT from one cell at one temperature and pressure, with the deviation of the ensemble."""

    software = "deepmd"
    kind = "md"
    artifacts = ("assembled",)
    own: ClassVar = {"assembled": ("tasks/task.{index:03d}", "models")}
    numbers = ("iteration",)

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write a trajectory and ``model_devi.out``."""
        assembled = inputs["assembled"]
        task = assembled / "tasks" / f"task.{inputs['index']:03d}"
        models = sorted((assembled / "models").glob("model.*"))
        explore(task, models, settings["type_map"], LearningSettings(**settings["learning"]), out)


class SelectCandidates(TaskOP):
    """The trust-level report, the frames to label, and the state of the campaign."""

    artifacts = ("campaign", "assembled", "explored*")
    numbers = ("iteration",)
    returns: ClassVar[dict[str, type]] = {"candidates": int, "selected": int, "accurate": float}

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> dict[str, Any]:
        """Write ``tasks/`` with the frames, ``report.json`` and ``state.json``."""
        report = select_candidates(
            read_json(inputs["campaign"] / "state.json"),
            LearningSettings(**settings["learning"]),
            results(inputs["explored"]),
            dataset_of(inputs["campaign"]),
            settings["seed"],
            out,
            sanity=read_json(inputs["assembled"] / "sanity.json"),
        )
        return {
            "candidates": report["candidate"], "selected": report["selected"], "accurate": report["accurate_ratio"],
        }
