"""What a project asks for, stage by stage: labels, training steps and molecular dynamics; largest numbers for loops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dpa_sse.ops.training.settings import TrainSettings
from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.config.targets import distilling_projects, target_projects


@dataclass(frozen=True)
class Amounts:
    """What a stage asks for, at most.

    Attributes
    ----------
    stage : str
    labels : int
        Calculations with the labeler: steps of its molecular dynamics and single points.
    frames : int
        Labelled frames that they give.
    training_steps : int
        Of all its networks.
    md_ns : float
        Molecular dynamics with models.
    """

    stage: str
    labels: int = 0
    frames: int = 0
    training_steps: int = 0
    md_ns: float = 0.0


def amounts(project: Project, base_dir: Path) -> list[Amounts]:
    """Return the amounts of every stage that has any, in the order of the DAG."""
    found = [
        *_data(project), *_thinning(project, base_dir), *_learning(project, base_dir), *_pretraining(project, base_dir)
    ]
    each = target_projects(project).values() if project.targets else [project]
    distilling = distilling_projects(project).values() if project.targets else [project]
    own = [one for compound in each for one in _finetuning(compound)]
    own += [one for compound in distilling for one in _distillation(compound, base_dir)]
    own += [one for compound in each for one in _production(compound)]
    found += [
        replace(total([one for one in own if one.stage == stage]), stage=stage)
        for stage in dict.fromkeys(one.stage for one in own)
    ]
    return [one for one in found if one.labels or one.training_steps or one.md_ns]


def total(found: list[Amounts]) -> Amounts:
    """Return the sum over all stages."""
    return Amounts(
        "in all", sum(one.labels for one in found), sum(one.frames for one in found),
        sum(one.training_steps for one in found), sum(one.md_ns for one in found),
    )


def amount_rows(found: list[Amounts]) -> list[dict[str, str]]:
    """Return the amounts as text, the sum last."""
    def row(one: Amounts) -> dict[str, str]:
        return {
            "stage": one.stage, "labels": f"{one.labels}" if one.labels else "",
            "frames": f"{one.frames}" if one.frames else "",
            "training steps": f"{one.training_steps}" if one.training_steps else "",
            "MD (ns)": f"{one.md_ns:.3g}" if one.md_ns else "",
        }
    return [row(one) for one in [*found, total(found)]]


def as_json(found: list[Amounts]) -> list[dict[str, str | int | float]]:
    """Return the amounts for programs."""
    return [asdict(one) for one in found]


def _data(project: Project) -> Iterator[Amounts]:
    if project.labelled_systems:
        runs, aimd = len(project.systems) * project.perturb.count, project.aimd
        yield Amounts("02-seed", runs * (aimd.steps + 1), runs * (aimd.steps // aimd.sample_every + 1))


def _thinning(project: Project, base_dir: Path) -> Iterator[Amounts]:
    if simplify := project.simplify:
        steps = simplify.max_iterations * simplify.models * _steps(simplify.train, base_dir)
        yield Amounts("02-simplify", training_steps=steps)


def _learning(project: Project, base_dir: Path) -> Iterator[Amounts]:
    learning = project.concurrent_learning
    if learning is None:
        return
    iterations = sum(stage.max_iterations for stage in learning.stages)
    first = sum(_steps(member, base_dir) for member in learning.members)
    later = learning.models * learning.reuse_steps if learning.reuse_models and learning.reuse_steps else first
    explored = sum(
        stage.max_iterations * len(project.systems) * len(stage.state_points()) * stage.cells_per_system * stage.steps
        for stage in learning.stages
    )
    sane = iterations * learning.models * len(project.systems) * learning.sanity_steps
    labels = iterations * learning.max_selected
    yield Amounts(
        "03-concurrent-learning", labels, labels, first + (iterations - 1) * later,
        (explored + sane) * learning.timestep_fs * 1e-6,
    )


def _pretraining(project: Project, base_dir: Path) -> Iterator[Amounts]:
    if project.pretrain and project.pretrain.model is None:
        yield Amounts("04-pretrain", training_steps=_steps(project.pretrain, base_dir))


def _finetuning(project: Project) -> Iterator[Amounts]:
    labels, frames, steps, md_ns = 0, 0, 0, 0.0
    if project.downstream and project.labels_downstream:
        aimd, runs = project.downstream.aimd, len(project.new_systems) * project.downstream.perturb.count
        labels, frames = runs * (aimd.steps + 1), runs * (aimd.steps // aimd.sample_every + 1)
    if project.finetune:
        finetune, explore = project.finetune, project.finetune.explore
        models = explore.models if explore.selection == "committee" else 1
        steps = finetune.steps * (finetune.rounds * models + (2 if finetune.from_scratch else 1))
        share = sum(finetune.curve) / (finetune.frames + finetune.rounds * explore.frames)
        steps += round(2 * finetune.curve_seeds * share * finetune.steps)
        labels, frames = labels + finetune.rounds * explore.frames, frames + finetune.rounds * explore.frames
        md_ns = finetune.rounds * project.round_runs * explore.steps * explore.timestep_fs * 1e-6
    yield Amounts("05-finetune", labels, frames, steps, md_ns)


def _distillation(project: Project, base_dir: Path) -> Iterator[Amounts]:
    distill = project.distilled
    if distill is None:
        return
    runs, own = distill.n_teacher_runs(len(project.target_systems)), distill.self_exploration
    steps = _steps(distill.student, base_dir)
    md_steps = distill.steps + (own.steps if own else 0)
    first = (own.training_steps or steps) if own else 0
    yield Amounts("06-distill", training_steps=steps + first, md_ns=runs * md_steps * distill.timestep_fs * 1e-6)


def _production(project: Project) -> Iterator[Amounts]:
    md, check = project.md, project.validate
    if md is None:
        return
    runs = md.n_runs(len(project.target_systems))
    checked = check.production_labels if project.pretrain else 0
    rounds = check.rounds if checked else 0
    short = min(check.round_ps or md.production_ps, md.production_ps)
    length_ps = rounds * (md.equilibration_ps + short) + md.equilibration_ps + md.production_ps
    yield Amounts("07-md", md_ns=runs * length_ps * 1e-3)
    yield Amounts("07-self-check", (rounds + 1) * checked, (rounds + 1) * checked)


def _steps(training: TrainSettings, base_dir: Path) -> int:
    """Return the steps of a training: those of the settings, else of the preset (0 where it counts epochs)."""
    from dpa_sse.ops.training.presets import load_preset

    preset = load_preset(training.preset, base_dir).with_overrides(training.overrides)
    return int(training.steps or preset.section("training").get("numb_steps") or 0)
