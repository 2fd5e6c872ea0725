"""GPUs that would be reserved and never used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.labelers.registry import labeler_class
from dpa_sse.pipeline.config.batch import SYSTEMS, Kind
from dpa_sse.pipeline.config.batch_presets import jobs_of
from dpa_sse.pipeline.config.cluster_presets import load_cluster_preset
from dpa_sse.pipeline.config.problems import KeyPath
from dpa_sse.pipeline.config.schema import Project

WORK = {"train": "a training", "infer": "an evaluation", "md": "an MD run", "label": "a labelling with this labeler"}


def gpu_faults(project: Project, base_dir: Path) -> Iterator[tuple[KeyPath, str]]:
    """Yield kinds of work that get more GPUs than they use, by the path in the configuration.

    DeePMD-kit trains on several GPUs under ``torchrun`` only, with batches that depend on their number; here they
    depend on the seed and the step alone, so that a run can be interrupted. LAMMPS is started as one process.
    """
    kinds = [kind for kind in get_args(Kind) if kind in WORK]
    if labeler_class(project.labeler.kind).gpus:
        kinds.remove("label")
    yield from _pods(project, base_dir, kinds)
    yield from _jobs(project, base_dir, kinds)


def _pods(project: Project, base_dir: Path, kinds: Sequence[Kind]) -> Iterator[tuple[KeyPath, str]]:
    try:
        preset = load_cluster_preset(project.cluster, base_dir)
    except InputError:  # reported elsewhere
        return
    for kind in kinds:
        count = preset.pod(kind).gpus
        if count > 1:
            key = f"pods.{kind}.gpus"
            own = next((one for one in (key, f"pods.{kind}", "pods") if one in project.cluster.overrides), None)
            where: KeyPath = ("cluster", "overrides", own) if own else ("cluster", "preset")
            yield where, _message(kind, count, "" if own == key else f"{key}: ", f"`pods.{kind}.max_pods`")


def _jobs(project: Project, base_dir: Path, kinds: Sequence[Kind]) -> Iterator[tuple[KeyPath, str]]:
    for system in SYSTEMS:
        settings = getattr(project.engine, system)
        if settings is None:
            continue
        try:
            jobs = jobs_of(settings, base_dir)
        except InputError:  # reported elsewhere
            continue
        for kind in kinds:
            job = jobs[kind]
            if job.gpus and job.gpus * job.nodes > 1:
                own = settings.overrides.get(kind)
                key = "gpus" if job.gpus > 1 else "nodes"
                given = own is not None and getattr(own, key) is not None
                where: KeyPath = ("engine", system, "overrides", kind, key) if given else ("engine", system, "preset")
                place = "" if given else f"{kind}.{key}: "
                yield where, _message(kind, job.gpus * job.nodes, place, f"`{kind}.max_jobs`")


def _message(kind: str, count: int, place: str, more: str) -> str:
    return (
        f"{place}{WORK[kind]} uses one GPU, and {count - 1} of {count} would be idle: set it to 1 (the tasks of a "
        f"fan-out use several GPUs at the same time, one each: {more})"
    )
