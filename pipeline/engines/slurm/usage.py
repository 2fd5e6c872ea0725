"""Core and GPU hours of the jobs of a run: those of sacct where there is accounting, else of the run's own clocks.

``.engine/usage.jsonl`` has a line for each job that has ended, written by whoever took over its results.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from dpa_sse.ops.core.errors import PipelineError
from dpa_sse.pipeline.config.batch import Job
from dpa_sse.pipeline.engines.slurm.dialect import PENDING
from dpa_sse.pipeline.engines.slurm.plan_file import BatchPlan
from dpa_sse.pipeline.engines.slurm.queue import Snapshot
from dpa_sse.pipeline.engines.slurm.records import BatchFolder
from dpa_sse.pipeline.engines.slurm.scheduler import Scheduler

FILE = "usage.jsonl"
ASKED_AT_ONCE = 500


class JobUsage(BaseModel):
    """What a job has used.

    Attributes
    ----------
    job : str
        Its number, with that of the member of an array.
    stage, step, kind : str
        Of its tasks.
    tasks : int
        That it had.
    nodes, cores, gpus : int
        That it asked for; cores and GPUs on all nodes.
    seconds : float, optional
        From its start to its end; None if it was lost and the system did not tell.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str
    stage: str
    step: str
    kind: str
    tasks: int
    nodes: int
    cores: int
    gpus: int
    seconds: float | None


@dataclass
class StageUsage:
    """What the jobs of a stage have used: core, GPU and node hours, number of jobs, those whose time is not known."""

    stage: str
    core_hours: float = 0.0
    gpu_hours: float = 0.0
    node_hours: float = 0.0
    jobs: int = 0
    unknown: int = 0


@dataclass(frozen=True)
class Usage:
    """What the jobs of a run have used, by stage; ``source`` tells by which clocks."""

    stages: tuple[StageUsage, ...]
    source: str

    @property
    def total(self) -> StageUsage:
        """The sum."""
        total = StageUsage("in all")
        for one in self.stages:
            _add(total, one)
        return total

    def lines(self) -> list[str]:
        """Return them for people."""
        if not self.stages:
            return []
        total = self.total
        lost = f"; without {total.unknown} lost job{'s' * (total.unknown != 1)} of unknown length" * bool(total.unknown)
        rows = [f"Used by jobs: {_hours(total)} in all ({self.source}{lost})"]
        return rows + ([f"  {one.stage}: {_hours(one)}" for one in self.stages] if len(self.stages) > 1 else [])

    def as_json(self) -> dict[str, object]:
        """Return them for programs."""
        return {"source": self.source, "stages": [
            {"stage": one.stage, "core_hours": round(one.core_hours, 4), "gpu_hours": round(one.gpu_hours, 4),
             "node_hours": round(one.node_hours, 4), "jobs": one.jobs, "jobs_of_unknown_length": one.unknown}
            for one in self.stages
        ]}


def _hours(one: StageUsage) -> str:
    gpus = f", {one.gpu_hours:.3g} GPU hours" if one.gpu_hours else ""
    return f"{one.core_hours:.3g} core hours{gpus}, {one.jobs} job{'s' * (one.jobs != 1)}"


def note_usage(engine: Path, job: Job, jobs: Iterable[tuple[BatchFolder, int]], snapshot: Snapshot) -> None:
    """Write down what jobs have used that have ended, or are about to be cancelled."""
    lines = []
    for folder, member in jobs:
        if folder.job is None:
            continue
        batch, (number, place) = folder.batch, folder.handle(member)
        seconds = folder.ran_s(member)
        if seconds is None:
            view, seconds = snapshot.view(number, member), snapshot.spot(number, member)[1]
            if view is not None and view.state in PENDING:
                continue
        lines.append(JobUsage(
            job=number if place is None else f"{number}_{place}", stage=batch.stage, step=batch.step, kind=batch.kind,
            tasks=len(batch.members[member]), nodes=job.nodes, gpus=job.nodes * job.gpus,
            cores=job.nodes * job.tasks_per_node * job.cpus_per_task, seconds=seconds,
        ).model_dump_json() + "\n")
    if lines:
        descriptor = os.open(engine / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            os.write(descriptor, "".join(lines).encode())
        finally:
            os.close(descriptor)


def read_usage(engine: Path) -> list[JobUsage]:
    """Return what jobs of a run have used, each once."""
    found: dict[str, JobUsage] = {}
    try:
        lines = (engine / FILE).read_bytes().splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            one = JobUsage.model_validate_json(line)
        except ValueError:  # torn by a full disk
            continue
        if one.seconds is not None or one.job not in found:
            found[one.job] = one
    return list(found.values())


def usage_of(engine: Path, scheduler: Scheduler | None) -> Usage:
    """Return what the jobs of a run have used.

    Parameters
    ----------
    engine : Path
    scheduler : Scheduler, optional
        Is asked for its accounting; None for the run's own clocks.
    """
    jobs = read_usage(engine)
    counted = {} if scheduler is None or not jobs else accounted(scheduler, {one.job.split("_")[0] for one in jobs})
    stages: dict[str, StageUsage] = {}
    for one in jobs:
        seconds, nodes, cores, gpus = counted.get(one.job, (one.seconds, one.nodes, one.cores, one.gpus))
        hours = (seconds or 0.0) / 3600
        _add(stages.setdefault(one.stage, StageUsage(one.stage)), StageUsage(
            "", hours * cores, hours * gpus, hours * nodes, 1, int(seconds is None)
        ))
    missing = sum(one.job not in counted for one in jobs)
    source = "sacct" if counted else "own clocks"
    if counted and missing:
        source += f"; {missing} of {len(jobs)} jobs by own clocks"
    return Usage(tuple(stages[name] for name in sorted(stages)), source)


def _add(total: StageUsage, one: StageUsage) -> None:
    total.core_hours += one.core_hours
    total.gpu_hours += one.gpu_hours
    total.node_hours += one.node_hours
    total.jobs += one.jobs
    total.unknown += one.unknown


def accounted(scheduler: Scheduler, jobs: set[str]) -> dict[str, tuple[float, int, int, int]]:
    """Return seconds, nodes, cores and GPUs of jobs by sacct; empty where there is no accounting."""
    if scheduler.dialect.system != "slurm":
        return {}
    found: dict[str, tuple[float, int, int, int]] = {}
    for part in _portions(sorted(jobs, key=int)):
        try:
            answer = scheduler.ask([
                "sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={','.join(part)}",
                "--format=JobID,ElapsedRaw,AllocNodes,AllocCPUS,AllocTRES",
            ])
        except PipelineError:
            return {}
        for line in answer.splitlines():
            name, seconds, nodes, cores, tres = (*line.split("|"), "", "", "", "")[:5]
            if re.fullmatch(r"\d+(_\d+)?", name) and all(part.isdigit() for part in (seconds, nodes, cores)):
                gpus = re.search(r"gres/gpu=(\d+)", tres)
                found[name] = float(seconds), int(nodes), int(cores), int(gpus[1]) if gpus else 0
    return found


def _portions(jobs: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(jobs), ASKED_AT_ONCE):
        yield jobs[start : start + ASKED_AT_ONCE]


def run_usage(engine: Path, *, ask_s: float = 20.0) -> Usage | None:
    """Return what the jobs of a run have used; None if it had none."""
    from dpa_sse.pipeline.engines.slurm.systems import dialect_of

    if not (engine / FILE).exists():
        return None
    try:
        scheduler = Scheduler(dialect_of(BatchPlan.read(engine).system), ask_s)
    except (OSError, ValueError):
        return usage_of(engine, None)
    return usage_of(engine, scheduler)
