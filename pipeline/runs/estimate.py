"""A rough time for each stage: measured rates, corrected by what steps of the same kind took in earlier runs here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from dpa_sse.ops.core.errors import InputError, PipelineError
from dpa_sse.ops.results.base import Result
from dpa_sse.pipeline.runs.folder import Run
from dpa_sse.pipeline.runs.places import known_runs
from dpa_sse.pipeline.runs.stage_status import split_task
from dpa_sse.pipeline.runs.step_work import STEP_S, StepWork, project_work

if TYPE_CHECKING:
    from dpa_sse.pipeline.config.schema import Project

EARLIER_RUNS = 5
"""The latest runs that are looked at."""
MIN_SECONDS = 2.0
"""Shorter tasks say nothing about a rate."""
MANY_THREADS = 0.6
"""A task with n threads is n to this power times faster."""


class Estimate(Result):
    """Seconds of each stage of a run, at most.

    Attributes
    ----------
    stages : dict
        By the name of the stage.
    total_s : float
        Of the run; stages overlap.
    unknown : tuple of str
        Kinds of steps without a rate, which are left out.
    earlier : tuple of str
        Kinds of steps whose rate is from earlier runs.
    runs : tuple of str
        Names of those runs.
    atoms : dict
        Number of atoms in the cell of each system.
    """

    FILE: ClassVar[str] = "estimate.json"

    stages: dict[str, float]
    total_s: float
    unknown: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    atoms: dict[str, int] = Field(default_factory=dict)

    @property
    def total_text(self) -> str:
        """The time of the run in words; ``at least`` where a part of it is not known."""
        return ("at least " if self.unknown else "") + rough(self.total_s)


def rough(seconds: float) -> str:
    """Return a time in two digits: ``40 s``, ``17 min``, ``5 h``, ``12 days``."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


@dataclass(frozen=True)
class Machine:
    """Cores of a run, and threads of a task (None: its share of the cores)."""

    cores: int
    threads_per_task: int | None = None

    def speedup(self, step: StepWork) -> float:
        """Return how much faster a task is than with one thread."""
        share = self.cores if not step.fan_out else max(1, self.cores // min(step.tasks, self.cores))
        return float(min(share, self.threads_per_task or share)) ** MANY_THREADS

    def wall_s(self, step: StepWork, factor: float) -> float:
        """Return the seconds of a step in all its iterations; ``factor`` corrects its rate."""
        waves = math.ceil(step.tasks / min(step.tasks, self.cores))
        start = step.start_s * (1 if step.grouped else waves)
        return step.iterations * (STEP_S + factor * (start + waves * step.task_s) / self.speedup(step))


def estimate(project: Project, base_dir: Path, atoms: Mapping[str, int], machine: Machine, runs: Path) -> Estimate:
    """Return a rough time for each stage.

    Parameters
    ----------
    project : Project
    base_dir : Path
        Folder of its configuration.
    atoms : mapping
        Number of atoms in the cell of each system.
    machine : Machine
    runs : Path
        Folder with earlier runs.
    """
    work = project_work(project, base_dir, atoms)
    factors, sources = earlier_factors(runs, {step.kind for step in work})
    unknown = {step.kind for step in work if not step.measured and step.kind not in factors}
    stages: dict[str, float] = {}
    for step in work:
        if step.kind not in unknown:
            seconds = machine.wall_s(step, factors.get(step.kind, 1.0))
            stages[step.stage] = stages.get(step.stage, 0.0) + seconds
    total = sum(stages.values()) - _overlap([step for step in work if step.kind not in unknown], machine, factors)
    used = tuple(sorted(kind for kind in factors if kind in {step.kind for step in work}))
    return Estimate(
        stages={name: round(seconds, 1) for name, seconds in sorted(stages.items())}, total_s=round(total, 1),
        unknown=tuple(sorted(unknown)), earlier=used, runs=sources if used else (), atoms=dict(atoms),
    )


def read_estimate(folder: Path) -> Estimate | None:
    """Return the estimate in a run folder; None if there is none that can be read."""
    with suppress(PipelineError, OSError):
        return Estimate.read_if_there(folder)
    return None


def _overlap(work: Sequence[StepWork], machine: Machine, factors: Mapping[str, float]) -> float:
    """Return the seconds that the MD of the new compound saves by running next to the pre-training."""
    both = [step for step in work if step.step in ("pretrain", "aimd-new")]
    if len(both) < 2 or machine.cores < 2:
        return 0.0
    return min(machine.wall_s(step, factors.get(step.kind, 1.0)) for step in both)


def earlier_factors(runs: Path, kinds: set[str]) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return by which factor steps took longer in earlier runs than their rates say, by kind; and those runs."""
    spent: dict[str, float] = {}
    expected: dict[str, float] = {}
    names = []
    folders = sorted(known_runs(runs), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in folders[:EARLIER_RUNS]:
        with suppress(PipelineError, OSError, ValueError):  # of another version, or not finished
            pairs = [pair for pair in _measured(Run(folder)) if pair[0].kind in kinds]
            for step, seconds, nominal in pairs:
                spent[step.kind] = spent.get(step.kind, 0.0) + seconds
                expected[step.kind] = expected.get(step.kind, 0.0) + nominal
            names += [folder.name] if pairs else []
    return {kind: spent[kind] / expected[kind] for kind in spent if expected[kind] > 0}, tuple(names)


def _measured(run: Run) -> list[tuple[StepWork, float, float]]:
    """Return for each step of a run the seconds that its tasks took, and those of its rate."""
    from dpa_sse.pipeline.runs.configuration import load_run_config

    project = load_run_config(run).project
    events = run.events()
    cores = next((event.cores for event in reversed(events) if event.kind == "run-start" and event.cores), 1)
    machine = Machine(cores, project.resources.threads_per_task)
    seconds: dict[str, list[float]] = {}
    for event in events:
        if event.kind == "done" and event.seconds is not None and event.seconds >= MIN_SECONDS:
            seconds.setdefault(split_task(event.task)[0], []).append(event.seconds)
    before, found = read_estimate(run.folder), []
    atoms = before.atoms if before else atoms_of(project, run.base_dir)  # building cells takes seconds
    for step in project_work(project, run.base_dir, atoms):
        taken = seconds.get(step.step)
        if taken:
            nominal = step.mean_task_s(machine.cores) / machine.speedup(step)
            found.append((step, sum(taken), nominal * len(taken)))
    return found


def atoms_of(project: Project, base_dir: Path) -> dict[str, int]:
    """Return the number of atoms in the cell of each system; systems that cannot be built are left out."""
    from dpa_sse.ops.structures.build import build_cell

    found = {}
    for system in (*project.systems, *project.target_systems):
        if system.name not in found:
            with suppress(InputError):
                found[system.name] = len(build_cell(system, base_dir, project.seed))
    return found
