"""OPs of concurrent learning: assemble the ensemble, explore, select, merge."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.data.merge import merge_labelled
from dpa_sse.ops.data.paths import DATASET, dataset_of
from dpa_sse.ops.exploration.explore import explore
from dpa_sse.ops.exploration.page import PAGE, learning_page
from dpa_sse.ops.exploration.prepare import held_out_trajectories, prepare_exploration
from dpa_sse.ops.exploration.sanity import sanity_md
from dpa_sse.ops.exploration.select import select_candidates
from dpa_sse.ops.exploration.settings import ConcurrentLearningSettings
from dpa_sse.ops.exploration.state import read_state
from dpa_sse.ops.potential.folder import frozen_model
from dpa_sse.ops.results.learning import LearningState, SanityCheck
from dpa_sse.ops.results.md import ExplorationTask
from dpa_sse.ops.results.model import ModelInfo
from dpa_sse.ops.results.simplify import Simplified
from dpa_sse.ops.results.status import require_success
from dpa_sse.ops.runtime.groups import results
from dpa_sse.ops.runtime.settings import FanInSettings, TaskSettings
from dpa_sse.ops.runtime.task import FanOutOP, TaskOP

CONTINUED = ("model.pt", "model.json", "lcurve.csv")
"""Files of a model from which the next training starts."""


class LearningSettings(TaskSettings):
    """Settings of :class:`AssembleEnsemble`."""

    concurrent_learning: ConcurrentLearningSettings


class SelectSettings(LearningSettings, FanInSettings):
    """Settings of :class:`SelectCandidates`."""


class MergeSettings(FanInSettings):
    """Settings of :class:`MergeLabelled`."""


class AssembleEnsemble(TaskOP):
    """The new models, a short sanity MD with each of them, and the exploration tasks of this iteration."""

    image = "deepmd"
    resource_class = "md"
    artifacts = ("training_data", "models*", "cells")
    parameters = ("iteration",)
    settings_class = LearningSettings

    def run(self, out: Path, settings: LearningSettings, **inputs: Any) -> None:
        """Write ``models/``, ``sanity.json`` and ``tasks/``."""
        learning = settings.concurrent_learning
        folders = results(inputs["models"])
        require_success(folders, 1.0, "training of the ensemble")
        state = read_state(inputs["training_data"], learning)
        models = []
        for index, folder in enumerate(folders):
            target = out / "models" / f"model.{index:03d}"
            target.mkdir(parents=True, exist_ok=True)
            for path in folder.iterdir():
                if path.is_file():
                    shutil.copyfile(path, target / path.name)
            models.append(target)
        sanity = sanity_md(models, inputs["cells"], state, learning, settings.type_map, settings.seed, out)
        held_out = held_out_trajectories(dataset_of(inputs["training_data"]))
        cutoffs = [ModelInfo.read(model).rcut_A or 0.0 for model in models]
        prepare_exploration(state, learning, inputs["cells"], sanity, settings.seed, out / "tasks", held_out, cutoffs)


class Explore(FanOutOP):
    """LAMMPS in NPT from one cell at one temperature and pressure, with the deviation of the ensemble."""

    image = "deepmd"
    resource_class = "md"
    artifacts = ("assembled",)
    keyed_by: ClassVar = {"assembled": ("tasks/task.{index:03d}", "models")}
    parameters = ("iteration",)
    settings_class = TaskSettings

    def run(self, out: Path, settings: TaskSettings, **inputs: Any) -> None:
        """Write a trajectory and ``model_devi.csv``."""
        assembled = inputs["assembled"]
        task = assembled / "tasks" / f"task.{inputs['index']:03d}"
        models = sorted((assembled / "models").glob("model.*"))
        explore(task, models, settings.type_map, out)


class SelectCandidates(TaskOP):
    """The trust-level report, the frames to label, and the state of concurrent learning."""

    artifacts = ("training_data", "assembled", "explored*")
    parameters = ("iteration",)
    returns: ClassVar[dict[str, type]] = {"candidates": int, "selected": int, "accurate": float}
    settings_class = SelectSettings

    def run(self, out: Path, settings: SelectSettings, **inputs: Any) -> dict[str, float | None]:
        """Write ``tasks/`` with the frames, ``report.json`` and ``state.json``."""
        learning = settings.concurrent_learning
        explored = results(inputs["explored"])
        require_success(explored, settings.min_success_ratio, "exploration", usable=False, some=True)
        diverse = learning.selection == "diverse"
        report = select_candidates(
            read_state(inputs["training_data"], learning),
            learning,
            explored,
            dataset_of(inputs["training_data"]),
            settings.seed,
            out,
            sanity=SanityCheck.read(inputs["assembled"]),
            model=frozen_model(inputs["assembled"] / "models" / "model.000") if diverse else None,
            systems={ExplorationTask.read(task).system for task in (inputs["assembled"] / "tasks").glob("task.*")},
        )
        return {
            "candidates": report.candidate, "selected": report.selected, "accurate": report.accurate_ratio,
        }


class SelectDiverse(SelectCandidates):
    """The frames to label that differ most, as the descriptor of a model tells; else as :class:`SelectCandidates`."""

    image = "deepmd"
    resource_class = "infer"


class MergeLabelled(TaskOP):
    """The data set of the next iteration, and whether concurrent learning has finished."""

    artifacts = ("training_data", "assembled", "selected", "labelled*")
    parameters = ("iteration",)
    html_page = PAGE
    returns: ClassVar[dict[str, type]] = {"finished": bool, "next_iteration": int}
    settings_class = MergeSettings

    def run(self, out: Path, settings: MergeSettings, **inputs: Any) -> dict[str, int]:
        """Write ``dataset/``, ``state.json`` and the checkpoints from which the next models start."""
        summary = merge_labelled(
            dataset_of(inputs["training_data"]), results(inputs["labelled"]), out / DATASET,
            min_success_ratio=settings.min_success_ratio,
        )
        state = LearningState.read(inputs["selected"]).with_labels(summary.labelled or 0, summary.failed)
        state.write(out)
        if thinned := Simplified.read_if_there(inputs["training_data"]):
            thinned.write(out)
        write_text(out / PAGE, learning_page(state.history))
        for model in sorted((inputs["assembled"] / "models").glob("model.*")):
            target = out / "models" / model.name
            target.mkdir(parents=True, exist_ok=True)
            # the frozen model is of use to the next iteration only if there are no new labels to train on
            for name in [path.name for path in model.iterdir()] if state.unchanged else CONTINUED:
                shutil.copyfile(model / name, target / name)
        return {"finished": state.finished, "next_iteration": inputs["iteration"] + 1}
