"""Rules that involve several keys or sections; a breach names the key to look at and the keys it depends on.

A rule looks at values only, never at whether a key was given: the configuration is checked again after all defaults
have been written out, and the verdict must be the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.labelers.settings import AseSettings
from dpa_sse.pipeline.config.breach import Breach
from dpa_sse.pipeline.config.learning_rules import learning_rules, learning_trainings
from dpa_sse.pipeline.config.problems import KeyPath

if TYPE_CHECKING:
    from dpa_sse.ops.data.settings import SplitSettings
    from dpa_sse.ops.distillation.settings import DistillSettings
    from dpa_sse.ops.labelers.settings import AimdSettings
    from dpa_sse.ops.structures.settings import PerturbSettings, SystemSettings
    from dpa_sse.ops.training.settings import FinetuneSettings, RoundSettings, TrainSettings
    from dpa_sse.pipeline.config.sections import DownstreamSettings, ProjectSections

MAX_REPETITIONS = 20


def broken_rules(project: ProjectSections) -> list[Breach]:
    """Return all breaches of the rules between sections (empty: the project is consistent)."""
    return [breach for rule in _RULES for breach in rule(project)]


def _is_multiple(value: float, unit: float) -> bool:
    ratio = value / unit
    return math.isclose(ratio, round(ratio), rel_tol=1e-6) and round(ratio) >= 1


def all_systems(project: ProjectSections) -> Iterator[tuple[KeyPath, SystemSettings]]:
    """Yield all systems of a project with their places."""
    for index, system in enumerate(project.systems):
        yield ("systems", index), system
    if project.downstream and project.downstream.system:
        yield ("downstream", "system"), project.downstream.system
    for index, system in enumerate(project.simulate):
        yield ("simulate", index), system
    for number, target in enumerate(project.targets):
        for index, system in enumerate(target.systems):
            yield ("targets", number, "systems", index), system


def _names(project: ProjectSections) -> Iterator[Breach]:
    yield from _unique_names(all_systems(project) if project.downstream else (
        (path, system) for path, system in all_systems(project) if path[0] == "systems"
    ))
    if not project.downstream:  # a system that is only simulated may be one of those that were trained on
        yield from _unique_names((path, one) for path, one in all_systems(project) if path[0] != "systems")


def _unique_names(systems: Iterable[tuple[KeyPath, SystemSettings]]) -> Iterator[Breach]:
    seen: dict[str, KeyPath] = {}
    for path, system in systems:
        first = seen.setdefault(system.name.lower(), path)
        if first is not path:
            where = ".".join(map(str, first))
            yield Breach((*path, "name"), f"'{system.name}' is already the name of {where}; names must be unique",
                         ((*first, "name"),))


def _series(project: ProjectSections) -> Iterator[Breach]:
    for path, system in all_systems(project):
        several = [("series", system.series is not None)]
        several.append(("count", system.count > 1 and system.arrangement is None))
        where = "`systems`, `simulate` or `targets`"
        yield from (Breach((*path, key), f"expands to several systems; only allowed under {where}")
                    for key, found in several if found)


def _supercells(project: ProjectSections) -> Iterator[Breach]:
    cells = [((*path, "supercell"), system.supercell) for path, system in all_systems(project)]
    if project.md:
        cells.append((("md", "supercell"), project.md.supercell))
    for path, supercell in cells:
        for index, count in enumerate(supercell):
            if not 1 <= count <= MAX_REPETITIONS:
                yield Breach((*path, index), f"must be between 1 and {MAX_REPETITIONS} repetitions, not {count}")


def _sources(project: ProjectSections) -> Iterator[Breach]:
    model = project.pretrain and project.pretrain.model
    if project.simulates_only:
        if not project.systems:
            yield Breach(("systems",), "nothing to simulate: `md.model` runs with the cells of `systems`",
                         (("systems",), ("md", "model")))
        return
    if not project.systems and not project.data and not model:
        yield Breach(
            ("systems",),
            "nothing to train on: give `systems`, your own `data`, or your own model as `pretrain.model`",
            (("systems",), ("data",), ("pretrain", "model")),
        )
    if project.concurrent_learning and not project.systems:
        yield Breach(("concurrent_learning",), "needs `systems`: the exploration starts from their cells",
                     (("systems",),))


def _simplify(project: ProjectSections) -> Iterator[Breach]:
    if project.simplify and not project.data and not project.simulates_only:
        yield Breach(("simplify",), "thins `data`, which names no folder", (("data",),))


TRAINING = ("data", "simplify", "concurrent_learning", "pretrain", "downstream", "finetune", "distill", "targets")
"""Sections of a project that trains its model."""


def _own_model(project: ProjectSections) -> Iterator[Breach]:
    if project.simulates_only:
        yield from (
            Breach((name,), "has no effect, since `md.model` is the model of the MD; remove one of them",
                   ((name,), ("md", "model")))
            for name in TRAINING if getattr(project, name)
        )


def _stages(project: ProjectSections) -> Iterator[Breach]:
    if project.simulates_only:
        return
    if project.pretrain is None:
        for name in ("finetune", "distill"):
            if getattr(project, name):
                yield Breach((name,), "needs a model, but `pretrain` is null; remove one of them (without the line "
                             "`pretrain`, the model has its defaults)", (("pretrain",),))
    if project.downstream and not project.new_systems:
        yield Breach(("downstream", "system"), "is missing: the compound, with name and structure",
                     (("downstream",), ("simulate",)))
    if project.finetune and not project.downstream and not project.targets:
        yield Breach(("finetune",), "needs a `downstream` section with the new compound, e.g. downstream: "
                     "{system: {name: mine, structure: my.cif}}", (("downstream",),))
    strategy = project.finetune.strategy if project.finetune else "naive"
    if strategy != "naive" and not project.systems and not project.data:
        yield Breach(("finetune", "strategy"), f"'{strategy}' needs base data: give `systems` or `data`",
                     (("systems",), ("data",)))
    if project.distill and not project.target_systems:
        yield Breach(("distill",), "needs cells to start from: give `systems` or `downstream`",
                     (("systems",), ("downstream",)))
    if project.md and project.md.with_teacher and not project.pretrain:
        yield Breach(("md", "model"), "'teacher' is the model of the section `pretrain`, which is null",
                     (("pretrain",),))
    own = any(target.md or target.distill for target in project.targets)  # then each target is checked for itself
    if project.md and not project.distill and not project.md.with_teacher and not own:
        yield Breach(("md",), "runs with the student of a `distill` section, which is missing (`distill: {}` uses the "
                     "defaults; `md.model` is for a model of yours)", (("distill",), ("md", "model")))


def _threads(project: ProjectSections) -> Iterator[Breach]:
    cores, threads = project.resources.cores, project.resources.threads_per_task
    if cores is not None and threads is not None and threads > cores:
        yield Breach(("resources", "threads_per_task"), f"must be at most resources.cores ({cores}), not {threads}",
                     (("resources", "cores"),))


def _sampling(project: ProjectSections) -> Iterator[Breach]:
    runs: list[tuple[KeyPath, AimdSettings | DistillSettings | RoundSettings]] = [(("aimd",), project.aimd)]
    if project.downstream:
        runs.append((("downstream", "aimd"), project.downstream.aimd))
    if project.distill:
        runs.append((("distill",), project.distill))
    if project.finetune and project.finetune.rounds:
        runs.append((("finetune", "explore"), project.finetune.explore))
    for path, run in runs:
        if run.sample_every > run.steps:
            yield Breach((*path, "sample_every"), f"must be at most the number of steps ({run.steps}), "
                         f"not {run.sample_every}", ((*path, "steps"),))


def _dynamics(project: ProjectSections) -> Iterator[Breach]:
    runs: list[tuple[KeyPath, AimdSettings]] = [(("aimd",), project.aimd)]
    if project.downstream:
        runs.append((("downstream", "aimd"), project.downstream.aimd))
    for path, run in runs:
        if run.end_temperatures_K and len(run.end_temperatures_K) != len(run.temperatures_K):
            yield Breach((*path, "end_temperatures_K"), f"needs one value for each of the {len(run.temperatures_K)} "
                         f"temperatures_K, not {len(run.end_temperatures_K)}", ((*path, "temperatures_K"),))
        if run.ensemble == "nvt" and run.pressure_GPa:
            yield Breach((*path, "pressure_GPa"), "has no effect at constant volume: write `ensemble: npt`, or remove "
                         "it", ((*path, "ensemble"),))


def _arrangements(project: ProjectSections) -> Iterator[Breach]:
    sections: list[tuple[KeyPath, PerturbSettings]] = [(("perturb",), project.perturb)]
    if project.downstream:
        sections.append((("downstream", "perturb"), project.downstream.perturb))
    if project.distill:
        sections.append((("distill", "perturb"), project.distill.perturb))
    if project.finetune and project.finetune.rounds:
        sections.append((("finetune", "explore", "perturb"), project.finetune.explore.perturb))
    for path, perturb in sections:
        if perturb.count % perturb.arrangements:
            yield Breach((*path, "count"), f"must be a multiple of arrangements ({perturb.arrangements}), not "
                         f"{perturb.count}", ((*path, "arrangements"),))


def _held_out(path: KeyPath, split: SplitSettings, perturb: PerturbSettings) -> Iterator[Breach]:
    if split.validation + split.test >= 1:
        yield Breach((*path, "split"), f"validation ({split.validation:g}) and test ({split.test:g}) leave nothing to "
                     "train on: their sum must be below 1", ((*path, "split"),))
    if split.test > 0 and perturb.count < 2:
        yield Breach(
            (*path, "perturb", "count"),
            "must be at least 2: whole trajectories go to the test set, and one must remain for training",
            ((*path, "split", "test"),),
        )


def _splits(project: ProjectSections) -> Iterator[Breach]:
    if project.labelled_systems:
        yield from _held_out((), project.split, project.perturb)
    if project.downstream and project.labels_downstream:
        yield from _held_out(("downstream",), project.downstream.split, project.downstream.perturb)
    if not (project.finetune and project.downstream):
        return
    if project.downstream.data:
        return  # its frames are counted with the files
    if project.downstream.split.test == 0:
        yield Breach(("downstream", "split", "test"), "must be larger than 0: fine-tuning is tested on held-out frames")
    aimd = project.downstream.aimd
    count = project.downstream.perturb.count
    each = aimd.steps // aimd.sample_every + 1
    training = _training_trajectories(project.downstream)
    if project.finetune.frames > training * each:
        yield Breach(
            ("finetune", "frames"),
            f"asks for {project.finetune.frames} frames, but there are {training * each} for training: "
            f"{training} of {count} trajectories (the others are for validation and test), each with "
            f"aimd.steps / aimd.sample_every + 1 = {each} frames",
            (("downstream", "perturb", "count"), ("downstream", "aimd"), ("downstream", "split")),
        )


def _rounds(project: ProjectSections) -> Iterator[Breach]:
    finetune = project.finetune
    if finetune is None or not project.downstream:
        return
    most = finetune.frames + finetune.rounds * finetune.explore.frames
    for index, frames in enumerate(finetune.curve):
        if frames > most:
            yield Breach(("finetune", "curve", index), f"asks for {frames} frames, but the models are fine-tuned on "
                         f"{most}", (("finetune", "frames"),))
    if not finetune.rounds:
        return
    explore, place = finetune.explore, ("finetune", "explore")
    if explore.sample_every > explore.steps:
        return  # said by the rule of all samplings
    found = project.round_runs * (explore.steps // explore.sample_every)
    if explore.frames > found:
        yield Breach((*place, "frames"), f"asks for {explore.frames} frames, but the MD of a round leaves {found}: "
                     f"{project.round_runs} runs, each with steps / sample_every = "
                     f"{explore.steps // explore.sample_every}", ((*place, "steps"), (*place, "sample_every")))


def _training_trajectories(downstream: DownstreamSettings) -> int:
    """Return the number of trajectories to train on, if the structure has the arrangements that are asked for."""
    perturb, split = downstream.perturb, downstream.split
    if perturb.arrangements == 1:
        return perturb.count - sum(split.held_out_of(perturb.count))
    kept = perturb.arrangements - sum(split.held_out_of(perturb.arrangements))
    return kept * (perturb.count // perturb.arrangements)


def _learning_rates(project: ProjectSections) -> Iterator[Breach]:
    trainings: list[tuple[KeyPath, TrainSettings | FinetuneSettings]] = []
    if project.pretrain:
        trainings.append((("pretrain",), project.pretrain))
    if project.simplify:
        trainings.append((("simplify", "train"), project.simplify.train))
    if project.concurrent_learning:
        trainings += learning_trainings(project.concurrent_learning)
    if project.finetune:
        trainings.append((("finetune",), project.finetune))
    if project.distill:
        trainings.append((("distill", "student"), project.distill.student))
    for path, training in trainings:
        start, stop = training.start_lr, training.stop_lr
        if start is not None and stop is not None and stop > start:
            yield Breach((*path, "stop_lr"), f"must be at most start_lr ({start:g}), not {stop:g}",
                         ((*path, "start_lr"),))


def _mobile(project: ProjectSections) -> Iterator[Breach]:
    settings, unused = project.conductivity, ConductivitySettings()
    if not project.md and settings.mobile == unused.mobile and settings.charges == unused.charges:
        return  # the defaults, in a project that may well have no lithium
    where = f"is not in type_map ({', '.join(project.type_map)})"
    for index, symbol in enumerate(settings.mobile):
        path: KeyPath = ("conductivity", "mobile", index)
        if symbol in settings.mobile[:index]:
            yield Breach(path, f"'{symbol}' is a duplicate")
        elif symbol not in project.type_map:
            plain = symbol.strip("+-0123456789")
            hint = f"; write the element, {plain}" if plain != symbol and plain in project.type_map else ""
            yield Breach(path, f"'{symbol}' {where}{hint}", (("type_map",),))
        elif not settings.charges.get(symbol):
            yield Breach(("conductivity", "charges"), f"the charge of the mobile ion '{symbol}' is missing or zero, "
                         f"e.g. charges: {{{symbol}: 1}}", (("conductivity", "charges"), path))
    for symbol in settings.charges if settings.charges != unused.charges else ():
        if symbol not in project.type_map:
            yield Breach(("conductivity", "charges", symbol), f"'{symbol}' {where}", (("type_map",),))


def _production(project: ProjectSections) -> Iterator[Breach]:
    md = project.md
    if not md:
        return
    if not _is_multiple(md.dump_every_fs, md.timestep_fs):
        yield Breach(("md", "dump_every_fs"), f"must be a multiple of timestep_fs ({md.timestep_fs:g}), "
                     f"not {md.dump_every_fs:g}", (("md", "timestep_fs"),))
    if md.production_ps * 1000 < 10 * md.dump_every_fs:
        yield Breach(
            ("md", "production_ps"),
            f"{md.production_ps:g} ps give fewer than 10 frames at one frame per {md.dump_every_fs:g} fs",
            (("md", "dump_every_fs"),),
        )
    if md.restart_every_ps * 1000 < md.timestep_fs:
        yield Breach(("md", "restart_every_ps"), f"must be at least one time step ({md.timestep_fs:g} fs)",
                     (("md", "timestep_fs"),))
    for index, temperature in enumerate(md.temperatures_K):
        if temperature in md.temperatures_K[:index]:
            yield Breach(("md", "temperatures_K", index), f"{temperature:g} K is a duplicate; for better statistics, "
                         "increase md.replicas")


def _self_check(project: ProjectSections) -> Iterator[Breach]:
    check, md = project.validate, project.md
    own = project.downstream is not None and project.downstream.data and not project.systems
    if md and own and check.production_labels and project.labeler == AseSettings():
        yield Breach(
            ("validate", "production_labels"),
            f"would label {check.production_labels} frames with the default labeler (chgnet), but the data are your "
            "own: give the `labeler` that made them, or production_labels: 0",
            (("labeler",), ("downstream", "data"), ("systems",)),
        )
    if check.rounds and md and md.with_teacher:
        yield Breach(("validate", "rounds"), "must be 0 with `md.model: teacher`: the loop trains a student, too",
                     (("md", "model"),))
    if check.rounds and not check.production_labels:
        yield Breach(("validate", "rounds"), "needs labels on production frames: production_labels is 0",
                     (("validate", "production_labels"),))
    if check.on_warn == "suspend" and (check.gates is None or not project.distill):
        why = "validate.gates is null" if check.gates is None else "there is no student to judge (`distill`)"
        yield Breach(("validate", "on_warn"), f"has no effect: {why}", (("validate", "gates"), ("distill",)))
    if check.round_ps is None:
        return
    if not check.rounds:
        yield Breach(("validate", "round_ps"), "has no effect without rounds", (("validate", "rounds"),))
    if md and check.round_ps >= md.production_ps:
        yield Breach(("validate", "round_ps"), f"must be shorter than md.production_ps ({md.production_ps:g})",
                     (("md", "production_ps"),))
    if md and check.round_ps * 1000 < 10 * md.dump_every_fs:
        yield Breach(
            ("validate", "round_ps"),
            f"{check.round_ps:g} ps give fewer than 10 frames at one frame per {md.dump_every_fs:g} fs",
            (("md", "dump_every_fs"),),
        )


_RULES: tuple[Callable[[ProjectSections], Iterator[Breach]], ...] = (
    _names, _series, _supercells, _sources, _simplify, _own_model, _stages, _threads, learning_rules, _sampling,
    _dynamics, _rounds, _arrangements, _splits, _learning_rates, _mobile, _production, _self_check,
)
