"""Output of `plan`: the DAG with its task counts, and the input files."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.files import write_json, write_text
from dpa_sse.pipeline.commands.plan_counts import Amounts, amount_rows
from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.config.targets import target_projects
from dpa_sse.pipeline.runs.estimate import Estimate, rough

if TYPE_CHECKING:
    from dpa_sse.pipeline.config.load import Located
    from dpa_sse.pipeline.engines.slurm.platform import SlurmPlatform
    from dpa_sse.pipeline.flows.project import ProjectFlow
    from dpa_sse.pipeline.runs.plan import PlannedStep

WRITTEN = ".plan.json"
"""List of the files that the last plan has written into its folder."""
FILES = ("*", "settings/*", "cells/*", "labels/*", "labels/*/*", "training/*", "lammps/*", "slurm/*", "pbs/*", "lsf/*")
"""Where a plan writes."""
NARROW = 120
"""Columns of a terminal below which the table has no room for what each step needs."""


def dry_build(located: Located, folder: Path) -> tuple[ProjectFlow, SlurmPlatform | None]:
    """Return the DAG of a project, which is not run, and its batch system; None for this machine.

    Parameters
    ----------
    located : Located
    folder : Path
        Gets the input files of the DAG, in ``settings/``.
    """
    from dpa_sse.pipeline.engines.local.dflow_debug import configure
    from dpa_sse.pipeline.engines.local.engine import machine_resources
    from dpa_sse.pipeline.flows.main import build, platform_of

    configure(folder / "dflow", workers=1)
    resources = machine_resources(located.project)
    platform = platform_of(located.project, located.base_dir, resources)
    return build(located.project, located.base_dir, folder / "settings", resources, platform), platform


def print_plan(name: str, nodes: Sequence[PlannedStep], folder: Path) -> None:
    """Print the steps as a table; a narrow terminal gets it without the column of what a step needs."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    narrow = console.width < NARROW
    table = Table(title=f"{name}: {len(nodes)} steps", title_justify="left", box=None, pad_edge=False)
    for column in ("stage", "step", "tasks", "what", *(() if narrow else ("needs",))):
        table.add_column(
            column, justify="right" if column == "tasks" else "left", no_wrap=narrow or column != "needs",
            min_width={"step": max(len(node.name) for node in nodes), "tasks": 7}.get(column),
        )
    for node in nodes:
        tasks = f"{node.tasks}" + ("" if not node.loop else "/it." if narrow else " / iteration")
        row = (node.stage, node.name, tasks, node.title, ", ".join(node.depends))
        table.add_row(*row[:4] if narrow else row)
    console.print(table)
    if narrow:
        console.print("A wider terminal also shows what each step needs; --json has everything.", markup=False)
    console.print(f"Input files: {folder}", markup=False)


def print_amounts(found: list[Amounts], labeler: str, times: Estimate) -> None:
    """Print how many labels, training steps and ns of MD the stages ask for, and how long they take."""
    from rich.console import Console
    from rich.table import Table

    if not found:
        return
    rows = amount_rows(found)
    for row in rows:
        seconds = times.stages.get(row["stage"])
        row["time"] = times.total_text if row is rows[-1] else "" if seconds is None else rough(seconds)
    title = f"At most, in all iterations and rounds (labels by {labeler}: MD steps and single points)"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "stage" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row.values())
    Console(highlight=False).print(table)


def print_times(found: Estimate, cores: int) -> None:
    """Print how long a run will take on this machine, and where the rates are from."""
    from rich.console import Console

    console = Console(highlight=False)
    lines = [f"Rough time on {cores} core{'s' * (cores > 1)} of this machine: {found.total_text}."]
    if found.earlier:
        lines.append(f"Rates from earlier runs ({', '.join(found.runs)}): {', '.join(found.earlier)}.")
    else:
        lines.append("Rates measured on another machine, without GPU; after a first run here, those of this one count.")
    if found.unknown:
        lines.append(f"Not included, since no run here has done it yet: {', '.join(found.unknown)}.")
    for line in lines:
        console.print(line, markup=False)


def write_inputs(project: Project, nodes: Sequence[PlannedStep], cells: Path, folder: Path) -> None:
    """Write the inputs that are known before anything has run.

    Parameters
    ----------
    project : Project
        The configuration.
    nodes : sequence of PlannedStep
        Steps of the DAG.
    cells : Path
        Folder with the unperturbed cells (``*.extxyz``) of the DAG.
    folder : Path
        Receives ``settings/`` of every step, ``cells/``, ``labels/`` (for labelers with input files),
        ``training/`` (DeePMD-kit) and ``lammps/``.
    """
    for number, node in enumerate(nodes, start=1):
        write_json(folder / "settings" / f"{number:02d}-{node.name}.json", json.loads(node.settings))
    for path in sorted([*cells.glob("*.extxyz"), *cells.glob("targets/*/*.extxyz")]):
        name = path.name if path.parent == cells else f"{path.parent.name}-{path.name}"
        write_text(folder / "cells" / name, path.read_text(encoding="utf-8"))
    targets = target_projects(project)
    _write_labels(project, targets, nodes, cells, folder / "labels")
    _write_training(project, nodes, folder / "training")
    for own, place in [(project, cells), *((one, cells / "targets" / name) for name, one in targets.items())]:
        if own.md and (place / "md-cells.extxyz").is_file():
            _write_lammps(own, place / "md-cells.extxyz", folder / "lammps")


def _write_labels(
    project: Project, targets: Mapping[str, Project], nodes: Sequence[PlannedStep], cells: Path, folder: Path
) -> None:
    """Write the labeler's inputs for the unperturbed cells: single points, and molecular dynamics."""
    from dpa_sse.ops.labelers.registry import labeler_class, parse_labeler
    from dpa_sse.ops.structures.extxyz import read_frames

    found = [json.loads(node.settings) for node in nodes]
    found += [{**one.get("common", {}), **member["settings"]} for one in found for member in one.get("members", [])]
    settings = next((one for one in found if "labeler" in one), None)  # the report holds it as a part of the project
    if settings is None:
        return
    labeler = parse_labeler(settings["labeler"])  # with the texts of the user's files
    writer = labeler_class(labeler.kind).write_inputs
    own = [
        (cells / "targets" / name / "downstream-cells.extxyz", one.downstream.aimd if one.downstream else None)
        for name, one in targets.items()
    ]
    for path, aimd in ((cells / "base-cells.extxyz", project.aimd),
                       (cells / "downstream-cells.extxyz", project.downstream.aimd if project.downstream else None),
                       *own):
        if aimd is None or not path.is_file():
            continue
        for atoms in read_frames(path):
            writer(labeler, atoms, aimd, folder / str(atoms.info.get("system", path.stem)))


def _write_training(project: Project, nodes: Sequence[PlannedStep], folder: Path) -> None:
    """Write the DeePMD-kit input of each training; the data folders in it do not exist yet."""
    from dpa_sse.ops.training.presets import training_input
    from dpa_sse.ops.training.settings import ResolvedPretraining

    for node in nodes:
        settings = json.loads(node.settings)
        settings = settings.get("common") or settings
        for section in ("train", "pretrain", "student"):
            if "network" in (settings.get(section) or {}) and node.name != "finetune":
                training = ResolvedPretraining(**settings[section])
                data = training_input(training, project.type_map, ["data/train"], [], project.seed)
                write_json(folder / f"{node.name}.json", data.data)


def _write_lammps(project: Project, cells: Path, folder: Path) -> None:
    """Write the LAMMPS input of each production run."""
    from dpa_sse.ops.md.lammps import FreshStart, input_text
    from dpa_sse.ops.md.prepare import prepare_md
    from dpa_sse.ops.md.tasks import make_job, read_task
    from dpa_sse.ops.results.md import MdTask

    assert project.md is not None  # noqa: S101  (for the type checker)
    with tempfile.TemporaryDirectory() as temporary:
        tasks = Path(temporary)
        for number in range(prepare_md(cells, project.md, project.seed, tasks)):
            found = read_task(tasks / f"task.{number:03d}", MdTask)
            if found is None:
                continue
            atoms, values = found
            job = make_job(atoms, values, [Path("student.pth")], project.type_map, melt=True)
            text = input_text(
                job.simulation, project.type_map, ["student.pth"], start=FreshStart(job.equilibration_steps)
            )
            name = f"{values.system}-{values.temperature_K:g}K-{values.replica}.in"
            write_text(folder / name, text)
