"""OPs of distillation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ops.data.paths import dataset_of
from ops.distillation.label import label_with_teacher
from ops.distillation.settings import DistillSettings
from ops.md.run import prepare_teacher_md, run_teacher_md
from ops.seeds import derive_seed
from ops.structures.perturb import perturb_cells
from ops.success import require_success
from ops.task import FanOutOP, TaskOP, results
from ops.training.op import preset_input, teacher_of


class PrepareTeacher(TaskOP):
    """Perturbed cells for the teacher, and a task for each of them at each temperature."""

    artifacts = ("cells",)

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write ``cells/`` and ``tasks/``."""
        distill = DistillSettings(**settings["distill"])
        seed = derive_seed(settings["seed"], "distill")
        perturb_cells(inputs["cells"], distill.perturb, seed, out / "cells")
        prepare_teacher_md(out / "cells", distill, seed, out / "tasks")


class RunTeacherMd(FanOutOP):
    """NPT molecular dynamics with the teacher, from one perturbed cell at one temperature."""

    artifacts = ("prepared", "variants*?", "pretrained")

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write an MD folder."""
        teacher = teacher_of(inputs["variants"], inputs["pretrained"])
        task = inputs["prepared"] / "tasks" / f"task.{inputs['index']:03d}"
        run_teacher_md(task, teacher / "model.pth", settings["type_map"], out)


class LabelWithTeacher(TaskOP):
    """Perturbed frames of the teacher trajectories, labelled by the teacher, without extreme forces."""

    artifacts = ("trajectories*", "variants*?", "pretrained")

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write ``dataset/`` and ``filter.json``."""
        folders = require_success(results(inputs["trajectories"]), settings["min_success_ratio"], "teacher MD")
        teacher = teacher_of(inputs["variants"], inputs["pretrained"])
        label_with_teacher(
            teacher / "model.pth", folders, settings["type_map"], DistillSettings(**settings["distill"]),
            settings["seed"], out,
        )


class TrainStudent(TaskOP):
    """The student: train, freeze, compress, compare the three."""

    artifacts = ("distilled",)

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write a model folder with ``model_compressed.pth``."""
        from ops.training.train import train_model

        seed = derive_seed(settings["seed"], "student")
        data = preset_input(settings["student"], settings["type_map"], dataset_of(inputs["distilled"]), seed)
        train_model(data, out, preset=settings["student"]["preset"], seed=seed)


class EvaluateStudent(TaskOP):
    """Errors of the student against its teacher and against held-out labels."""

    artifacts = ("student", "distilled", "labelled?")

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write a folder with ``evaluation.json`` for each comparison."""
        from ops.training.evaluate import evaluate

        model = deployed_model(inputs["student"])
        evaluate(model, dataset_of(inputs["distilled"]), "test", out, "student_vs_teacher")
        if inputs["labelled"]:
            evaluate(model, dataset_of(inputs["labelled"]), "test", out, "student")


def deployed_model(student: Path) -> Path:
    """Return the file that production MD runs with: the compressed model where the network can be compressed."""
    compressed = student / "model_compressed.pth"
    return compressed if compressed.is_file() else student / "model.pth"
