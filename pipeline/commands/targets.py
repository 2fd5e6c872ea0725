"""Where a run is: what the commands about existing runs ask of a run, whether it is local or on a cluster.

Another place for runs (a batch system, say) is a subclass of :class:`RunTarget` and a line in :func:`find_target`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path


class RunTarget(ABC):
    """A run that a user named. Every method prints for a person and returns the exit code of its command."""

    @abstractmethod
    def show_status(self, *, as_json: bool) -> int:
        """Print the stages with their progress, and which tasks failed."""

    @abstractmethod
    def watch(self) -> int:
        """Show the progress until the run ends."""

    @abstractmethod
    def show_logs(self, task: str | None, lines: int) -> int:
        """Print the last ``lines`` lines of the logs of a task, or of all failed tasks; else the names of the tasks."""

    @abstractmethod
    def stop(self) -> int:
        """Stop the run; what has finished is kept."""

    @abstractmethod
    def resume(self) -> int:
        """Continue an interrupted, failed or waiting run; finished tasks are not repeated."""

    @abstractmethod
    def download(self, steps: Sequence[str], out: Path | None) -> int:
        """Bring the results of ``steps`` (none: the main results) into a run folder on this machine."""

    @abstractmethod
    def rebuild_report(self, out: Path | None) -> int:
        """Write the report from the tasks that have finished so far into ``out``, or into the run folder."""


def find_target(name: str, namespace: str | None, kubeconfig: Path | None) -> RunTarget:
    """Return the run that a user means.

    Parameters
    ----------
    name : str
        A run folder, its name in ``runs/``, or ``argo:NAME`` for a workflow.
    namespace, kubeconfig : optional
        Namespace of the workflow and way to the cluster, if not the defaults; with a namespace, ``name`` may also be
        the plain name of a workflow.

    Raises
    ------
    InputError
        There is no such run.
    """
    from dpa_sse.pipeline.engines.argo.cluster import find_run

    workflow = find_run(name, namespace)
    if workflow is not None:
        from dpa_sse.pipeline.commands.argo_runs import ArgoTarget
        from dpa_sse.pipeline.engines.argo.cluster import Cluster

        return ArgoTarget(workflow, Cluster(kubeconfig))
    from dpa_sse.pipeline.commands.monitor import LocalTarget

    return LocalTarget(name)
