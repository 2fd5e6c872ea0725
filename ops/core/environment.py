"""Every environment variable of the pipeline: its type, its default, who writes it and who reads it.

The engines describe a task to its process by environment variables; a few more are set by users, or by objects of the
namespace on a cluster. Nothing else in ``ops`` and ``pipeline`` names them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")
USER = "the user"
PREFIX = "DPA_SSE_"
"""Of the names of all variables but the keys of a namespace."""
NAMESPACE = "ConfigMap and Secret of the namespace"


@dataclass(frozen=True)
class Variable(Generic[T]):
    """One environment variable.

    Attributes
    ----------
    name : str
        Name in the environment.
    parse : callable
        From the text to the value.
    default : T
        The value where the variable is absent or empty.
    writers : tuple of str
        Who sets it: folders or modules of this project, :data:`USER`, :data:`NAMESPACE`.
    readers : tuple of str
        Who reads it: folders or modules of this project.
    meaning : str
        For the reader of this file.
    """

    name: str
    parse: Callable[[str], T]
    default: T
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    meaning: str

    def read(self, environment: Mapping[str, str] | None = None) -> T:
        """Return the value in an environment, by default that of this process.

        Raises
        ------
        ValueError
            The text is not what the variable should hold; names the variable.
        """
        text = (os.environ if environment is None else environment).get(self.name)
        if not text:
            return self.default
        try:
            return self.parse(text)
        except ValueError as error:
            raise ValueError(f"environment variable {self.name}: {error}") from error

    def entry(self, value: T) -> tuple[str, str]:
        """Return name and text, for the environment of another process."""
        return self.name, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _flag(text: str) -> bool:
    return text == "1"


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _optional_text(text: str) -> str | None:
    return text


def _optional_path(text: str) -> Path | None:
    return Path(text)


def _optional_int(text: str) -> int | None:
    return int(text)


def _stored_at(name: str, meaning: str) -> Variable[str | None]:
    """Return a key of the namespace's ConfigMap or Secret; small letters, as the keys there."""
    return Variable(f"{S3_PREFIX}{name}", _optional_text, None, (NAMESPACE,), ("ops/runtime/store",), meaning)


# The task

STEP: Variable[str | None] = Variable(
    "DPA_SSE_STEP", _optional_text, None, ("pipeline/graph",), ("ops/runtime/task", "pipeline/engines/slurm"),
    "Name of the step in the DAG; the name of its OP where there is no DAG.",
)
STAGE = Variable(
    "DPA_SSE_STAGE", str, "tasks", ("pipeline/graph",), ("ops/runtime", "pipeline/engines/slurm"),
    "Stage of the step: the folder below tasks/ and the line of the progress display.",
)
THREADS: Variable[int | None] = Variable(
    "DPA_SSE_THREADS", _optional_int, None, ("pipeline/graph", "pipeline/doctor", USER),
    ("ops/core/tools", "pipeline/engines/slurm"),
    "Threads that a task may use; by default all cores of the process.",
)
NEEDS_GPU = Variable(
    "DPA_SSE_NEEDS_GPU", _flag, False, ("pipeline/graph",), ("pipeline/engines/launcher",),
    "Whether the task uses a GPU where there is one.",
)
RETRIES = Variable(
    "DPA_SSE_RETRIES", int, 0, ("pipeline/engines/local", "pipeline/engines/slurm", "pipeline/engines/argo"),
    ("ops/runtime/task",),
    "Further attempts of a task after a transient error (failure.retries).",
)
TASK_TIMEOUT_S = Variable(
    "DPA_SSE_TASK_TIMEOUT_S", float, 0.0,
    ("pipeline/engines/local", "pipeline/engines/slurm", "pipeline/engines/argo"), ("ops/runtime/task",),
    "Time limit of an attempt in seconds, 0 for none (failure.task_timeout_min).",
)
LMP: Variable[str | None] = Variable(
    "DPA_SSE_LMP", _optional_text, None, (USER,), ("ops/md", "ops/runtime/versions", "pipeline/engines/slurm"),
    "A LAMMPS program with pair_style deepmd built in, instead of the installed one.",
)

MODELS: Variable[str | None] = Variable(
    "DPA_SSE_MODELS", _optional_text, None, (USER,), ("ops/models", "pipeline/commands"),
    "Folder of the model registry, or s3://bucket/prefix, instead of dpa-sse/models in the user's data folder.",
)

# A run on this machine

RUN: Variable[Path | None] = Variable(
    "DPA_SSE_RUN", _optional_path, None, ("pipeline/engines/local",),
    ("ops/runtime", "ops/validation", "pipeline/engines", "pipeline/report"),
    "The run folder; marks all processes that work for it. Absent in a pod.",
)
WORKERS = Variable(
    "DPA_SSE_WORKERS", int, 1, ("pipeline/engines/local",), ("pipeline/engines/local",),
    "Number of tasks that run at the same time.",
)
LOCK: Variable[int | None] = Variable(
    "DPA_SSE_LOCK", _optional_int, None, ("pipeline/engines/local",), ("pipeline/engines/local",),
    "File descriptor of the run's lock, inherited by the driver.",
)
GPUS: Variable[tuple[str, ...]] = Variable(
    "DPA_SSE_GPUS", _names, (), ("pipeline/engines/local",), ("pipeline/engines/launcher",),
    "GPUs of the run, as in CUDA_VISIBLE_DEVICES.",
)
TASKS_PER_GPU = Variable(
    "DPA_SSE_TASKS_PER_GPU", int, 1, ("pipeline/engines/local",), ("pipeline/engines/launcher",),
    "Number of tasks that share a GPU.",
)
NICE = Variable(
    "DPA_SSE_NICE", int, 0, ("pipeline/engines/local",), ("pipeline/engines/launcher",),
    "Added to the niceness of a task that runs next to a more important one.",
)

# A job of a batch system

TASKS_PER_JOB = Variable(
    "DPA_SSE_TASKS_PER_JOB", int, 1, ("pipeline/engines/slurm",), ("pipeline/engines/slurm",),
    "Tasks of a fan-out that share a job.",
)
JOB: Variable[str | None] = Variable(
    "DPA_SSE_JOB", _optional_text, None, ("pipeline/engines/slurm",), ("pipeline/engines/local",),
    "Name of the job; marks processes that outlive the process that drives the run.",
)
JOB_EVENTS: Variable[Path | None] = Variable(
    "DPA_SSE_JOB_EVENTS", _optional_path, None, ("pipeline/engines/slurm",), ("ops/runtime/events",),
    "File for the events of a job: several machines cannot append to one log on a network file system.",
)

END_STATUS = Variable(
    "DPA_SSE_END_STATUS", str, "", ("pipeline/commands",), (USER, "pipeline/config"),
    "For the command `on_end`: the word for how the run has ended, as in summary.json.",
)
END_RESULT = Variable(
    "DPA_SSE_END_RESULT", str, "", ("pipeline/commands",), (USER, "pipeline/config"),
    "For the command `on_end`: name and status of the run, and its results, one per line.",
)
END_FOLDER: Variable[Path | None] = Variable(
    "DPA_SSE_END_FOLDER", _optional_path, None, ("pipeline/commands",), (USER,),
    "For the command `on_end`: the run folder.",
)

# A pod

WORKDIR: Variable[Path | None] = Variable(
    "DPA_SSE_WORKDIR", _optional_path, None, ("pipeline/engines/argo",), ("pipeline/engines/launcher",),
    "Working folder of the container, whose root is read-only.",
)
EVENTS = Variable(
    "DPA_SSE_EVENTS", str, "", ("pipeline/engines/argo",), ("ops/runtime/events",),
    "`stdout`: print events, since there is no run folder with a log.",
)
VERSION: Variable[str | None] = Variable(
    "DPA_SSE_VERSION", _optional_text, None, ("pipeline/engines/local", "pipeline/engines/argo"),
    ("pipeline/engines/launcher", "pipeline/engines/slurm"),
    "Version of the pipeline that made the workflow.",
)
PAGE: Variable[Path | None] = Variable(
    "DPA_SSE_PAGE", _optional_path, None, ("pipeline/engines/argo",), ("ops/runtime/task",),
    "Where an HTML page of the result is to be copied, to be an artifact in its own right.",
)
STORE = Variable(
    "DPA_SSE_STORE", str, "", ("pipeline/engines/argo",), ("ops/runtime/store",),
    "Where finished tasks and checkpoints are kept: a folder, `s3` for a bucket, empty for nowhere.",
)
STORE_PREFIX = Variable(
    "DPA_SSE_STORE_PREFIX", str, "store", ("pipeline/engines/argo",), ("ops/runtime/store",),
    "Prefix of the keys in the store.",
)
CHECKPOINT_S = Variable(
    "DPA_SSE_CHECKPOINT_S", float, 300.0, ("pipeline/engines/argo",), ("ops/runtime/store",),
    "Interval of the checkpoints in seconds.",
)
S3_PREFIX = "DPA_SSE_S3_"
"""Prefix of the variables that a pod gets from the namespace."""
S3_BUCKET_ENDPOINT = _stored_at("endpoint", "host:port of the S3 server as pods reach it; absent: nothing is stored.")
S3_BUCKET = _stored_at("bucket", "Name of the bucket (dpa-sse).")
S3_SECURE = _stored_at("secure", "`true` for TLS.")
S3_REGION = _stored_at("region", "Region of the bucket (us-east-1).")
S3_CA = _stored_at("ca", "Certificate (PEM) of the private authority behind the server's; absent: public authorities.")
S3_ACCESS_KEY = _stored_at("accesskey", "Access key.")
S3_SECRET_KEY = _stored_at("secretkey", "Secret key.")

# A client of a cluster

S3_ENDPOINT: Variable[str | None] = Variable(
    "DPA_SSE_S3_ENDPOINT", _optional_text, None, (USER,), ("ops/models", "pipeline/engines/argo"),
    "host:port under which this machine reaches the S3 server of the cluster.",
)


def declared() -> dict[str, Variable[Any]]:
    """Return all variables by the name of their constant in this module."""
    return {name: value for name, value in globals().items() if isinstance(value, Variable)}
