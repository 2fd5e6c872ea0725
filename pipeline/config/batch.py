"""Settings of a batch system (Slurm, PBS, LSF): what the jobs of each kind of work ask for.

A preset is a file in ``configs/resources/slurm/`` or one of the user's; the section ``engine`` of a project names it.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from dpa_sse.ops.core.settings import Settings

Kind = Literal["light", "analysis", "train", "infer", "md", "label"]
System = Literal["slurm", "pbs", "lsf"]
SYSTEMS: tuple[System, ...] = ("slurm", "pbs", "lsf")
TIME = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)")


def _time(value: Any) -> Any:
    if value is not None and (not isinstance(value, str) or not TIME.fullmatch(value) or not seconds(value)):
        raise ValueError('write it in quotes as "hours:minutes:seconds" or "days-hours:minutes:seconds": "24:00:00"')
    return value


def seconds(time: str) -> int:
    """Return the seconds of ``hours:minutes:seconds`` or ``days-hours:minutes:seconds``."""
    found = TIME.fullmatch(time)
    assert found is not None  # noqa: S101  (checked when the settings were read)
    days, hours, minutes, rest = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def clock(total: int) -> str:
    """Return ``hours:minutes:seconds``, which all batch systems understand."""
    return f"{total // 3600:02d}:{total % 3600 // 60:02d}:{total % 60:02d}"


def _line(text: str) -> str:
    if re.search(r"[\n\r\0]", text):
        raise ValueError("must be one line; write several as a list")
    return text


def _option(text: str) -> str:
    if not re.match(r"--?[A-Za-z]", text):
        raise ValueError("must be an option of the batch system, e.g. --exclusive")
    return _line(text)


def _python(text: str | None) -> str | None:
    return None if text is None else _line(text)


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.,:@+*&|/=-]*$", max_length=200)]
Line = Annotated[str, AfterValidator(_line)]
Option = Annotated[str, AfterValidator(_option)]
Time = Annotated[str, BeforeValidator(_time)]


class JobSettings(Settings):
    """What a job of one kind of work asks for; what is left out here is as in the preset."""

    where: Literal["queue", "driver"] | None = Field(
        None, description="`driver`: without a job, in the process that drives the run; the default of light work."
    )
    partition: Name | None = Field(None, description="Partition or queue; that of the system by default.")
    qos: Name | None = Field(None, description="Quality of service (Slurm).")
    constraint: Name | None = Field(None, description="Features that the nodes must have (Slurm).")
    nodes: int | None = Field(None, ge=1, le=10000, description="Nodes of a job.")
    tasks_per_node: int | None = Field(None, ge=1, le=1024, description="MPI processes on each node.")
    cpus_per_task: int | None = Field(None, ge=1, le=1024, description="Cores, and threads, of each process.")
    gpus: int | None = Field(None, ge=0, le=64, description="GPUs on each node.")
    gpu_type: Name | None = Field(None, description="Type of the GPUs, as the system calls it.")
    mem_GB: float | None = Field(
        None, gt=0, le=100000, description="Memory on each node, GB; the system decides by default."
    )
    max_mem_GB: float | None = Field(
        None, gt=0, le=100000, description="A job that ran out of memory is repeated with up to this much, GB."
    )
    time: Time | None = Field(None, description='Time limit of a job, in quotes: "hours:minutes:seconds".')
    setup: list[Line] | None = Field(
        None, description="Lines of shell before the work, e.g. `module load vasp/6.4`; run as they are."
    )
    options: list[Option] | None = Field(None, description="Further options of the batch system, e.g. `--exclusive`.")
    tasks_per_job: int | None = Field(
        None, ge=1, le=10000, description="Tasks of a fan-out that share a job; by default short ones share as many "
        "jobs as may run at a time."
    )
    side_by_side: int | None = Field(
        None, ge=1, le=1024, description="Tasks of a job that run at the same time, each with an equal share of its "
        "processes or cores, and of its GPUs (several on one GPU if there are fewer); by default one after the other."
    )
    max_jobs: int | None = Field(
        None, ge=1, le=100000, description="Jobs of this kind that run at a time, all steps of the run together."
    )
    restarts: int | None = Field(
        None, ge=0, le=1000, description="How often a job is submitted again that reached its time limit, was "
        "preempted or lost its node."
    )

    def over(self, base: JobSettings) -> JobSettings:
        """Return these settings with those of ``base`` where they say nothing."""
        given = {name: value for name, value in self if value is not None}
        return base.model_copy(update=given)


class Job(Settings):
    """What a job of one kind of work asks for, complete."""

    where: Literal["queue", "driver"] = "queue"
    partition: str | None = None
    qos: str | None = None
    constraint: str | None = None
    nodes: int = 1
    tasks_per_node: int = 1
    cpus_per_task: int = 1
    gpus: int = 0
    gpu_type: str | None = None
    mem_GB: float | None = None
    max_mem_GB: float | None = None
    time: str = "01:00:00"
    setup: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    tasks_per_job: int | None = None
    side_by_side: int = 1
    max_jobs: int = 100
    restarts: int = 10

    @property
    def seconds(self) -> int:
        """The time limit."""
        return seconds(self.time)

    @property
    def share(self) -> tuple[int, int]:
        """MPI processes of each of the tasks that run side by side, and threads of each process."""
        if self.tasks_per_node > 1:
            return self.tasks_per_node // self.side_by_side, self.cpus_per_task
        return 1, self.cpus_per_task // self.side_by_side

    @property
    def share_fault(self) -> str:
        """Why the tasks that run side by side cannot share the job equally; empty if they can."""
        count, several = self.side_by_side, self.tasks_per_node > 1
        whole = self.tasks_per_node if several else self.cpus_per_task
        if count > 1 and self.nodes > 1:
            return f"side_by_side: {count} tasks share the jobs of one node, not of {self.nodes}"
        if whole % count:
            what = "tasks_per_node" if several else "cpus_per_task"
            return f"side_by_side: {count} tasks cannot share {what}: {whole} equally"
        if (self.gpus > count and self.gpus % count) or (0 < self.gpus < count and count % self.gpus):
            return f"side_by_side: {count} tasks cannot share gpus: {self.gpus} equally"
        if self.tasks_per_job is not None and self.tasks_per_job < count:
            return f"side_by_side: {count} tasks need as many in a job, not tasks_per_job: {self.tasks_per_job}"
        return ""

    @property
    def mem_MB(self) -> int | None:  # noqa: N802
        """Memory on each node, rounded up."""
        return None if self.mem_GB is None else math.ceil(self.mem_GB * 1024)


class ContainerSettings(Settings):
    """A container in which the jobs run; the run folder is visible in it under its own path."""

    runtime: Literal["apptainer", "singularity"] = Field("apptainer", description="Program that starts it.")
    image: Annotated[str, Field(pattern=r"^(/|[a-z]+://)[^\n\r]+$")] = Field(
        description="Image: absolute path of its file, or an address (docker://...)."
    )
    options: list[Option] = Field([], description="Further options, e.g. `--bind=/scratch`.")


class BatchPreset(Settings):
    """One file of ``configs/resources/slurm/``."""

    description: str = Field("", description="What the preset is for.")
    jobs: dict[Kind, JobSettings] = Field({}, description="What the jobs ask for, by kind of work.")


class BatchSettings(Settings):
    """How the project runs on a batch system."""

    preset: str = Field("default", description="Name of a preset in configs/resources/slurm, or a file.")
    overrides: dict[Kind, JobSettings] = Field(
        {}, description="Values that replace those of the preset, by kind of work."
    )
    account: Name | None = Field(None, description="Account, or project, that the jobs are charged to.")
    max_jobs: int = Field(100, ge=1, le=100000, description="Jobs of the run that run at a time.")
    container: ContainerSettings | None = Field(None, description="A container for the jobs; none by default.")
    python: Annotated[str | None, AfterValidator(_python)] = Field(
        None, description="Python of the jobs; by default the one that drives the run, which the nodes must see."
    )
    setup: list[Line] = Field([], description="Lines of shell before the work of every job.")
    stop_before_s: int = Field(
        90, ge=10, le=3600, description="How long before its time limit a task is asked to stop, s."
    )
    patience_s: float = Field(
        60.0, ge=1, le=3600, description="How late a new file may be seen on the shared file system, s."
    )
    poll_s: float = Field(10.0, ge=0.5, le=600, description="Longest interval between two questions to the queue, s.")


class EngineSettings(Settings):
    """Where the project runs."""

    on: Literal["local", "slurm", "pbs", "lsf"] | None = Field(
        None, description="`local`, `slurm`, `pbs` or `lsf`; by default the one that has a section here, else local."
    )
    slurm: BatchSettings | None = Field(None, description="How it runs on Slurm.")
    pbs: BatchSettings | None = Field(None, description="How it runs on PBS (OpenPBS, PBS Professional).")
    lsf: BatchSettings | None = Field(None, description="How it runs on LSF.")

    @property
    def system(self) -> System | None:
        """The batch system that it runs on; None for this machine."""
        if self.on is not None:
            return None if self.on == "local" else self.on
        return next((name for name in SYSTEMS if getattr(self, name) is not None), None)

    @property
    def batch(self) -> BatchSettings:
        """How it runs on that system; the defaults where there is no section for it."""
        found = getattr(self, self.system) if self.system else None
        return found or BatchSettings()
