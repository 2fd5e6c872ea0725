"""How long each step of a project takes, from measured rates: labels, training steps and MD steps per second.

The rates were measured on one core of a desktop processor, one thread per task, with cells of 12 to 52 atoms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.labelers.settings import AimdSettings, AseSettings, Cp2kSettings, LabelerSettings
from dpa_sse.ops.training.settings import FinetuneSettings, PretrainSettings, TrainSettings
from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.config.targets import distilling_projects, target_projects


class Rate(NamedTuple):
    """Seconds of one core: to start, for each unit of work, and for each unit and atom."""

    start: float
    unit: float
    atom: float
    measured: bool = True

    def task(self, units: float, atoms: float) -> float:
        """Return the seconds of a task, without its start."""
        return units * (self.unit + self.atom * atoms)


LABELS = {
    "mock": Rate(1.0, 0.0, 1.0e-5), "chgnet": Rate(5.0, 0.05, 0.003), "sevenn": Rate(5.0, 0.03, 0.004),
    "gfn1-xtb": Rate(1.0, 0.5, 0.05),
}
"""Per single point or MD step, by the labeler."""
UNKNOWN_LABELS = Rate(1.0, 0.0, 1.0, measured=False)
TRAINING = {
    "se_e2_a-tiny": Rate(7.0, 0.02, 0.00025), "dpa2-tiny": Rate(8.0, 0.04, 0.0009),
    "se_e2_a": Rate(9.0, 0.02, 0.001), "dpa2-paper": Rate(15.0, 0.2, 0.054), "dpa2-paper-b": Rate(15.0, 0.2, 0.054),
}
"""Per training step, by the preset; atoms are those of a batch."""
UNKNOWN_TRAINING = Rate(9.0, 0.03, 0.0012, measured=False)
DYNAMICS = {
    "se_e2_a-tiny": Rate(3.0, 0.001, 0.0001), "dpa2-tiny": Rate(4.0, 0.01, 0.0004), "se_e2_a": Rate(4.0, 0.002, 0.0004),
    "dpa2-paper": Rate(10.0, 0.1, 0.028), "dpa2-paper-b": Rate(10.0, 0.1, 0.028),
}
"""Per MD step, by the network; that of the paper from its training, in the ratio of `dpa2-tiny`."""
UNKNOWN_DYNAMICS = Rate(4.0, 0.002, 0.0004, measured=False)
STEP_S = 1.5
"""The engine, between two steps."""
INFERENCE = 0.8
"""Labels of a model on a frame, in MD steps with it."""


@dataclass(frozen=True)
class StepWork:
    """What a step of the DAG has to do.

    Attributes
    ----------
    stage, step : str
    kind : str
        Steps of the same kind have the same rate: ``labels by chgnet``, ``training of dpa2-tiny``, ...
    task_s : float
        Seconds of a task.
    start_s : float
        Seconds of the start of a process; those of a group of tasks share it.
    tasks : int
        In an iteration.
    iterations : int
    fan_out : bool
        Its tasks run at the same time; a single task may use all cores.
    grouped : bool
        Tasks share processes.
    measured : bool
        Whether there is a rate for its kind.
    """

    stage: str
    step: str
    kind: str
    task_s: float
    start_s: float = 0.0
    tasks: int = 1
    iterations: int = 1
    fan_out: bool = False
    grouped: bool = False
    measured: bool = True

    def mean_task_s(self, workers: int) -> float:
        """Return the seconds of a task, with its share of the start of a process."""
        shared = min(workers, self.tasks) / self.tasks if self.grouped else 1.0
        return self.task_s + self.start_s * shared


def project_work(project: Project, base_dir: Path, atoms: Mapping[str, int]) -> list[StepWork]:
    """Return the work of all steps, at most: every iteration and round.

    Parameters
    ----------
    project : Project
    base_dir : Path
        Folder of the configuration.
    atoms : mapping
        Number of atoms in the cell of each system.
    """
    found = _Rates(project, base_dir, atoms)
    base = [*_data(found), *_thinning(found), *_learning(found), *_pretraining(found)]
    report = StepWork("09-report", "report", "report", 8.0 * max(1, len(project.chosen_targets)))
    if not project.targets:
        return [*base, *_finetuning(found), *_distillation(found), *_production(found), report]
    each = [_Rates(one, base_dir, atoms) for one in target_projects(project).values()]
    distilling = [_Rates(one, base_dir, atoms) for one in distilling_projects(project).values()]
    own = [
        step for rates, parts in ((each, _finetuning), (distilling, _distillation), (each, _production))
        for one in rates for step in parts(one)
    ]
    return [*base, *_joined(own), report]


def _joined(steps: Sequence[StepWork]) -> list[StepWork]:
    """Return the steps of all targets: equal ones are one fan-out."""
    groups: dict[tuple[str, str, str], list[StepWork]] = {}
    for step in steps:
        groups.setdefault((step.stage, step.step, step.kind), []).append(step)
    found = []
    for group in groups.values():
        tasks = sum(one.tasks for one in group)
        mean = sum(one.tasks * one.task_s for one in group) / tasks
        found.append(replace(group[0], tasks=tasks, task_s=mean, fan_out=tasks > 1))
    return found


class _Rates:
    """A project with the rates of its labeler and networks."""

    def __init__(self, project: Project, base_dir: Path, atoms: Mapping[str, int]) -> None:
        self.project, self.base_dir = project, base_dir
        self.base_atoms = _mean([atoms[one.name] for one in project.systems if one.name in atoms])
        self.target_atoms = _mean([atoms[one.name] for one in project.target_systems if one.name in atoms])
        self.label_kind, self.label = label_rate(project.labeler)
        self.teacher = project.pretrain.preset if project.pretrain else ""

    def labels(self, stage: str, step: str, tasks: int, calls: float, atoms: float, iterations: int = 1) -> StepWork:
        return StepWork(
            stage, step, f"labels by {self.label_kind}", self.label.task(calls, atoms), self.label.start, tasks,
            iterations, fan_out=True, grouped=True, measured=self.label.measured,
        )

    def training(
        self, stage: str, step: str, settings: TrainSettings, steps: float, atoms: float, tasks: int = 1,
        iterations: int = 1,
    ) -> StepWork:
        rate = TRAINING.get(settings.preset, UNKNOWN_TRAINING)
        batch = self._batch_atoms(settings, atoms)
        return StepWork(
            stage, step, f"training of {settings.preset}", rate.task(steps, batch), rate.start, tasks, iterations,
            fan_out=tasks > 1, measured=rate.measured,
        )

    def dynamics(
        self, stage: str, step: str, network: str, steps: float, atoms: float, tasks: int = 1, iterations: int = 1
    ) -> StepWork:
        rate = DYNAMICS.get(network, UNKNOWN_DYNAMICS)
        return StepWork(
            stage, step, f"MD with {network or 'your model'}", rate.task(steps, atoms), rate.start, tasks, iterations,
            fan_out=True, measured=rate.measured,
        )

    def inference(self, stage: str, step: str, frames: float, atoms: float, iterations: int = 1) -> StepWork:
        """Return the work of a step in which the teacher labels frames."""
        rate = DYNAMICS.get(self.teacher, UNKNOWN_DYNAMICS)
        return StepWork(
            stage, step, f"labels by {self.teacher}", rate.task(INFERENCE * frames, atoms), rate.start,
            iterations=iterations, measured=rate.measured,
        )

    def steps_of(self, settings: TrainSettings) -> int:
        """Return the steps of a training: those of the settings, else of the preset (0 where it counts epochs)."""
        from dpa_sse.ops.training.presets import load_preset

        if settings.steps:
            return settings.steps
        preset = load_preset(settings.preset, self.base_dir).with_overrides(settings.overrides)
        return int(preset.section("training").get("numb_steps") or 0)

    def _batch_atoms(self, settings: TrainSettings, atoms: float) -> float:
        """Return the atoms of a batch: that of the settings, else of the preset; ``auto:N`` asks for N atoms."""
        from dpa_sse.ops.training.presets import load_preset

        batch = settings.batch_size
        if batch is None:
            try:
                data = load_preset(settings.preset, self.base_dir).section("training")
            except InputError:
                return atoms
            batch = (data.get("training_data") or {}).get("batch_size", 1)
        if isinstance(batch, str):
            wanted = batch.partition(":")[2] or "32"
            return atoms * math.ceil(float(wanted) / atoms) if wanted.isdigit() else atoms  # whole frames
        return atoms * batch if isinstance(batch, int) else atoms


def label_rate(labeler: LabelerSettings) -> tuple[str, Rate]:
    """Return the name of a labeler, and its rate."""
    if isinstance(labeler, AseSettings):
        name = "sevenn" if "sevenn" in labeler.calculator else "chgnet" if "chgnet" in labeler.calculator else ""
        return name or labeler.calculator, LABELS.get(name, UNKNOWN_LABELS)
    if isinstance(labeler, Cp2kSettings) and labeler.method == "gfn1-xtb":
        return labeler.method, LABELS[labeler.method]
    return labeler.kind, LABELS.get(labeler.kind, UNKNOWN_LABELS)


def _mean(counts: list[int]) -> float:
    return sum(counts) / len(counts) if counts else 50.0


def _aimd(rates: _Rates, stage: str, step: str, runs: int, aimd: AimdSettings, atoms: float) -> StepWork:
    return rates.labels(stage, step, runs, aimd.steps + 1, atoms)


def _data(rates: _Rates) -> Iterator[StepWork]:
    project = rates.project
    if project.labelled_systems:
        runs = len(project.systems) * project.perturb.count
        yield StepWork("01-perturb", "perturb", "cells", 0.3)
        yield _aimd(rates, "02-seed", "aimd", runs, project.aimd, rates.base_atoms)
        yield StepWork("02-seed", "collect", "data", 0.6)


def _thinning(rates: _Rates) -> Iterator[StepWork]:
    simplify, stage = rates.project.simplify, "02-simplify"
    if simplify is None:
        return
    count, steps = simplify.max_iterations, rates.steps_of(simplify.train)
    yield rates.training(stage, "simplify-train", simplify.train, steps, rates.base_atoms, simplify.models, count)
    yield StepWork(stage, "simplify-select", "errors", 10.0, iterations=count)


def _of_committee(steps: Sequence[StepWork]) -> StepWork:
    """Return the mean of the same step with each model of a committee."""
    what, _, first = steps[0].kind.rpartition(" ")
    others = [step.kind.rpartition(" ")[2] for step in steps]
    return replace(
        steps[0], kind=f"{what} {' and '.join(dict.fromkeys([first, *others]))}",
        task_s=sum(step.task_s for step in steps) / len(steps), start_s=max(step.start_s for step in steps),
        measured=all(step.measured for step in steps),
    )


def _learning(rates: _Rates) -> Iterator[StepWork]:
    learning, stage = rates.project.concurrent_learning, "03-concurrent-learning"
    if learning is None:
        return
    n, systems, members = rates.base_atoms, len(rates.project.systems), learning.members
    count = sum(one.max_iterations for one in learning.stages)
    trained = []
    for member in members:
        first = rates.steps_of(member)
        later = learning.reuse_steps if learning.reuse_models and learning.reuse_steps else first
        steps = (first + (count - 1) * later) / count
        trained.append(rates.training(stage, "train", member, steps, n, learning.models, count))
    yield _of_committee(trained)

    def dynamics(step: str, length: float, tasks: int) -> StepWork:
        return _of_committee([rates.dynamics(stage, step, one.preset, length, n, tasks, count) for one in members])

    yield dynamics("assemble", learning.sanity_steps, systems * learning.models)
    runs = max(systems * len(one.state_points()) * one.cells_per_system for one in learning.stages)
    length = sum(one.max_iterations * one.steps for one in learning.stages) / count
    yield dynamics("explore", length * learning.models, runs)
    yield rates.labels(stage, "label", learning.max_selected, 1, n, count)
    yield StepWork(stage, "select", "data", 0.6, iterations=count)
    yield StepWork(stage, "merge", "data", 0.7, iterations=count)


def _pretraining(rates: _Rates) -> Iterator[StepWork]:
    pretrain = rates.project.pretrain
    if pretrain and pretrain.model is None:
        yield rates.training("04-pretrain", "pretrain", pretrain, rates.steps_of(pretrain), rates.base_atoms)
    elif pretrain:
        yield StepWork("04-pretrain", "pretrain", "freezing", 12.0)


def _finetuning(rates: _Rates) -> Iterator[StepWork]:
    project, pretrain, stage = rates.project, rates.project.pretrain, "05-finetune"
    if project.downstream and project.labels_downstream:
        runs = len(project.new_systems) * project.downstream.perturb.count
        yield _aimd(rates, stage, "aimd-new", runs, project.downstream.aimd, rates.target_atoms)
    if project.finetune and pretrain:
        yield from _rounds(rates, project.finetune, pretrain)
        variants = 2 if project.finetune.from_scratch else 1
        for frames in project.finetune.curve:
            share = frames / (project.finetune.frames + project.finetune.rounds * project.finetune.explore.frames)
            steps, models = round(share * project.finetune.steps), 2 * project.finetune.curve_seeds
            yield rates.training(stage, "curve", pretrain, steps, rates.target_atoms, models)
        yield rates.training(stage, "finetune", pretrain, project.finetune.steps, rates.target_atoms, variants)
    if pretrain:
        yield StepWork(stage if project.finetune else "04-pretrain", "evaluate", "errors", 18.0)


def _rounds(rates: _Rates, finetune: FinetuneSettings, pretrain: PretrainSettings) -> Iterator[StepWork]:
    explore, stage, n = finetune.explore, "05-finetune", rates.target_atoms
    models = explore.models if explore.selection == "committee" else 1
    for number in range(1, finetune.rounds + 1):
        yield rates.training(stage, f"round{number}-train", pretrain, finetune.steps, n, models)
        yield rates.dynamics(stage, f"round{number}-md", rates.teacher, explore.steps, n, rates.project.round_runs)
        yield StepWork(stage, f"round{number}-select", "errors", 10.0)
        yield rates.labels(stage, f"round{number}-label", explore.frames, 1, n)
        yield StepWork(stage, f"round{number}-collect", "errors", 10.0)


def _distillation(rates: _Rates) -> Iterator[StepWork]:
    distill, stage, n = rates.project.distilled, "06-distill", rates.target_atoms
    if rates.project.simulates_only:
        yield StepWork(stage, "student", "freezing", 6.0)
    if distill is None:
        return
    runs, own = distill.n_teacher_runs(len(rates.project.target_systems)), distill.self_exploration
    steps = rates.steps_of(distill.student)
    yield rates.dynamics(stage, "teacher-md", rates.teacher, distill.steps, n, runs)
    cells = distill.labelled_cells * len(rates.project.target_systems)
    yield rates.inference(stage, "teacher-labels", runs * (distill.steps // distill.sample_every) + cells, n)
    if own:
        yield rates.training(stage, "first-student", distill.student, own.training_steps or steps, n)
        yield rates.dynamics(stage, "self-exploration", distill.student.preset, own.steps, n, runs)
        yield rates.inference(stage, "self-exploration-labels", runs * own.frames, n)
    yield rates.training(stage, "student", distill.student, steps, n)
    yield StepWork(stage, "evaluate-student", "errors", 5.0)
    if rates.project.validate.gates:
        yield StepWork(stage, "gates", "gates", 60.0)


def _production(rates: _Rates) -> Iterator[StepWork]:
    project, md, check = rates.project, rates.project.md, rates.project.validate
    if md is None:
        return
    count = md.n_runs(len(project.target_systems))
    n = rates.target_atoms * md.supercell[0] * md.supercell[1] * md.supercell[2]
    checked = check.production_labels if project.pretrain else 0
    rounds = check.rounds if checked else 0
    short = min(check.round_ps or md.production_ps, md.production_ps)
    length = md.equilibration_ps + (rounds * short + md.production_ps) / (rounds + 1)
    network = project.distilled.student.preset if project.distilled else rates.teacher if md.with_teacher else ""
    yield rates.dynamics("07-md", "md", network, length * 1000 / md.timestep_fs, n, count, rounds + 1)
    if checked:
        stage = "07-self-check"
        yield rates.labels(stage, "label-production", checked, 1, n, rounds + 1)
        yield StepWork(stage, "self-check", "errors", 6.0, iterations=rounds + 1)
    if rounds and project.distill and project.pretrain:
        student, atoms = project.distill.student, rates.target_atoms
        teacher = check.teacher_steps or (project.finetune.steps if project.finetune else 0) or (
            rates.steps_of(project.pretrain) // 5
        )
        yield rates.training("07-md", "correct-teacher", project.pretrain, teacher, atoms, iterations=rounds)
        frames = rounds * count * check.frames_per_run
        yield rates.training(
            "07-md", "correct-student", student, check.student_steps or rates.steps_of(student), atoms,
            iterations=rounds,
        )
        yield rates.inference("07-md", "correct-student", frames / rounds, n, rounds)
    yield StepWork("08-conductivity", "conductivity", "analysis", 4.0 + 2.0 * count)
