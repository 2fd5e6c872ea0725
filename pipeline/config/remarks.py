"""What `check` says about a configuration that can start: what is not used as it is, or doubtful."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.labelers.settings import AseSettings
from dpa_sse.ops.validation.settings import ValidateSettings
from dpa_sse.pipeline.config.check import trainings, unstated_levels
from dpa_sse.pipeline.config.data_check import data_remarks
from dpa_sse.pipeline.config.element_check import unseen_by_model
from dpa_sse.pipeline.config.load import Located
from dpa_sse.pipeline.config.model_check import model_remarks
from dpa_sse.pipeline.config.problems import KeyPath, Problem
from dpa_sse.pipeline.config.rules import all_systems
from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.config.targets import place_in_target, target_project
from dpa_sse.pipeline.config.template_check import template_remarks

if TYPE_CHECKING:
    from ase import Atoms

    from dpa_sse.ops.structures.settings import PerturbSettings, SystemSettings

MIN_EDGE_A = 15.0
"""Smallest advisable width of a production cell; the report asks for more."""
LONG_MD_PS = 50.0
"""Production runs longer than this deserve more than a network for trials."""
LONGEST_PS = 100_000.0
"""Production runs longer than this may be a mistake of units."""
COLD_K = 100.0
COMPOSITION_STEP = 0.1
"""Atoms by which a cell may differ from the composition asked for without a remark."""


def remarks(located: Located) -> list[Problem]:
    """Return what is worth knowing about a configuration that can start, with the key of each remark."""
    from dpa_sse.ops.training.presets import ignored_keys

    project = located.project
    found = [
        *_labels(located), *_machine(project), *_charges(project), *_compositions(located), *_without_md(project),
        *_adaptive(project),
        *data_remarks(project, located.base_dir), *unstated_levels(project, located.base_dir),
        *unseen_by_model(project, located.base_dir, located.cells), *_of_compound(located), *_of_targets(located),
    ]
    for where, settings in trainings(project):
        if keys := ignored_keys(settings, located.base_dir):
            message = f"not used: {', '.join(keys)} (each training writes its files into the folder of its task)"
            found.append(((*where, "preset"), message))
    return [located.problem(where, message) for where, message in found]


def _of_compound(located: Located) -> Iterator[tuple[KeyPath, str]]:
    """Yield what is worth knowing about the labels, models and runs of a project with one compound."""
    project = located.project
    yield from _arrangements(located)
    if not project.targets:
        yield from _production(located)
        yield from _doubtful_md(project)
        yield from template_remarks(project, located.base_dir)
    yield from _volumes(project)
    yield from model_remarks(project, located.base_dir)


def _of_targets(located: Located) -> Iterator[tuple[KeyPath, str]]:
    """Yield the same for each target, with the values that differ for it; what all share is said once."""
    seen: set[tuple[KeyPath, str]] = set()
    for index, target in enumerate(located.project.targets):
        own = replace(located, project=target_project(located.project, target.name))
        for where, message in _of_compound(own):
            place = place_in_target(where, index, target)
            found = (place or where, message)
            if found not in seen:
                seen.add(found)
                yield found


def _labels(located: Located) -> Iterator[tuple[KeyPath, str]]:
    """Yield the labeler of a project that labels without naming one."""
    project = located.project
    tuned = any(target.finetune and not target.data for target in project.targets)
    labels = bool(project.labelled_systems) or project.labels_downstream or tuned
    if labels and ("labeler",) not in located.marks and isinstance(project.labeler, AseSettings):
        yield ("labeler",), (
            f"not given: the labels are those of {project.labeler.calculator}, a universal potential, not of DFT"
        )


def _machine(project: Project) -> Iterator[tuple[KeyPath, str]]:
    """Yield numbers of cores and threads that this machine does not have."""
    here = len(os.sched_getaffinity(0))
    cores, threads = project.resources.cores, project.resources.threads_per_task
    if cores is not None and cores > here:
        yield ("resources", "cores"), f"this machine has {here} cores; more tasks at a time will share them"
    elif threads is not None and threads > here:
        yield ("resources", "threads_per_task"), f"this machine has {here} cores: a task gets {here} threads"


def _adaptive(project: Project) -> Iterator[tuple[KeyPath, str]]:
    """Yield adaptive trust levels that make every frame a candidate."""
    learning = project.concurrent_learning
    for index, stage in enumerate(learning.stages if learning else ()):
        assert learning is not None  # noqa: S101  (for the type checker)
        systems = [one.name for one in project.systems]
        adaptive = [found for name in systems if (found := learning.trust_in(stage, name).adaptive)]
        each = len(stage.state_points()) * stage.cells_per_system * (stage.steps // learning.sample_every + 1)
        if adaptive and max(one.candidates for one in adaptive) >= each * len(adaptive):
            yield ("concurrent_learning", "stages", index), (
                f"explores {each * len(adaptive)} frames; with adaptive.candidates at "
                f"{max(one.candidates for one in adaptive)}, none can be accurate"
            )


def _charges(project: Project) -> Iterator[tuple[KeyPath, str]]:
    """Yield charges of mobile ions that are not the formal ones: conductivities go with their square."""
    from dpa_sse.ops.conductivity.nernst_einstein import unusual_charges

    for species, message in unusual_charges(project.conductivity.charges):
        yield ("conductivity", "charges", species), message


def _compositions(located: Located) -> Iterator[tuple[KeyPath, str]]:
    """Yield systems whose cell has not the composition that was asked for, and what was noted about their structure."""
    project = located.project
    for where, system in all_systems(project):
        cell = located.cells.get(system.name)
        if cell is None:
            continue
        if cell.info.get("composition_error", 0.0) >= COMPOSITION_STEP:
            yield (*where, "structure"), (
                f"the cell has {cell.get_chemical_formula('hill')}, but the structure asks for "
                f"{cell.info['composition_target']}: whole atoms and zero charge allow no more in this cell; a larger "
                "`supercell` comes closer, other occupancies are a matter of the file"
            )
        if (asked := cell.info.get("site_disorder_target")) is not None:
            yield (*where, "site_disorder"), (
                f"the cell has {float(cell.info['site_disorder']):.3f}, {float(asked):.3f} was asked for: its number "
                "of sites allows no more; a larger `supercell` comes closer"
            )
        if note := cell.info.get("notes"):
            yield (*where, "structure"), str(note)


def _arrangements(located: Located) -> Iterator[tuple[KeyPath, str]]:
    """Yield systems with fewer arrangements than asked for, and arrangements that do not see every temperature."""
    from dpa_sse.ops.structures.build import count_arrangements

    project = located.project
    places: list[tuple[KeyPath, list[SystemSettings], PerturbSettings, int]] = [
        (("perturb",), list(project.systems), project.perturb, len(project.aimd.temperatures_K))
    ]
    if new := project.downstream:
        places.append((("downstream", "perturb"), project.new_systems, new.perturb, len(new.aimd.temperatures_K)))
    for where, systems, perturb, temperatures in places:
        if perturb.arrangements == 1 or not systems:
            continue
        each = perturb.count // perturb.arrangements
        if each < temperatures:
            yield (*where, "count"), (
                f"each arrangement sees only {each} of the {temperatures} temperatures: the test set has some that "
                f"training lacks; {perturb.arrangements * temperatures} cells would cover all"
            )
        for system in systems:
            if system.name not in located.cells:
                continue
            found = count_arrangements(system, located.base_dir, project.seed, perturb.arrangements)
            if found < perturb.arrangements:
                yield (*where, "arrangements"), (
                    f"{system.name} has {found}" + (": its trajectories are held out one by one" if found == 1 else "")
                )


def _production(located: Located) -> Iterator[tuple[KeyPath, str]]:
    """Yield production runs in small cells, and long ones with a network that is meant for trials."""
    project, md = located.project, located.project.md
    if md is None:
        return
    student = project.distilled.student if project.distilled else None
    if student and student.preset.endswith("-tiny") and md.production_ps > LONG_MD_PS:
        yield ("distill", "student", "preset"), (
            f"'{student.preset}' is a network for trials, and md.production_ps is {md.production_ps:g}; for results to "
            f"publish take '{student.preset.removesuffix('-tiny')}' and more `steps`"
        )
    cutoff = _cutoff(located)
    for system in project.target_systems:
        cell = located.cells.get(system.name)
        if cell is None:
            continue
        width = _width(cell, md.supercell)
        size = f"the production cell of {system.name} is {width:.1f} A wide"
        if cutoff is not None and width < 2 * cutoff:
            yield ("md", "supercell"), (
                f"{size}, less than twice the cut-off of the student ({cutoff:g} A): ions see their own images; e.g. "
                f"md.supercell: {_larger(cell, 2 * cutoff)}"
            )
        elif width < MIN_EDGE_A:
            yield ("md", "supercell"), (
                f"{size}; {MIN_EDGE_A:g} A or more are advised, e.g. md.supercell: {_larger(cell, MIN_EDGE_A)}"
            )


def _doubtful_md(project: Project) -> Iterator[tuple[KeyPath, str]]:
    """Yield numbers of the production that are possible, but rarely meant."""
    md, labels = project.md, project.validate.production_labels
    if md is None:
        return
    cold = [temperature for temperature in md.temperatures_K if temperature < COLD_K]
    if cold:
        yield ("md", "temperatures_K"), (
            f"{', '.join(f'{one:g}' for one in cold)} K: ions of a solid hardly move there; temperatures are in kelvin"
        )
    if md.production_ps > LONGEST_PS:
        yield ("md", "production_ps"), f"{md.production_ps:g} ps are {md.production_ps / 1000:g} ns for each run"
    if project.labeler.kind == "mock" and not project.simulates_only and md.production_ps > LONG_MD_PS:
        yield ("labeler", "kind"), (
            f"'mock' has no physics, and md.production_ps is {md.production_ps:g}: these conductivities mean nothing"
        )
    if md.equilibration_ps == 0:
        yield ("md", "equilibration_ps"), (
            f"0: the runs have the volume of the cell as it was built, not that of {md.pressure_GPa:g} GPa"
        )
    runs, points = md.n_runs(len(project.target_systems)), len(project.target_systems) * len(md.temperatures_K)
    if project.pretrain and 0 < labels < points:
        yield ("validate", "production_labels"), (
            f"{labels} for {points} state points ({runs} runs): the others are not checked, and their conductivities "
            "not trusted"
        )


def _volumes(project: Project) -> Iterator[tuple[KeyPath, str]]:
    """Yield labels at one volume only, for a model that is to find the volume of its hot cells."""
    if project.md is None or project.md.equilibration_ps == 0:
        return
    places: list[tuple[KeyPath, PerturbSettings]] = []
    if project.labelled_systems:
        places.append((("perturb",), project.perturb))
    if project.downstream and project.labels_downstream:
        places.append((("downstream", "perturb"), project.downstream.perturb))
    for where, perturb in places:
        if perturb.strain == 0 or perturb.volume_preserving:
            key = "volume_preserving" if perturb.volume_preserving else "strain"
            yield (*where, key), (
                "all labelled cells have one volume, so the pressure of the model is arbitrary at any other, but `md` "
                "equilibrates at constant pressure; strain: 0.05 covers the volumes of hot cells"
            )


def _without_md(project: Project) -> Iterator[tuple[KeyPath, str]]:
    """Yield sections on the production MD of a project that has none."""
    if project.md is not None:
        return
    for name, default in (("validate", ValidateSettings()), ("conductivity", ConductivitySettings())):
        if getattr(project, name) != default:
            yield (name,), "has no effect without a section `md`: no production MD is run"


def _widths(cell: Atoms) -> list[float]:
    """Return the distances between opposite faces of a cell, A."""
    import numpy as np

    return [float(value) for value in 1 / np.linalg.norm(np.linalg.inv(cell.cell.array), axis=0)]


def _width(cell: Atoms, repeat: tuple[int, int, int]) -> float:
    return min(width * count for width, count in zip(_widths(cell), repeat, strict=True))


def _larger(cell: Atoms, least: float) -> list[int]:
    """Return the repetitions along a, b, c that make a cell at least this wide."""
    import math

    return [math.ceil(least / width) for width in _widths(cell)]


def _cutoff(located: Located) -> float | None:
    """Return the largest cut-off radius of the student's network, A; None where it is not known."""
    from dpa_sse.ops.training.presets import load_preset

    distill = located.project.distilled
    if distill is None:
        return None
    try:
        data = load_preset(distill.student.preset, located.base_dir).with_overrides(distill.student.overrides)
    except InputError:
        return None
    return max(_radii(data.section("model").get("descriptor")), default=None)


def _radii(node: object) -> Iterator[float]:
    """Yield all values of ``rcut`` in a part of a training input."""
    if isinstance(node, list):
        for item in node:
            yield from _radii(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "rcut" and isinstance(value, (int, float)):
                yield float(value)
            else:
                yield from _radii(value)
