"""The verdict on the student of the mock pipeline, on a cluster and on this machine, and what follows from it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.cluster.conftest import LIMIT_S, MOCK, NAMESPACE, Run, call, dpa_sse, submit

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2 * LIMIT_S + 1800)]


STORE = f"cluster.overrides={{store: test-gates-{time.time_ns()}}}"
"""Shared by these tests: the second workflow finds the results of the first up to the verdict."""


def pods(run: Run) -> set[str]:
    """Return the names of the steps that had a pod."""
    return {node["displayName"].partition("(")[0] for node in run.nodes() if node["type"] == "Pod"}


def waits(run: Run) -> bool:
    return any(node["type"] == "Suspend" and node["phase"] == "Running" for node in run.nodes())


def test_a_failed_gate_ends_the_workflow_before_the_production_md(tmp_path: Path) -> None:
    run = submit(MOCK, tmp_path, STORE, "validate.on_fail=stop")
    assert run.wait() == "Failed", run.why()
    found = pods(run)
    assert any("gates" in name for name in found)
    assert not [name for name in found if name.startswith(("md", "prepare-md"))]
    assert "refused" in dpa_sse("status", run.reference, cwd=tmp_path)


def test_a_doubtful_verdict_waits_for_a_person(tmp_path: Path) -> None:
    run = submit(MOCK, tmp_path, STORE, "validate.on_warn=suspend")
    assert run.wait(until=lambda: waits(run)) == "Running", run.why()
    assert not [name for name in pods(run) if name.startswith(("md", "prepare-md"))]
    call("argo", "resume", "-n", NAMESPACE, run.name)
    assert run.succeeded()
    assert [name for name in pods(run) if name.startswith("md")]


def test_the_student_has_the_same_verdict(finished: Run, local: Path, tmp_path: Path) -> None:
    dpa_sse("download", finished.reference, cwd=tmp_path)
    found = [
        {gate["key"]: gate["verdict"] for gate in json.loads(path.read_text())["gates"]}
        for folder in (tmp_path / "runs" / finished.name, local)
        for path in folder.glob("tasks/*/gates--*/gates.json")
    ]
    assert len(found) == 2
    assert found[0] == found[1]
    assert {"G1", "G2", "G3", "G6"} <= found[0].keys()
