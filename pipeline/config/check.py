"""Checks that need the files and the installation: structures, data, models, presets, calculators."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.foreign import printable
from dpa_sse.ops.core.limits import regular
from dpa_sse.pipeline.config.batch_presets import engine_faults
from dpa_sse.pipeline.config.data_check import data_findings, data_folders, data_systems
from dpa_sse.pipeline.config.element_check import shared_elements, untrained_elements
from dpa_sse.pipeline.config.gpus import gpu_faults
from dpa_sse.pipeline.config.learning_rules import learning_trainings
from dpa_sse.pipeline.config.load import Located, attempt_load
from dpa_sse.pipeline.config.model_check import model_findings
from dpa_sse.pipeline.config.problems import ConfigError, KeyPath, Marks, Problem, locate, sort_problems
from dpa_sse.pipeline.config.registered import with_registered_models
from dpa_sse.pipeline.config.remote import is_remote
from dpa_sse.pipeline.config.rules import all_systems
from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.config.targets import place_in_target, target_project
from dpa_sse.pipeline.config.template_check import template_findings

if TYPE_CHECKING:
    from ase import Atoms

    from dpa_sse.ops.labelers.settings import AimdSettings
    from dpa_sse.ops.training.settings import TrainSettings

KeyMessage = tuple[KeyPath, str]
"""Path in the project, and what is wrong there."""

MAX_DATA_SYSTEMS = 10_000
ON_THIS_MACHINE: tuple[KeyPath, ...] = (
    ("labeler", "command"), ("labeler", "potcar_dir"), ("labeler", "data_dir"), ("labeler", "pseudo_dir"),
    ("labeler", "orbital_dir"), ("on_end", 0), ("on_end_url",), ("pretrain",), ("md",),
)
"""Keys that name or need programs and data of the machine that runs the project: not needed for a plan or a cluster."""


def load_checked(path: Path | str, overrides: Sequence[str] = (), *, runs_here: bool = True) -> Located:
    """Read a configuration, check it and everything that it names, and return it with the place of every key.

    Parameters
    ----------
    path, overrides
        As for :func:`dpa_sse.pipeline.config.load.load_project`.
    runs_here : bool
        Whether the programs and potentials of the labeler must be on this machine: not for a plan or a cluster.

    Raises
    ------
    ConfigError
        With everything that is wrong: keys and values, and the files that the valid ones name.
    """
    attempt = attempt_load(path, overrides)
    problems, located = list(attempt.problems), attempt.located
    if located is not None:
        project, models, faults = with_registered_models(located.project, located.base_dir)
        located = replace(located, project=project, models=models)
        found = [
            (attempt.reduced.place(where), message)
            for where, message in _with(faults, _all_findings(project, located.base_dir, located.cells))
            if runs_here or where not in ON_THIS_MACHINE
        ]
        problems += [
            located.problem(where, message) for where, message in found
            if not any(where[: len(gone)] == gone for gone in attempt.removed)
        ]
    if problems or located is None:
        raise ConfigError(problems)
    return located


def _with(faults: list[KeyMessage], findings: list[KeyMessage]) -> list[KeyMessage]:
    """Return both, without findings on models that could not be had from the registry."""
    known = {where for where, _ in faults}
    return [*faults, *((where, message) for where, message in findings if where not in known)]


def check_project(project: Project, path: Path | str, marks: Marks | None = None) -> list[Problem]:
    """Return everything wrong with the files and packages that a project names (empty: it can start).

    Parameters
    ----------
    project : Project
        As :func:`dpa_sse.pipeline.config.load.load_project` returns it.
    path : Path or str
        Its configuration file: relative paths start from its folder, and problems refer to its lines.
    marks : mapping, optional
        ``Located.marks``; needed to locate values from the command line. Read from ``path`` by default.

    Returns
    -------
    list of Problem
        Sorted by line. Heavy packages are not imported (except deepmd's argument check, if there is anything for it
        to check); this takes about a second.
    """
    path = Path(path)
    if marks is None:
        from dpa_sse.pipeline.config.yaml_file import read_yaml

        marks = read_yaml(path).marks
    project, _, faults = with_registered_models(project, path.parent)
    findings = _with(faults, _all_findings(project, path.parent))
    return sort_problems(locate(marks, where, message, path) for where, message in findings)


def _all_findings(project: Project, base_dir: Path, built: dict[str, Atoms] | None = None) -> list[KeyMessage]:
    """Return everything that is wrong; the cells of the systems are added to ``built``."""
    findings: list[KeyMessage] = []
    cells = _cells(project, base_dir, findings)
    if built is not None:
        built.update(cells)
    if not project.targets:
        findings += _mobile_ions(project, cells)
    findings += untrained_elements(project, base_dir, cells)
    findings += shared_elements(project, cells)
    findings += _presets(project, base_dir)
    findings += model_findings(project, base_dir)
    faults = list(_data(project, base_dir))
    findings += faults or data_findings(project, base_dir)
    findings += _levels(project, base_dir)
    findings += _labeler(project, base_dir)
    findings += _cluster(project, base_dir)
    findings += engine_faults(project.engine, base_dir)
    findings += gpu_faults(project, base_dir)
    findings += template_findings(project, base_dir)
    findings += _end(project, base_dir)
    findings += _targets(project, base_dir, cells)
    return findings


def _targets(project: Project, base_dir: Path, cells: dict[str, Atoms]) -> Iterator[KeyMessage]:
    """Yield what is wrong with the files and values of each target."""
    for index, target in enumerate(project.targets):
        own = target_project(project, target.name)
        faults = [*_mobile_ions(own, cells), *_aimd(own), *(template_findings(own, base_dir) if target.md else ())]
        if target.distill:
            faults += _presets(own, base_dir)
        if target.data:
            faults += list(_data(own, base_dir)) or [*data_findings(own, base_dir), *_levels(own, base_dir)]
        for where, message in faults:
            place = place_in_target(where, index, target)
            if place is not None:
                yield place, message
            elif where[0] in ("conductivity", "distill"):
                yield ("targets", index), f"{target.name}: {message}"


def _end(project: Project, base_dir: Path) -> Iterator[KeyMessage]:
    """Yield a command for the end of the run that cannot be started, and an unset variable with its address."""
    if project.on_end:
        program = project.on_end[0]
        path = _absolute(program, base_dir) if "/" in program else shutil.which(program)
        if path is None or not os.access(path, os.X_OK) or Path(path).is_dir():
            yield ("on_end", 0), f"{program}: not a program that can be started (a list: program and its arguments)"
    address = project.on_end_url or ""
    if address.startswith("$") and not os.environ.get(address[1:]):
        yield ("on_end_url",), f"the environment variable {address[1:]} is not set"


def _cells(project: Project, base_dir: Path, findings: list[KeyMessage]) -> dict[str, Atoms]:
    """Build the cell of every system; return those that can be built, by name."""
    cells = {}
    for where, system in all_systems(project):
        from dpa_sse.ops.structures.build import build_cell
        from dpa_sse.ops.structures.check import check_cell

        if fault := _file_fault(_absolute(system.structure, base_dir)):
            findings.append(((*where, "structure"), fault))
            continue
        try:
            cell = build_cell(system, base_dir, project.seed)
        except InputError as error:
            message = str(error).removeprefix(f"{system.name}: ")
            key = "site_disorder" if message.startswith("site_disorder") else "structure"
            findings.append(((*where, key), message.removeprefix("site_disorder ")))
            continue
        findings += [((*where, "structure"), problem) for problem in check_cell(cell, project.type_map)]
        cells[system.name] = cell
    return cells


def _file_fault(path: Path) -> str:
    """Return why a structure file is not even opened: its name, or the number of atoms that it claims to hold."""
    if printable(str(path), keep="") != str(path):
        return f"{str(path)!r}: the name has control characters; rename the file"
    try:
        size = regular(path).stat().st_size
        with path.open("rb") as stream:
            first = stream.readline(100).strip()
    except (OSError, ValueError):  # a name of the library, or reported by the reader
        return ""
    if not first.isdigit():
        return ""
    if len(first) > 18 or int(first) > size:
        return f"{path}: its first line claims {first.decode()[:20]} atoms, but the file has {size} bytes"
    return ""


def _mobile_ions(project: Project, cells: dict[str, Atoms]) -> Iterator[KeyMessage]:
    """Yield mobile ions that are not in the simulated systems."""
    if not project.md:
        return
    held = [set(cells[one.name].get_chemical_symbols()) for one in project.target_systems if one.name in cells]
    for index, symbol in enumerate(project.conductivity.mobile):
        if held and not any(symbol in elements for elements in held):
            names = ", ".join(one.name for one in project.target_systems)
            yield ("conductivity", "mobile", index), f"'{symbol}' does not occur in the simulated systems ({names})"


def trainings(project: Project) -> list[tuple[KeyPath, TrainSettings]]:
    """Return the trainings of a project and their places in the configuration."""
    found: list[tuple[KeyPath, TrainSettings]] = []
    if project.simplify:
        found.append((("simplify", "train"), project.simplify.train))
    if project.concurrent_learning:
        found += learning_trainings(project.concurrent_learning)
    if project.pretrain and not project.pretrain.model:
        found.append((("pretrain",), project.pretrain))
    if project.distill:
        found.append((("distill", "student"), project.distill.student))
    return found


def _presets(project: Project, base_dir: Path) -> Iterator[KeyMessage]:
    """Yield networks that do not exist, do not fit the elements, or have invalid overrides."""
    from dpa_sse.ops.training.input_check import input_faults
    from dpa_sse.ops.training.presets import check_preset

    for where, settings in trainings(project):
        for message in check_preset(settings, project.type_map, base_dir):
            if message.startswith("overrides:"):
                continue  # reported below, for each key
            if "stop_lr" in message and settings.start_lr is not None and settings.stop_lr is not None:
                continue  # already found by the rules, at its own line
            rates = [key for key in ("start_lr", "stop_lr") if f"learning_rate.{key}" in settings.overrides]
            key = "overrides" if "stop_lr" in message and rates else "preset"
            yield (*where, key), message.removeprefix(f"{settings.preset}: ")
        for name, message in input_faults(settings, project.type_map, base_dir):
            yield (*where, *(("overrides", name) if name else ("preset",))), message


def _data(project: Project, base_dir: Path) -> Iterator[KeyMessage]:
    """Yield data folders that are missing, or that contain no deepmd data or other elements."""
    for where, name in data_folders(project):
        if is_remote(name):
            continue
        folder = _absolute(name, base_dir)
        if not folder.exists():
            yield where, f"no such folder: {folder}"
        elif not folder.is_dir():
            yield where, (
                f"{name} is a file; give the folder of a data set in deepmd/npy format: `dpa-sse data convert {name} "
                "FOLDER` makes one"
            )
        else:
            yield from ((where, problem) for problem in _data_problems(folder, name, project.type_map))


def _levels(project: Project, base_dir: Path) -> Iterator[KeyMessage]:
    """Yield data folders with labels of another level of theory, unless they are to be mixed."""
    from dpa_sse.ops.data.recorded_levels import level_conflict
    from dpa_sse.ops.labelers.registry import labeler_code

    if project.mix_levels:
        return
    found = level_conflict(*_labels(project, base_dir))
    if found is not None:
        name, why = found
        yield ("data", project.data.index(name)), f"{why}; `mix_levels: true` mixes them anyway"
    if project.downstream and project.downstream.data:
        folders = {name: _absolute(name, base_dir) for name in project.downstream.data if not is_remote(name)}
        rounds = project.finetune.rounds if project.finetune else 0
        checked = rounds > 0 or (project.md is not None and project.validate.production_labels > 0)
        found = level_conflict(folders, labeler_code(project.labeler.kind) if checked else None)
        if found is not None:
            name, why = found
            way_out = "validate.production_labels: 0 does without its labels; " if checked and not rounds else ""
            where = ("downstream", "data", project.downstream.data.index(name))
            yield where, f"{why}; {way_out}`mix_levels: true` mixes them anyway"


def unstated_levels(project: Project, base_dir: Path) -> Iterator[KeyMessage]:
    """Yield data folders that do not state the level of theory of their labels, beside labels that do."""
    from dpa_sse.ops.data.recorded_levels import recorded_levels

    folders, code = _labels(project, base_dir)
    stated = {name: any(recorded_levels(folder)) for name, folder in folders.items() if folder.is_dir()}
    if code is None and not any(stated.values()):
        return
    for index, name in enumerate(project.data):
        if not stated.get(name, True):
            others = f"those of {code}, the labeler" if code else "those of the other data"
            message = f"{name} does not state its level of theory: its labels are taken to be like {others}"
            yield ("data", index), message


def mixed_levels(project: Project, base_dir: Path) -> list[str]:
    """Return the codes whose labels a project mixes in its training data."""
    from dpa_sse.ops.data.recorded_levels import mixed_codes

    return mixed_codes(*_labels(project, base_dir))


def _labels(project: Project, base_dir: Path) -> tuple[dict[str, Path], str | None]:
    """Return the data folders on this machine, and the code of the labels that they are added to."""
    from dpa_sse.ops.labelers.registry import labeler_code

    folders = {name: _absolute(name, base_dir) for name in project.data if not is_remote(name)}
    return folders, labeler_code(project.labeler.kind) if project.labelled_systems else None


def _data_problems(folder: Path, name: str, type_map: list[str]) -> Iterator[str]:
    """Yield what is wrong with a data folder: the first faulty system, or elements that are not in type_map."""
    systems = list(islice(data_systems(folder), MAX_DATA_SYSTEMS))
    if not systems:
        yield f"{name} contains no data in deepmd/npy format (no type.raw next to a folder set.000)"
    unknown: set[str] = set()
    for system in systems:
        fault, elements = _system_elements(system)
        if fault:
            yield f"{os.path.relpath(system, folder.parent)} {fault}"
            return
        unknown |= elements - set(type_map)
    if unknown:
        yield f"{name} contains {', '.join(sorted(unknown))}, not in type_map ({', '.join(type_map)})"


def _system_elements(system: Path) -> tuple[str, set[str]]:
    """Return what is wrong with a deepmd system (empty: nothing), and the elements that occur in it."""
    if (system / "nopbc").exists():
        return "is not periodic (nopbc)", set()
    if not (system / "type_map.raw").is_file():
        return "has no type_map.raw: its elements are unknown", set()
    for part in sorted(system.glob("set.*")):
        lacking = [one for one in ("coord", "box", "energy", "force") if not (part / f"{one}.npy").is_file()]
        if lacking:
            return f"lacks {', '.join(f'{part.name}/{one}.npy' for one in lacking)}", set()
    from dpa_sse.ops.data.npy import elements_of

    try:
        return "", set(elements_of(system))
    except (InputError, OSError, ValueError, MemoryError) as error:  # a header may claim any number of atoms
        return f"cannot be read: {error}", set()


def _labeler(project: Project, base_dir: Path) -> Iterator[KeyMessage]:
    """Yield what the labeler lacks on this machine, and molecular dynamics that it cannot do."""
    from dpa_sse.ops.labelers.registry import labeler_problems

    if project.simulates_only:
        return
    for key, message in labeler_problems(project.labeler, project.type_map, base_dir):
        yield ("labeler", *key), message
    yield from _aimd(project)


def _aimd(project: Project) -> Iterator[KeyMessage]:
    """Yield molecular dynamics that the labeler cannot do."""
    from dpa_sse.ops.labelers.registry import aimd_problems

    runs: list[tuple[KeyPath, AimdSettings]] = [(("aimd",), project.aimd)] if project.systems else []
    if project.downstream and project.labels_downstream:
        runs.append((("downstream", "aimd"), project.downstream.aimd))
    for where, aimd in runs:
        yield from (((*where, key), message) for key, message in aimd_problems(project.labeler, aimd))


def _cluster(project: Project, base_dir: Path) -> list[KeyMessage]:
    """Return what is wrong with the cluster preset and its overrides."""
    from dpa_sse.pipeline.config.cluster_faults import PresetError
    from dpa_sse.pipeline.config.cluster_presets import load_cluster_preset

    try:
        load_cluster_preset(project.cluster, base_dir)
    except PresetError as error:
        return error.findings
    return []


def _absolute(name: str, base_dir: Path) -> Path:
    return base_dir / Path(name).expanduser()
