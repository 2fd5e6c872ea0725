"""OPs of distillation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.merge import merge_datasets
from dpa_sse.ops.data.npy import split_systems
from dpa_sse.ops.data.paths import DATASET, dataset_of
from dpa_sse.ops.distillation.label import label_with_teacher
from dpa_sse.ops.distillation.settings import DistillSettings, SelfExplorationSettings
from dpa_sse.ops.distillation.teacher_md import prepare_teacher_md, run_teacher_md, teacher_of, write_labelled_cells
from dpa_sse.ops.potential.folder import copy_model, frozen_model, model_file
from dpa_sse.ops.results.distillation import TeacherFilter
from dpa_sse.ops.results.status import require_success
from dpa_sse.ops.runtime.groups import results
from dpa_sse.ops.runtime.settings import FanInSettings, TaskSettings
from dpa_sse.ops.runtime.task import FanOutOP, TaskOP
from dpa_sse.ops.structures.perturb import perturb_cells
from dpa_sse.ops.training.job import FromScratch, InitModel, Start, TrainJob
from dpa_sse.ops.training.presets import dataset_input
from dpa_sse.ops.training.settings import ResolvedTraining
from dpa_sse.ops.training.train import train_model

SELF_EXPLORATION = "self-exploration"
LABELLED_CELLS = "labelled_cells.extxyz"


class PrepareTeacherSettings(TaskSettings):
    """Settings of :class:`PrepareTeacher`."""

    distill: DistillSettings


class LabelSettings(PrepareTeacherSettings, FanInSettings):
    """Settings of :class:`LabelWithTeacher` and :class:`LabelSelfExploration`."""


class TrainStudentSettings(TaskSettings):
    """Settings of :class:`TrainStudent`."""

    student: ResolvedTraining


class PrepareTeacher(TaskOP):
    """Perturbed cells for the teacher, and a task for each of them at each temperature."""

    artifacts = ("cells",)
    settings_class = PrepareTeacherSettings

    def run(self, out: Path, settings: PrepareTeacherSettings, **inputs: Any) -> None:
        """Write ``cells/``, ``tasks/``, ``labelled_cells.extxyz``, and ``self-exploration/`` for the first student."""
        distill = settings.distill
        seed = derive_seed(settings.seed, "distill")
        perturb_cells(inputs["cells"], distill.perturb, seed, out / "cells")
        prepare_teacher_md(out / "cells", distill, seed, out / "tasks")
        if distill.labelled_cells:
            write_labelled_cells(inputs["cells"], distill, derive_seed(seed, "labelled cells"), out / LABELLED_CELLS)
        if distill.self_exploration:
            exploration = self_exploration_md(distill, distill.self_exploration)
            prepare_teacher_md(out / "cells", exploration, derive_seed(seed, "draft"), out / SELF_EXPLORATION)


class RunTeacherMd(FanOutOP):
    """NPT molecular dynamics with the teacher, from one perturbed cell at one temperature."""

    image = "deepmd"
    resource_class = "md"
    artifacts = ("prepared", "variants*?", "pretrained")
    keyed_by: ClassVar = {"prepared": ("tasks/task.{index:03d}",)}
    settings_class = TaskSettings

    def run(self, out: Path, settings: TaskSettings, **inputs: Any) -> None:
        """Write an MD folder."""
        teacher = teacher_of(inputs["variants"], inputs["pretrained"])
        task = inputs["prepared"] / "tasks" / f"task.{inputs['index']:03d}"
        run_teacher_md(task, frozen_model(teacher), settings.type_map, out)


class RunSelfExploration(FanOutOP):
    """NPT molecular dynamics with the first student, which visits configurations that it was not trained on."""

    image = "deepmd"
    resource_class = "md"
    artifacts = ("prepared", "student")
    keyed_by: ClassVar = {"prepared": ("self-exploration/task.{index:03d}",)}
    settings_class = TaskSettings

    def run(self, out: Path, settings: TaskSettings, **inputs: Any) -> None:
        """Write an MD folder; a run that explodes leaves the frames before the explosion."""
        task = inputs["prepared"] / SELF_EXPLORATION / f"task.{inputs['index']:03d}"
        run_teacher_md(task, model_file(inputs["student"]), settings.type_map, out, min_frames=1)


class LabelWithTeacher(TaskOP):
    """Perturbed frames of the teacher trajectories, labelled by the teacher, without extreme forces."""

    image = "deepmd"
    resource_class = "infer"
    artifacts = ("trajectories*", "variants*?", "pretrained", "prepared?")
    settings_class = LabelSettings

    def run(self, out: Path, settings: LabelSettings, **inputs: Any) -> None:
        """Write ``dataset/`` and ``filter.json``; with ``prepared``, its perturbed cells are labelled, too."""
        runs = require_success(
            results(inputs["trajectories"]), settings.min_success_ratio, "teacher MD", count_final=False
        )
        folders = [folder for folder, status in runs if status.usable]
        teacher = teacher_of(inputs["variants"], inputs["pretrained"])
        label_with_teacher(
            frozen_model(teacher), folders, settings.type_map, settings.distill, settings.seed, out,
            cells=inputs["prepared"] / LABELLED_CELLS if inputs["prepared"] else None,
        )


class LabelSelfExploration(TaskOP):
    """The frames of the first student, labelled by the teacher, added to the training data."""

    image = "deepmd"
    resource_class = "infer"
    artifacts = ("teacher_data", "trajectories*", "variants*?", "pretrained")
    settings_class = LabelSettings

    def run(self, out: Path, settings: LabelSettings, **inputs: Any) -> None:
        """Write ``dataset/`` with both, and ``filter.json`` of the new frames."""
        runs = require_success(
            results(inputs["trajectories"]), settings.min_success_ratio, "MD with the first student", usable=False
        )
        folders = [folder for folder, status in runs if status.usable]
        before = dataset_of(inputs["teacher_data"])
        if not folders:  # no run yielded frames
            merge_datasets([before], out / DATASET)
            return
        teacher = teacher_of(inputs["variants"], inputs["pretrained"])
        distill = settings.distill
        assert distill.self_exploration is not None  # noqa: S101  (this step exists only then)
        distill = self_exploration_md(distill, distill.self_exploration)
        label_with_teacher(
            frozen_model(teacher), folders, settings.type_map, distill, settings.seed, out / ".new"
        )
        merge_datasets([before, out / ".new" / DATASET], out / DATASET)
        TeacherFilter.read(out / ".new").write(out)


class TrainStudent(TaskOP):
    """The student: train, freeze, compress, and compare the three files."""

    image = "deepmd"
    resource_class = "train"
    artifacts = ("teacher_data", "first_student?")
    settings_class = TrainStudentSettings

    def run(self, out: Path, settings: TrainStudentSettings, **inputs: Any) -> None:
        """Write a model folder with ``model_compressed.pth``."""
        seed = derive_seed(settings.seed, "student")
        data = dataset_input(settings.student, settings.type_map, dataset_of(inputs["teacher_data"]), seed)
        start: Start = FromScratch()
        if inputs["first_student"]:
            start = InitModel(inputs["first_student"] / "model.pt")
            data = data.with_lower_start_rate()
        job = TrainJob(
            data, start, preset=settings.student.preset, seed=seed, compress=data.compressible,
            parity_systems=split_systems(dataset_of(inputs["teacher_data"]), "test"),  # of MD, unseen in training
        )
        train_model(job, out)


class UseTeacher(TaskOP):
    """The teacher as the model of the production MD, instead of a student."""

    artifacts = ("variants*?", "pretrained")
    settings_class = TaskSettings

    def run(self, out: Path, settings: TaskSettings, **inputs: Any) -> None:
        """Write a model folder."""
        copy_model(teacher_of(inputs["variants"], inputs["pretrained"]), out)


class EvaluateStudent(TaskOP):
    """Errors of the student relative to its teacher and to held-out labels."""

    image = "deepmd"
    resource_class = "infer"
    artifacts = ("student", "teacher_data", "labelled?")
    returns: ClassVar[dict[str, type]] = {"force_mae_meV_A": float}
    version = 2
    settings_class = TaskSettings

    def run(self, out: Path, settings: TaskSettings, **inputs: Any) -> dict[str, float]:
        """Write a folder with ``evaluation.json`` for each comparison."""
        from dpa_sse.ops.training.evaluate import evaluate

        model = model_file(inputs["student"])
        errors = evaluate(model, dataset_of(inputs["teacher_data"]), "test", out, "student_vs_teacher")
        if inputs["labelled"] and split_systems(dataset_of(inputs["labelled"]), "test"):
            errors = evaluate(model, dataset_of(inputs["labelled"]), "test", out, "student")
        return {"force_mae_meV_A": errors.force_mae_meV_A}


def self_exploration_md(distill: DistillSettings, exploration: SelfExplorationSettings) -> DistillSettings:
    """Return the settings of the MD with the first student: its run length and sampling interval."""
    every = max(1, exploration.steps // exploration.frames)
    return distill.model_copy(update={"steps": exploration.steps, "sample_every": every})
