"""OPs of active fine-tuning."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

from dpa_sse.ops.active.collect import RoundData, collect_round, pass_on
from dpa_sse.ops.active.select import candidates_of, select_frames
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.distillation.settings import DistillSettings
from dpa_sse.ops.distillation.teacher_md import prepare_teacher_md, run_teacher_md
from dpa_sse.ops.potential.folder import frozen_model
from dpa_sse.ops.results.active import Selection
from dpa_sse.ops.results.status import EMPTY, TaskStatus, require_success
from dpa_sse.ops.runtime.groups import results
from dpa_sse.ops.runtime.settings import FanInSettings, TaskSettings
from dpa_sse.ops.runtime.task import FanOutOP, TaskOP
from dpa_sse.ops.structures.perturb import perturb_cells
from dpa_sse.ops.training.op import TrainVariant, TrainVariantSettings
from dpa_sse.ops.training.settings import RoundSettings


class PrepareRoundSettings(TaskSettings):
    """Settings of :class:`PrepareRound`; ``round`` counts from 1."""

    explore: RoundSettings
    round: int


class SelectRoundSettings(PrepareRoundSettings):
    """Settings of :class:`SelectRound`: frames that the first model is trained on."""

    frames: int


class CollectRoundSettings(SelectRoundSettings, FanInSettings):
    """Settings of :class:`CollectRound`."""


class PrepareRound(TaskOP):
    """Perturbed cells for the MD of a round, and a task for each of them at each temperature."""

    artifacts = ("cells",)
    settings_class = PrepareRoundSettings

    def run(self, out: Path, settings: PrepareRoundSettings, **inputs: Any) -> None:
        """Write ``cells/`` and ``tasks/``."""
        explore = settings.explore
        seed = derive_seed(settings.seed, "round", settings.round)
        perturb_cells(inputs["cells"], explore.perturb, seed, out / "cells")
        names = ("perturb", "temperatures_K", "pressure_GPa", "steps", "timestep_fs", "sample_every")
        md = DistillSettings(**{name: getattr(explore, name) for name in names})
        prepare_teacher_md(out / "cells", md, seed, out / "tasks")


class TrainRound(TrainVariant):
    """The pre-trained model fine-tuned on the frames so far; for a committee several, with other seeds."""

    settings_class = TrainVariantSettings

    def run(self, out: Path, settings: TrainVariantSettings, **inputs: Any) -> None:
        """Write a model folder."""
        if RoundData.of(inputs["downstream"]).rounds.enough:
            EMPTY.write(out)
            return
        index = inputs["index"]
        seed = derive_seed(settings.seed, "committee", index) if index else settings.seed
        super().run(out, settings.model_copy(update={"seed": seed}), **inputs)


class RunRoundMd(FanOutOP):
    """NPT molecular dynamics with the fine-tuned model, from one perturbed cell at one temperature."""

    image = "deepmd"
    resource_class = "md"
    artifacts = ("prepared", "models*")
    keyed_by: ClassVar = {"prepared": ("tasks/task.{index:03d}",)}
    settings_class = TaskSettings

    def run(self, out: Path, settings: TaskSettings, **inputs: Any) -> None:
        """Write an MD folder; a run that explodes leaves the frames before the explosion."""
        models = trained(inputs["models"])
        if not models:
            EMPTY.write(out)
            return
        task = inputs["prepared"] / "tasks" / f"task.{inputs['index']:03d}"
        run_teacher_md(task, frozen_model(models[0]), settings.type_map, out, min_frames=1)


class SelectRound(TaskOP):
    """Frames of the MD of a round that are to be labelled."""

    image = "deepmd"
    resource_class = "infer"
    artifacts = ("trajectories*", "models*", "downstream")
    settings_class = SelectRoundSettings

    def run(self, out: Path, settings: SelectRoundSettings, **inputs: Any) -> None:
        """Write ``tasks/`` and ``selection.json``."""
        shutil.rmtree(out / "tasks", ignore_errors=True)
        models = trained(inputs["models"])
        if not models:  # an earlier round was good enough
            how = settings.explore.selection
            Selection(selection=how, runs=0, runs_exploded=0, candidates=0, selected=0).write(out)
            return
        before = RoundData.of(inputs["downstream"])
        runs = require_success(results(inputs["trajectories"]), 0.0, "MD with the fine-tuned model", usable=False)
        type_map, training = before.training(settings.frames)
        select_frames(
            candidates_of([folder for folder, _ in runs], settings.round), [frozen_model(one) for one in models],
            before.dataset, training, type_map, settings.explore, derive_seed(settings.seed, "round", settings.round),
            out,
        )


class CollectRound(TaskOP):
    """The labels of a round: the errors of the model that has not seen them, and the data of the next round."""

    image = "deepmd"
    resource_class = "infer"
    artifacts = ("selected", "labelled*", "models*", "downstream")
    settings_class = CollectRoundSettings

    def run(self, out: Path, settings: CollectRoundSettings, **inputs: Any) -> None:
        """Write ``dataset/`` and ``rounds.json``."""
        before, models = RoundData.of(inputs["downstream"]), trained(inputs["models"])
        if not models:
            pass_on(before, out)
            return
        collect_round(
            before, models[0] / "model.pt", inputs["selected"], results(inputs["labelled"]), frames=settings.frames,
            max_force_eV_A=settings.explore.max_force_eV_A, enough_meV_A=settings.explore.enough_force_mae_meV_A,
            min_success_ratio=settings.min_success_ratio, out=out,
        )


def trained(groups: list[Path]) -> list[Path]:
    """Return the models of a round; none if an earlier round was good enough.

    Raises
    ------
    FatalError
        A training failed.
    """
    folders = results(groups)
    require_success(folders, 1.0, "fine-tuning of the round")
    return [folder for folder in folders if TaskStatus.of_folder(folder).status != "empty"]
