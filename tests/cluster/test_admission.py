"""What pods of workflows may not have, whoever submits them: other accounts, secrets of the installation."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import yaml

from tests.cluster.conftest import NAMESPACE, ROOT, kubectl

pytestmark = pytest.mark.cluster

ROOT_KEY = "dpa-sse-minio-root"
ALLOWED = "dpa-sse-s3"


def pod(**changes: Any) -> dict[str, Any]:
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
               "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    container = {"name": "main", "image": "none", "securityContext": context}
    container |= {key: changes.pop(key) for key in ("env", "envFrom") if key in changes}
    labels = {"workflows.argoproj.io/workflow": "x"}
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "tried-", "namespace": NAMESPACE, "labels": labels},
        "spec": {"serviceAccountName": "dpa-sse-workflow", "containers": [container], **changes},
    }


def attempt(body: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Let the API server judge a pod without creating it."""
    return subprocess.run(
        ["kubectl", "create", "--dry-run=server", "-f", "-"], input=json.dumps(body), capture_output=True, text=True,
        check=False,
    )


def secret_ref(name: str) -> list[dict[str, Any]]:
    return [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": name, "key": "secretkey"}}}]


@pytest.mark.parametrize("changes", [
    {"serviceAccountName": "workflow-controller"}, {"serviceAccountName": "dpa-sse-executor"},
    {"serviceAccountName": "default"},
    {"env": secret_ref(ROOT_KEY)}, {"envFrom": [{"secretRef": {"name": ROOT_KEY}}]},
    {"volumes": [{"name": "v", "secret": {"secretName": ROOT_KEY}}]},
    {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": ROOT_KEY}}]}}]},
    {"initContainers": [{**pod(env=secret_ref(ROOT_KEY))["spec"]["containers"][0], "name": "init"}]},
], ids=str)
def test_other_accounts_and_secrets_are_refused(changes: dict[str, Any]) -> None:
    done = attempt(pod(**changes))
    assert done.returncode != 0
    assert "ValidatingAdmissionPolicy 'dpa-sse-workflow-pods'" in done.stderr


def test_what_a_workflow_needs_is_admitted() -> None:
    volumes = [{"name": "v", "secret": {"secretName": "dpa-sse-executor.service-account-token"}}]
    all_keys = [{"secretRef": {"name": ALLOWED}}]
    for changes in ({}, {"env": secret_ref(ALLOWED), "volumes": volumes}, {"envFrom": all_keys}):
        done = attempt(pod(**changes))
        assert done.returncode == 0, done.stderr


def test_a_workflow_that_names_the_account_of_the_controller_fails() -> None:
    workflow = yaml.safe_load((ROOT / "k8s" / "trial.yaml").read_text().replace("@IMAGE@", "none"))
    workflow["spec"]["serviceAccountName"] = "workflow-controller"
    name = kubectl("create", "-o", "name", "-f", "-", input=json.dumps(workflow)).strip()
    try:
        kubectl("wait", name, "--for=jsonpath={.status.phase}=Failed", "--timeout=90s")
        assert "'dpa-sse-workflow-pods'" in kubectl("get", name, "-o", "jsonpath={.status.nodes.*.message}")
    finally:
        kubectl("delete", name, check=False)
