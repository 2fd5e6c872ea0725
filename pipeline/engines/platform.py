"""Where the DAG runs: what the graph has to know of a machine or a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from dpa_sse.ops.runtime.task import TaskOP

MAX_GROUP = 50


@dataclass(frozen=True)
class Resources:
    """What the machine, or a pod, provides to the tasks."""

    cores: int = 1
    gpus: tuple[str, ...] = ()
    tasks_per_gpu: int = 1
    threads_per_task: int | None = None
    retries: int = 1
    task_timeout_s: float = 0.0


@dataclass(frozen=True)
class StepSpec:
    """What a platform has to know about a step.

    Attributes
    ----------
    name, stage, title : str
        Name and stage of the step; title for people.
    op : type
        What its tasks do.
    gpu : bool
        Whether they use a GPU where there is one.
    tasks, group_size : int
        Number of tasks, and how many of them go into one process (or pod).
    low_priority : bool
        Whether it runs next to a step that matters more.
    """

    name: str
    stage: str
    title: str
    op: type[TaskOP]
    gpu: bool
    tasks: int = 1
    group_size: int = 1
    low_priority: bool = False


class Platform(Protocol):
    """Where the DAG runs: what differs between a machine and a cluster."""

    @property
    def suspends(self) -> bool:
        """Whether a workflow can wait for a person by itself; else a step ends the run until it is resumed."""

    @property
    def command(self) -> Sequence[str]:
        """Command that runs the script of a step."""

    @property
    def util_command(self) -> Sequence[str]:
        """Command that runs dflow's bookkeeping scripts, which need only the standard library."""

    def group_size(self, op: type[TaskOP], count: int, *, gpu: bool, grouped: bool) -> int:
        """Return how many of ``count`` equal tasks share a process."""

    def threads(self, spec: StepSpec, concurrency: int) -> int:
        """Return the threads of a task, ``concurrency`` of which run at a time."""

    def image(self, op: type[TaskOP]) -> str:
        """Return the container image that an OP needs."""

    def environment(self, spec: StepSpec) -> dict[str, str]:
        """Return the environment variables of a step, in addition to those that all steps have."""

    def configure_template(self, template: Any, spec: StepSpec) -> None:
        """Adapt dflow's template of a step."""

    def artifact(self, path: Path) -> Any:
        """Return an artifact for a file or folder of this machine."""

    def bucket_input(self, name: str, description: str) -> Any:
        """Return an artifact whose key in the bucket is given when the workflow is submitted."""

    def remote(self, address: str) -> Any:
        """Return an artifact for ``s3://KEY`` or ``pvc://CLAIM/PATH``."""
