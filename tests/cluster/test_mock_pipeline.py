"""The whole DAG on a cluster: `argo submit` of the rendered file, and the same numbers as on this machine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import LIMIT_S, MOCK, ROOT, Run, call, dpa_sse, kubectl

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2 * LIMIT_S + 1800)]


def numbers(folder: Path) -> dict[str, Any]:
    """Return everything numerical that a run tells: errors, learning history, conductivities."""
    summary = json.loads(_without_hashes((folder / "summary.json").read_text()))
    return {name: summary[name] for name in ("errors", "concurrent_learning", "conductivity")}


def comparable(manifest: Path) -> dict[str, str]:
    """Return the digests of a task's files without networks, and without the hash of the network that made labels."""
    files = json.loads(manifest.read_text())["files"]
    found = {name: digest for name, digest in files.items() if "model" not in name}
    for name in found:
        if name.endswith(("dataset.json", "evaluation.json")):
            found[name] = _without_hashes((manifest.parent / name).read_text())
    return found


def _without_hashes(text: str) -> str:
    """Return a result without the hash of the network that made labels."""
    return re.sub(r'("model_sha256": "|Deep Potential )[0-9a-f]{8,64}', r"\1", text)


@pytest.fixture(scope="module")
def downloaded(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("downloaded")
    dpa_sse("download", finished.reference, cwd=folder)
    return folder / "runs" / finished.name


def test_argo_finds_nothing_to_complain_of(tmp_path: Path) -> None:
    for config in (MOCK, ROOT / "configs" / "quickstart.yaml", ROOT / "configs" / "paper" / "dpa-sse.yaml"):
        dpa_sse("render", config, "-o", tmp_path / "wf.yaml", "--inputs-in-bucket", cwd=tmp_path)
        assert "no linting errors" in call("argo", "lint", "--offline", tmp_path / "wf.yaml")


def test_all_numbers_are_those_of_the_local_engine(downloaded: Path, local: Path) -> None:
    assert numbers(downloaded) == numbers(local)


def test_so_is_every_file_but_the_networks(downloaded: Path, local: Path) -> None:
    """Data sets, labels and transport byte for byte; the archives of networks, and so their hashes, hold times."""
    compared = 0
    for manifest in sorted((downloaded / "tasks").glob("*/*/manifest.json")):
        task = manifest.parent.name.partition("--")[0]
        if task in ("report", "gates"):  # tell when and where they were made
            continue
        # locally, steps that can be in a loop have the number of a round in their folder, on Argo only inside loops
        names = [f"*/{task}--*/manifest.json", f"*/{task}-i000--*/manifest.json"]
        twin = next(found for name in names for found in (local / "tasks").glob(name))
        here, there = comparable(manifest), comparable(twin)
        assert here == there, task
        compared += len(here)
    assert compared > 150


def test_every_pod_is_as_the_restricted_level_demands(finished: Run) -> None:
    level = kubectl(
        "get", "namespace", "dpa-sse", "-o", r"jsonpath={.metadata.labels.pod-security\.kubernetes\.io/enforce}"
    )
    assert level == "restricted"
    nodes = [node for node in finished.nodes() if node["type"] == "Pod"]
    assert len(nodes) > 30
    assert {node["phase"] for node in nodes} == {"Succeeded"}


def test_pods_of_an_iteration(finished: Run) -> None:
    """At most 8 pods per iteration of concurrent learning in addition to the tasks of its fan-outs."""
    names = [node["name"] for node in finished.nodes() if node["type"] == "Pod"]
    pods = [name for name in names if ".concurrent-learning" in name]
    tasks = [name for name in pods if any(f".{step}(" in name for step in ("train", "explore", "label"))]
    print(f"pods of two iterations: {len(pods)}, of these tasks of fan-outs: {len(tasks)}")
    assert len(pods) - len(tasks) <= 2 * 8


def test_report_is_an_artifact_that_the_ui_shows(finished: Run) -> None:
    pages = [
        artifact["s3"]["key"]
        for node in finished.nodes() for artifact in node.get("outputs", {}).get("artifacts", [])
        if artifact["name"] == "page" and "s3" in artifact
    ]
    assert any(key.endswith("report.html") for key in pages)
    assert len(pages) >= 3, "a page per iteration, and the report"


def test_status_and_report_say_the_same_words_as_for_a_local_run(finished: Run, tmp_path: Path) -> None:
    status = json.loads(dpa_sse("status", finished.reference, "--json", cwd=tmp_path))
    assert status["status"] == "done"
    assert "Production MD" in dpa_sse("status", finished.reference, cwd=tmp_path)
    said = dpa_sse("report", finished.reference, cwd=tmp_path)
    page = tmp_path / "runs" / finished.name / "report.html"
    assert said.splitlines()[-1] == f"Report: {page}"
    assert "Ionic conductivity" in page.read_text(encoding="utf-8")
