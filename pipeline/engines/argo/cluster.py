"""Workflows, pods and their logs, from the API server of a cluster. Only this module talks to Kubernetes."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.errors import InputError, PipelineError
from dpa_sse.ops.core.files import read_json, write_json
from dpa_sse.pipeline.engines.argo.nodes import ArgoWorkflow
from dpa_sse.pipeline.runs.places import candidates

GROUP, VERSION, PLURAL = "argoproj.io", "v1alpha1", "workflows"
PREFIX = "argo:"
RECORD = "argo.json"
NAMESPACE = "dpa-sse"
LABEL, NODE_ID = "workflows.argoproj.io/workflow", "workflows.argoproj.io/node-id"
TIMEOUT_S = 60


@dataclass(frozen=True)
class ArgoRun:
    """A workflow on a cluster, and its run folder on this machine if there is one."""

    name: str
    namespace: str
    folder: Path | None = None

    def record(self) -> None:
        """Write to the run folder which workflow it belongs to."""
        if self.folder is not None:
            write_json(self.folder / RECORD, {"workflow": self.name, "namespace": self.namespace})


def find_run(name: str, namespace: str | None = None) -> ArgoRun | None:
    """Return the workflow that a user names, None for a local run.

    Parameters
    ----------
    name : str
        ``argo:NAME``, ``argo:NAMESPACE/NAME``, or a run folder that `submit` has created.
    namespace : str, optional
        Takes precedence over that in the name or the run folder; any other name is then that of a workflow.
    """
    if name.startswith(PREFIX):
        given, _, workflow = name[len(PREFIX) :].rpartition("/")
        return ArgoRun(workflow, namespace or given or NAMESPACE)
    for folder in candidates(name):
        if (folder / RECORD).is_file():
            known = read_json(folder / RECORD)
            return ArgoRun(known["workflow"], namespace or known["namespace"], folder.resolve())
    return ArgoRun(name, namespace) if namespace else None


class Cluster:
    """A connection to the API server that ``KUBECONFIG`` (or the pod's account) names."""

    def __init__(self, kubeconfig: Path | None = None) -> None:
        from kubernetes import client, config

        chosen = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG") or None
        try:
            config.load_config(config_file=chosen)
        except config.ConfigException as error:
            raise InputError(f"no cluster: {str(error).rstrip('.')}; set KUBECONFIG or give --kubeconfig") from error
        except FileNotFoundError as error:
            raise InputError(f"{error.filename}: no such kubeconfig") from error
        self.core: Any = client.CoreV1Api()
        self.objects: Any = client.CustomObjectsApi()

    # foreign: a workflow of Argo
    def create(self, workflow: Mapping[str, Any], namespace: str) -> str:
        """Submit a workflow and return its name."""
        with explained(f"namespace {namespace}"):
            created = self.objects.create_namespaced_custom_object(
                GROUP, VERSION, namespace, PLURAL, dict(workflow), _request_timeout=TIMEOUT_S
            )
        return str(created["metadata"]["name"])

    def get(self, run: ArgoRun) -> ArgoWorkflow:
        """Return a workflow with its status."""
        with explained(f"{run.namespace}/{run.name}"):
            return ArgoWorkflow(dict(self.objects.get_namespaced_custom_object(
                GROUP, VERSION, run.namespace, PLURAL, run.name, _request_timeout=TIMEOUT_S
            )))

    def stop(self, run: ArgoRun) -> None:
        """Let Argo terminate the pods of a workflow."""
        with explained(f"{run.namespace}/{run.name}"):
            self.objects.patch_namespaced_custom_object(
                GROUP, VERSION, run.namespace, PLURAL, run.name, {"spec": {"shutdown": "Stop"}},
                _request_timeout=TIMEOUT_S,
            )

    def open_gates(self, run: ArgoRun) -> list[str]:
        """Resume a suspended workflow; returns the names of the gates that were opened."""
        found = self.get(run)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        opened = {"phase": "Succeeded", "finishedAt": now, "message": "resumed by dpa-sse"}
        nodes = {**found.nodes, **{key: {**found.nodes[key], **opened} for key in found.gates}}
        status = found.data["status"]
        if status.get("compressedNodes"):
            packed = base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()
            status = {**status, "compressedNodes": packed}
        else:
            status = {**status, "nodes": nodes}
        spec = {key: value for key, value in found.data["spec"].items() if key != "suspend"}
        workflow = {**found.data, "spec": spec, "status": status}
        with explained(f"{run.namespace}/{run.name}"):
            self.objects.replace_namespaced_custom_object(
                GROUP, VERSION, run.namespace, PLURAL, run.name, workflow, _request_timeout=TIMEOUT_S
            )
        return [str(nodes[key]["displayName"]) for key in found.gates] or [run.name]

    def resubmit(self, run: ArgoRun) -> str:
        """Submit the same workflow again; returns the new name."""
        old = self.get(run).data
        metadata = old["metadata"]
        annotations = {
            key: value for key, value in (metadata.get("annotations") or {}).items()
            if key.startswith("dpa-sse/") or key in (
                "workflows.argoproj.io/title", "workflows.argoproj.io/description"
            )
        }
        labels = {
            key: value for key, value in (metadata.get("labels") or {}).items()
            if not key.startswith("workflows.argoproj.io/")
        }
        spec = {key: value for key, value in old["spec"].items() if key not in ("shutdown", "suspend")}
        return self.create(
            {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": "Workflow",
                "metadata": {
                    "generateName": metadata.get("generateName") or f"{run.name}-",
                    "labels": labels,
                    "annotations": {**annotations, "dpa-sse/resumed-from": run.name},
                },
                "spec": spec,
            },
            run.namespace,
        )

    def pod_log(self, run: ArgoRun, node_id: str, lines: int) -> str | None:
        """Return the last lines of the log of a pod, None if the pod is gone."""
        with explained(f"{run.namespace}/{run.name}"):
            pods = self.core.list_namespaced_pod(
                run.namespace, label_selector=f"{LABEL}={run.name}", _request_timeout=TIMEOUT_S
            ).items
        for pod in pods:
            if (pod.metadata.annotations or {}).get(NODE_ID) == node_id:
                from kubernetes.client import ApiException

                try:
                    return str(self.core.read_namespaced_pod_log(
                        pod.metadata.name, run.namespace, container="main", tail_lines=lines,
                        _request_timeout=TIMEOUT_S,
                    ))
                except ApiException:  # not started yet, or just removed
                    return None
        return None

    def settings(self, namespace: str, config_map: str, secret: str) -> dict[str, str]:
        """Return the values of a ConfigMap and a Secret, merged."""
        with explained(f"namespace {namespace}: {config_map}, {secret}"):
            values = dict(self.core.read_namespaced_config_map(
                config_map, namespace, _request_timeout=TIMEOUT_S
            ).data or {})
            hidden = self.core.read_namespaced_secret(secret, namespace, _request_timeout=TIMEOUT_S).data or {}
        return values | {key: base64.b64decode(value).decode() for key, value in hidden.items()}


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn errors of the client into messages for people.

    Raises
    ------
    InputError
        The object does not exist.
    PipelineError
        The cluster refuses the request, or does not answer.
    """
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        if error.status == 404:
            raise InputError(f"{what}: not found on the cluster") from error
        raise PipelineError(f"{what}: the cluster refuses: {_message(error)}") from error
    except HTTPError as error:
        raise PipelineError(f"{what}: the cluster does not answer ({type(error).__name__}: {error})") from error


def _message(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"
