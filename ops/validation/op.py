"""OPs of the self-check of production and of the loop back to labels."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar, Literal

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.npy import split_systems
from dpa_sse.ops.data.paths import DATASET, dataset_of
from dpa_sse.ops.data.results import gather_frames
from dpa_sse.ops.distillation.settings import DistillSettings
from dpa_sse.ops.distillation.teacher_md import teacher_of
from dpa_sse.ops.md.op import RunMd
from dpa_sse.ops.md.prepare import prepare_md
from dpa_sse.ops.md.settings import MdSettings
from dpa_sse.ops.potential.folder import copy_model, frozen_model, model_file
from dpa_sse.ops.results.gates import Tier
from dpa_sse.ops.results.self_check import SelfCheck
from dpa_sse.ops.runtime.groups import results
from dpa_sse.ops.runtime.settings import TaskSettings
from dpa_sse.ops.runtime.task import TaskOP
from dpa_sse.ops.structures.extxyz import read_frames, write_frames
from dpa_sse.ops.training.settings import ResolvedTraining
from dpa_sse.ops.validation.choose import choose_frames
from dpa_sse.ops.validation.improve import (
    PRODUCTION,
    Correction,
    add_production_frames,
    correct_teacher,
    label_for_student,
    train_next_student,
    visited_frames,
)
from dpa_sse.ops.validation.judge import Evidence, self_check
from dpa_sse.ops.validation.rounds import md_of_round
from dpa_sse.ops.validation.settings import ValidateSettings

TEACHER = "teacher"
STUDENT = "student"
VISITED = "visited.extxyz"


class ChooseFramesSettings(TaskSettings):
    """Settings of :class:`ChooseFrames`."""

    check: ValidateSettings


class SelfCheckSettings(ChooseFramesSettings):
    """Settings of :class:`CheckProduction`."""


class CorrectTeacherSettings(TaskSettings):
    """Settings of :class:`CorrectTeacher`: the schedule of its training, with the steps of a round."""

    train: ResolvedTraining


class CorrectStudentSettings(TaskSettings):
    """Settings of :class:`CorrectStudent`: the schedule of its training, with the steps of a round."""

    distill: DistillSettings
    student: ResolvedTraining


class PrepareMdOfRoundSettings(ChooseFramesSettings):
    """Settings of :class:`PrepareMdOfRound`."""

    md: MdSettings


class GateStudentSettings(TaskSettings):
    """Settings of :class:`GateStudent`: which gates, what a failure means, and where the student is to be used."""

    tier: Tier
    on_fail: Literal["stop", "warn"]
    temperature_K: float
    timestep_fs: float
    mobile: list[str]


class GateStudent(TaskOP):
    """The gates: a verdict on the student, against its teacher, before the production MD."""

    image = "deepmd"
    resource_class = "infer"
    artifacts = ("student", "variants*?", "pretrained", "teacher_data", "student_data", "cells")
    returns: ClassVar[dict[str, type]] = {"doubtful": bool}
    version = 2
    settings_class = GateStudentSettings

    def run(self, out: Path, settings: GateStudentSettings, **inputs: Any) -> dict[str, bool]:
        """Write ``gates.json`` and ``tables/``."""
        from dpa_sse.ops.validation.gates.student import Distilled, is_doubtful, judge_student

        teacher = teacher_of(inputs["variants"], inputs["pretrained"])
        found = judge_student(
            Distilled(
                student=inputs["student"], teacher=frozen_model(teacher), data=dataset_of(inputs["teacher_data"]),
                training=dataset_of(inputs["student_data"]), cells=inputs["cells"],
            ),
            tier=settings.tier, temperature_K=settings.temperature_K, timestep_fs=settings.timestep_fs,
            mobile=settings.mobile, seed=derive_seed(settings.seed, "gates"), stop=settings.on_fail == "stop", out=out,
        )
        return {"doubtful": is_doubtful(found)}


class AskPerson(TaskOP):
    """Waits for a person where the gates have found something: ends the run, until it is resumed."""

    artifacts = ("gates",)

    def run(self, out: Path, settings: Any, **inputs: Any) -> None:
        """Write nothing."""
        from dpa_sse.ops.validation.gates.student import ask_person

        del out, settings
        ask_person(inputs["gates"], env.RUN.read())


class PrepareMdOfRound(TaskOP):
    """Task folders of the production runs of a round."""

    artifacts = ("cells", "state")
    parameters = ("iteration",)
    settings_class = PrepareMdOfRoundSettings

    def run(self, out: Path, settings: PrepareMdOfRoundSettings, **inputs: Any) -> None:
        """Write ``task.000`` ..."""
        iteration = inputs["iteration"]
        earlier = SelfCheck.read(inputs["state"]) if iteration else None
        md = md_of_round(settings.md, settings.check, iteration, earlier)
        corrections = earlier.corrections + earlier.beyond if earlier else 0
        # Other models get other velocities, or their first frames would be those that they have learned.
        seed = derive_seed(settings.seed, "corrected", corrections) if corrections else settings.seed
        prepare_md(inputs["cells"], md, seed, out)


class RunMdOfRound(RunMd):
    """Production MD inside the loop back to labels."""

    parameters = ("iteration",)


class ChooseFrames(TaskOP):
    """Frames of the production runs to label."""

    artifacts = ("trajectories*",)
    parameters = ("iteration",)
    settings_class = ChooseFramesSettings

    def run(self, out: Path, settings: ChooseFramesSettings, **inputs: Any) -> None:
        """Write ``tasks/`` with one frame each."""
        shutil.rmtree(out / "tasks", ignore_errors=True)
        choose_frames(results(inputs["trajectories"]), settings.check.production_labels, out / "tasks")


class CheckProduction(TaskOP):
    """The model of the MD and its teacher against the labels of production frames, and the verdicts.

    With ``validate.rounds``, the result also holds what the next round starts from: models, student's data, frames.
    """

    image = "deepmd"
    resource_class = "infer"
    artifacts = (
        "trajectories*", "labelled*", "student", "variants*?", "pretrained", "teacher?", "downstream?",
        "training_data?", "earlier?",
    )
    parameters = ("iteration",)
    returns: ClassVar[dict[str, type]] = {"finished": bool, "next_iteration": int}
    settings_class = SelfCheckSettings

    def run(self, out: Path, settings: SelfCheckSettings, **inputs: Any) -> dict[str, int]:
        """Write ``self_check.json``; with rounds, ``production.extxyz``, ``visited.extxyz``, and both models."""
        from dpa_sse.ops.potential.inference import open_model

        check, iteration = settings.check, inputs["iteration"]
        teacher = inputs["teacher"] or teacher_of(inputs["variants"], inputs["pretrained"])
        folders, labelled = results(inputs["trajectories"]), gather_frames(results(inputs["labelled"]), 0.0)
        found = self_check(
            Evidence(
                model=open_model(model_file(inputs["student"])), teacher=open_model(frozen_model(teacher)),
                labelled=labelled,
                datasets=[dataset_of(inputs[name]) for name in ("downstream", "training_data") if inputs[name]],
                type_map=settings.type_map,
            ),
            folders, check, iteration, SelfCheck.read_if_there(inputs["earlier"]) if iteration else None,
        )
        if check.rounds:
            add_production_frames(inputs["earlier"] if iteration else None, labelled.frames, out)
            write_frames(out / VISITED, visited_frames(folders, check.frames_per_run))
            copy_model(teacher, out / TEACHER)
            copy_model(inputs["student"], out / STUDENT)
        found.write(out)
        return {"finished": found.finished, "next_iteration": iteration + 1}


class CorrectTeacher(TaskOP):
    """The teacher, trained on with the labelled production frames; as it is in the first round or if good enough."""

    image = "deepmd"
    resource_class = "train"
    artifacts = ("state", "variants*?", "pretrained", "training_data?")
    parameters = ("iteration",)
    settings_class = CorrectTeacherSettings

    def run(self, out: Path, settings: CorrectTeacherSettings, **inputs: Any) -> None:
        """Write a model folder."""
        original, iteration = teacher_of(inputs["variants"], inputs["pretrained"]), inputs["iteration"]
        if not iteration:
            copy_model(original, out)
            return
        if not SelfCheck.read(inputs["state"]).beyond:  # good enough: only the full production is missing
            copy_model(inputs["state"] / TEACHER, out)
            return
        own = [original / "data" / name for name in ("new", "replay")]
        systems = [system for folder in own if folder.is_dir() for system in split_systems(folder)]
        if not systems and inputs["training_data"]:
            systems = split_systems(dataset_of(inputs["training_data"]), "train")
        seed = derive_seed(settings.seed, "correct teacher", iteration)
        state = inputs["state"]
        correct_teacher(
            Correction(state / TEACHER, systems, state / PRODUCTION, settings.train, settings.type_map, seed), out
        )


class CorrectStudent(TaskOP):
    """The student, trained on with labels of the corrected teacher; as it is in the first round or if good enough."""

    image = "deepmd"
    resource_class = "train"
    artifacts = ("state", "teacher", "student", "student_data")
    parameters = ("iteration",)
    settings_class = CorrectStudentSettings

    def run(self, out: Path, settings: CorrectStudentSettings, **inputs: Any) -> None:
        """Write a model folder, with the data of the student in ``dataset/``."""
        iteration = inputs["iteration"]
        if not iteration:
            copy_model(inputs["student"], out)
            shutil.copytree(dataset_of(inputs["student_data"]), out / DATASET, dirs_exist_ok=True)
            return
        before = inputs["state"] / STUDENT
        if not SelfCheck.read(inputs["state"]).beyond:
            copy_model(before, out)
            return
        seed = derive_seed(settings.seed, "correct student", iteration)
        label_for_student(
            frozen_model(inputs["teacher"]), before / DATASET, read_frames(inputs["state"] / VISITED),
            settings.distill, settings.type_map, seed, out,
        )
        train_next_student(before, out / DATASET, settings.student, settings.type_map, seed, out)
