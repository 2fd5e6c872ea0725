"""What the partitions of Slurm allow, against what the jobs ask for; nothing is submitted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.pipeline.config.batch import Job, clock
from dpa_sse.pipeline.engines.slurm.scheduler import Scheduler
from dpa_sse.pipeline.engines.slurm.slurm import slurm_seconds


@dataclass(frozen=True)
class Nodes:
    """Equal nodes: how many, cores, memory in MB, and GPUs by type (the empty type counts all)."""

    count: int
    cores: int
    mem_MB: int
    gpus: Mapping[str, int]


@dataclass(frozen=True)
class Partition:
    """A partition: whether it is the default and takes jobs, its limits, and its nodes."""

    name: str
    default: bool
    state: str
    seconds: int | None
    most_nodes: int | None
    accounts: tuple[str, ...]
    qos: tuple[str, ...]
    nodes: list[Nodes] = field(default_factory=list)


def read_partitions(scheduler: Scheduler) -> dict[str, Partition]:
    """Ask Slurm for its partitions and their nodes.

    Raises
    ------
    SilentError
        It does not answer.
    """
    limits = scheduler.ask(["scontrol", "--oneliner", "show", "partition"])
    nodes = scheduler.ask(["sinfo", "--noheader", "--format=%R|%D|%c|%m|%G"])
    return parse_partitions(limits, nodes)


def parse_partitions(limits: str, nodes: str) -> dict[str, Partition]:
    """Return the partitions in the answers of ``scontrol`` and ``sinfo``."""
    found: dict[str, Partition] = {}
    for line in limits.splitlines():
        data = dict(part.split("=", 1) for part in line.split() if "=" in part)
        if "PartitionName" not in data:
            continue
        most = data.get("MaxNodes", "UNLIMITED")
        found[data["PartitionName"]] = Partition(
            data["PartitionName"], data.get("Default") == "YES", data.get("State", "UP"),
            slurm_seconds(data.get("MaxTime", "UNLIMITED")), int(most) if most.isdigit() else None,
            _names(data.get("AllowAccounts", "ALL")), _names(data.get("AllowQos", "ALL")),
        )
    for line in nodes.splitlines():
        parts = line.strip().split("|")
        if len(parts) == 5 and parts[0] in found and parts[1].isdigit():
            cores, memory = (int(re.sub(r"\D.*", "", part) or 0) for part in parts[2:4])
            found[parts[0]].nodes.append(Nodes(int(parts[1]), cores, memory, gpus_in(parts[4])))
    return found


def gpus_in(gres: str) -> dict[str, int]:
    """Return the GPUs in ``gpu:a100:4(S:0-1),gpu:v100:2`` by type; the empty type counts all."""
    found: dict[str, int] = {}
    for kind, count in re.findall(r"gpu(?::([A-Za-z][\w.-]*))?(?::(\d+))?", gres):
        number = int(count or 1)
        found[kind] = found.get(kind, 0) + number
        if kind:
            found[""] = found.get("", 0) + number
    return found


def most_memory_MB(job: Job, partitions: Mapping[str, Partition]) -> int | None:  # noqa: N802
    """Return the memory of the largest node that has the cores and GPUs of a job; None if there is no such node."""
    names = job.partition.split(",") if job.partition else [one.name for one in partitions.values() if one.default]
    sizes = [
        one.mem_MB for name in names if name in partitions for one in partitions[name].nodes
        if one.cores >= job.tasks_per_node * job.cpus_per_task and one.gpus.get(job.gpu_type or "", 0) >= job.gpus
    ]
    return max(sizes, default=None)


def job_faults(job: Job, account: str | None, partitions: Mapping[str, Partition]) -> Iterator[str]:
    """Yield why jobs cannot start, each with what there is."""
    if job.partition is None:
        names = [one.name for one in partitions.values() if one.default]
        if not names:
            yield f"there is no default partition; give `partition`: {', '.join(partitions)}"
            return
    else:
        names = job.partition.split(",")
    unknown = [name for name in names if name not in partitions]
    if unknown:
        hint = did_you_mean(unknown[0], partitions)
        yield f"there is no partition {unknown[0]!r}{hint} (there are {', '.join(partitions)})"
        return
    faults = [list(_faults(job, account, partitions[name])) for name in names]
    if all(faults):
        yield from faults[0]


def _faults(job: Job, account: str | None, partition: Partition) -> Iterator[str]:
    where = f"partition {partition.name}"
    if partition.state != "UP":
        yield f"{where} is {partition.state}: jobs in it do not start"
    if partition.seconds is not None and job.seconds > partition.seconds:
        yield f"time {job.time} is more than the limit of {where}, {clock(partition.seconds)}"
    if partition.accounts and account is not None and account not in partition.accounts:
        yield f"account {account} may not use {where} (it is for {', '.join(partition.accounts)})"
    if partition.qos and job.qos is not None and job.qos not in partition.qos:
        yield f"{where} does not take the QOS {job.qos} (it takes {', '.join(partition.qos)})"
    if partition.most_nodes is not None and job.nodes > partition.most_nodes:
        yield f"{job.nodes} nodes are more than {where} gives to a job, {partition.most_nodes}"
    cores = job.tasks_per_node * job.cpus_per_task
    kind = job.gpu_type or ""
    fitting = [
        one for one in partition.nodes
        if one.cores >= cores and one.mem_MB >= (job.mem_MB or 0) and one.gpus.get(kind, 0) >= job.gpus
    ]
    if sum(one.count for one in fitting) >= job.nodes:
        return
    asked = [f"{cores} cores"] + ([f"{job.mem_GB:g} GB"] if job.mem_GB else [])
    asked += [f"{job.gpus} GPU{'s' * (job.gpus > 1)}{f' of type {kind}' if kind else ''}"] if job.gpus else []
    there = ", ".join(
        f"{one.count} with {one.cores} cores, {one.mem_MB / 1024:.3g} GB, {one.gpus.get('', 0)} GPUs"
        for one in partition.nodes
    )
    yield f"{job.nodes} node(s) with {', '.join(asked)} each: {where} has {there or 'no nodes'}"


def _names(text: str) -> tuple[str, ...]:
    return () if text == "ALL" else tuple(text.split(","))
