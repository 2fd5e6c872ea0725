"""From the name of a run to its target: a local run folder, or a workflow on a cluster.

To support another place for runs (a batch system, say), add a subclass of :class:`RunTarget` and a case here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dpa_sse.pipeline.commands.run_target import RunTarget


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
