"""A cluster to test on: that of KUBECONFIG, with the installation of k8s/setup and the images of images/build."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MOCK = ROOT / "tests" / "pipeline" / "flows" / "mock.yaml"
NAMESPACE = "dpa-sse"
PRESET = os.environ.get("DPA_SSE_TEST_PRESET", "tiny")
ENDED = {"Succeeded", "Failed", "Error"}
LIMIT_S = float(os.environ.get("DPA_SSE_TEST_LIMIT_S", "2400"))
ONE_THREAD = ("-s", "resources.threads_per_task=1")


def call(
    *command: str | Path, cwd: Path | None = None, check: bool = True, timeout: float = 300, input: str | None = None,
    code: int = 0,
) -> str:
    """Run a program, which is to end with ``code``, and return what it printed; its errors are part of the failure."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    environment.pop("OPENBLAS_CORETYPE", None)  # pods do not have it: the last bits of sums depend on it
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout,
        check=False, input=input,
    )
    if check and done.returncode != code:
        pytest.fail(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def kubectl(*arguments: str | Path, check: bool = True, timeout: float = 300, input: str | None = None) -> str:
    return call("kubectl", "-n", NAMESPACE, *arguments, check=check, timeout=timeout, input=input)


def dpa_sse(*arguments: str | Path, cwd: Path, check: bool = True, timeout: float = 600, code: int = 0) -> str:
    command = (sys.executable, "-m", "dpa_sse.pipeline", *arguments)
    return call(*command, cwd=cwd, check=check, timeout=timeout, code=code)


class Run:
    """A workflow on the cluster."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reference = f"argo:{NAMESPACE}/{name}"

    def get(self) -> dict[str, Any]:
        return json.loads(kubectl("get", "workflow", self.name, "-o", "json"))

    def phase(self) -> str:
        return kubectl("get", "workflow", self.name, "-o", "jsonpath={.status.phase}")

    def nodes(self) -> list[dict[str, Any]]:
        return list(self.get()["status"].get("nodes", {}).values())

    def pods(self) -> list[dict[str, Any]]:
        listed = kubectl("get", "pods", "-l", f"workflows.argoproj.io/workflow={self.name}", "-o", "json")
        return json.loads(listed)["items"]

    def wait(self, limit_s: float = LIMIT_S, until: Callable[[], bool] | None = None) -> str:
        """Return the phase when the workflow has ended, or ``until`` holds."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            phase = self.phase()
            if phase in ENDED or (until and until()):
                return phase
            time.sleep(5)
        pytest.fail(f"{self.name} is {self.phase()} after {limit_s:.0f} s\n{self.why()}")

    def events(self) -> list[dict[str, Any]]:
        """Return the events that the tasks printed, from the logs that Argo keeps with the artifacts."""
        from dpa_sse.pipeline.engines.argo.bucket import open_bucket
        from dpa_sse.pipeline.engines.argo.cluster import Cluster

        bucket = open_bucket(Cluster(), NAMESPACE)
        found = []
        for node in self.nodes():
            for artifact in node.get("outputs", {}).get("artifacts", []) if node["type"] == "Pod" else []:
                if artifact["name"] == "main-logs":
                    lines = (bucket.get(artifact["s3"]["key"]) or b"").decode().splitlines()
                    found += [json.loads(line) for line in lines if line.startswith('{"time"')]
        return found

    def why(self) -> str:
        """Return what the nodes say that did not succeed, and what is known of the pods."""
        lines = [
            f"{node['displayName']} [{node['type']}] {node['phase']}: {node.get('message', '')}"
            for node in self.nodes() if node["phase"] not in ("Succeeded", "Omitted", "Skipped")
        ]
        logs = call("argo", "logs", "-n", NAMESPACE, self.name, "--tail", "30", check=False, timeout=60)
        return "\n".join([*lines, logs[-6000:], kubectl("get", "pods", check=False)])

    def succeeded(self, limit_s: float = LIMIT_S) -> Run:
        phase = self.wait(limit_s)
        assert phase == "Succeeded", f"{self.name} is {phase}\n{self.why()}"
        return self

    def running_pod(self, step: str, seconds: float, limit_s: float = LIMIT_S) -> str:
        """Return the name of a pod of a step whose main container has been running for some seconds."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline and self.phase() not in ENDED:
            for pod in self.pods():
                node = pod["metadata"]["annotations"].get("workflows.argoproj.io/node-name", "")
                if f".{step}(" not in node or pod["metadata"].get("deletionTimestamp"):
                    continue
                for status in pod["status"].get("containerStatuses", []):
                    started = status["state"].get("running", {}).get("startedAt")
                    if status["name"] == "main" and started and age_s(started) >= seconds:
                        return pod["metadata"]["name"]
            time.sleep(1)
        pytest.fail(f"no pod of {step} ran for {seconds} s in {self.name} ({self.phase()})\n{self.why()}")


def age_s(timestamp: str) -> float:
    from datetime import UTC, datetime

    return (datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds()


def submit(config: Path, folder: Path, *overrides: str) -> Run:
    """Render a configuration and submit the file with the plain Argo client.

    It has a separate store, so that finished tasks of other runs are not reused.
    """
    file = folder / "wf.yaml"
    settings = [part for item in overrides for part in ("-s", item)]
    cluster = ("-s", f"cluster.preset={PRESET}", "-s", f"cluster.overrides={{store: test-{time.time_ns()}}}")
    dpa_sse("render", config, "-o", file, *cluster, *ONE_THREAD, *settings, cwd=folder)
    return Run(call("argo", "submit", "-n", NAMESPACE, file, "-o", "name", cwd=folder).strip().rpartition("/")[2])


@pytest.fixture(scope="session", autouse=True)
def cluster() -> None:
    """Skip where no cluster is there, and say so."""
    for program in ("kubectl", "argo"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed; these tests need a cluster (make kind-up)")
    try:
        done = subprocess.run(
            ["kubectl", "get", "--raw", "/version", "--request-timeout=10s"], capture_output=True, check=False,
            timeout=30,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("no cluster answers (KUBECONFIG); make kind-up starts one on this machine")
    if done.returncode:
        pytest.skip("no cluster answers (KUBECONFIG); make kind-up starts one on this machine")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The mock pipeline, all stages, run by the cluster."""
    yield submit(MOCK, tmp_path_factory.mktemp("rendered")).succeeded()


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run by the local engine: its run folder."""
    folder = tmp_path_factory.mktemp("local")
    dpa_sse("run", MOCK, *ONE_THREAD, cwd=folder, timeout=1800, code=3)  # too short for a conductivity
    return folder / "runs" / "mock"
