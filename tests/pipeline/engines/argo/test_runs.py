"""Submit, status, watch, logs, stop, resume, download against a fake API server and a folder as the bucket."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emulator import ROOT
from fake_cluster import FakeCluster
from typer.testing import CliRunner

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import read_json
from dpa_sse.ops.runtime.store import FolderBucket
from dpa_sse.pipeline.cli import app
from dpa_sse.pipeline.commands import argo_runs
from dpa_sse.pipeline.engines.argo import bucket as bucket_module
from dpa_sse.pipeline.engines.argo import nodes
from dpa_sse.pipeline.engines.argo.cluster import find_run

MOCK = str(ROOT / "tests" / "pipeline" / "flows" / "mock.yaml")
BEGUN, ENDED = "2026-01-01T10:00:00Z", "2026-01-01T10:02:00Z"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    made = FakeCluster()
    monkeypatch.setenv("KUBECONFIG", str(made.kubeconfig(tmp_path / "kubeconfig")))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    yield made
    made.server.shutdown()


def dpa_sse(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == code, (done.output, done.exception)
    return done.output


def node(
    step: str, phase: str, *, iteration: int | None = None, group: tuple[int, int, int] | None = None,
    attempts: tuple[str, ...] = (), message: str = "", progress: str = "0/1",
) -> dict[str, dict[str, Any]]:
    key = step + (f"-i{iteration}" if iteration is not None else "") + (f"-{group[0]}" if group else "")
    values = {"dflow_key": key}
    if iteration is not None:
        values["iteration"] = str(iteration)
    if group:
        values |= dict(zip(("group", "group_size", "count"), map(str, group), strict=True))
    common = {
        "templateName": step, "startedAt": BEGUN, "progress": progress, "displayName": key,
        "inputs": {"parameters": [{"name": name, "value": value} for name, value in values.items()]},
    }
    ended = {} if phase in ("Pending", "Running") else {"finishedAt": ENDED}
    out = {"outputs": {"artifacts": [{"name": "out", "s3": {"key": f"wf/{key}/out.tgz"}}]}}
    top = {"id": f"wf-{key}", "name": key, "type": "Retry", "phase": phase, **common, **ended, **out,
           "children": [f"wf-{key}-{number}" for number in range(len(attempts))]}
    made = {f"wf-{key}": top}
    for number, attempt in enumerate(attempts):
        made[f"wf-{key}-{number}"] = {
            "id": f"wf-{key}-{number}", "name": f"{key}({number})", "type": "Pod", "phase": attempt, **common,
            "message": message if attempt in ("Failed", "Error") else "",
        }
    return made


def submit(fake: FakeCluster) -> str:
    text = dpa_sse("submit", MOCK)
    assert "Submitted: dpa-sse/mock-00000" in text
    assert "/workflows/dpa-sse/mock-00000" in text
    return "mock-00000"


def set_status(fake: FakeCluster, name: str, phase: str, *parts: dict[str, Any], packed: bool = False) -> None:
    found = {key: value for part in parts for key, value in part.items()}
    if packed:
        text = base64.b64encode(gzip.compress(json.dumps(found).encode())).decode()
        fake.workflows[name]["status"] = {"phase": phase, "compressedNodes": text}
    else:
        fake.workflows[name]["status"] = {"phase": phase, "nodes": found}


def test_submit_makes_a_run_folder(fake: FakeCluster) -> None:
    name = submit(fake)
    assert read_json(Path("runs") / name / "argo.json") == {"workflow": name, "namespace": "dpa-sse"}
    assert (Path("runs") / name / "config.resolved.yaml").is_file()
    assert fake.workflows[name]["kind"] == "Workflow"
    assert find_run(name).name == name
    assert find_run("argo:other/x").namespace == "other"
    assert find_run("argo:x", "mine").namespace == "mine"
    assert find_run("mock") is None
    assert find_run("mock", "mine").namespace == "mine"


@pytest.mark.parametrize("packed", [False, True])
def test_status_tells_the_stages_and_why(fake: FakeCluster, packed: bool) -> None:
    name = submit(fake)
    set_status(
        fake, name, "Running",
        node("perturb", "Succeeded", attempts=("Succeeded",)),
        node("aimd", "Succeeded", group=(0, 2, 4), attempts=("Error", "Succeeded"), message="pod deleted"),
        node("aimd", "Running", group=(1, 2, 4), attempts=("Failed", "Running"), progress="1/2",
             message="OOMKilled (exit code 137)"),
        node("train", "Failed", iteration=1, group=(0, 1, 2), attempts=("Failed",),
             message="main: Error (exit code 2): training: 0 of 2 tasks succeeded"),
        packed=packed,
    )
    text = dpa_sse("status", name)
    assert f"{name}: running" in text
    assert "train-i001-000: training: 0 of 2 tasks succeeded  (pods: train-i1-0)" in text
    assert "retrying after a transient failure: OOMKilled (exit code 137)" in text
    stages = {stage["name"]: stage for stage in json.loads(dpa_sse("status", name, "--json"))["stages"]}
    assert (stages["01-perturb"]["status"], stages["01-perturb"]["seconds"]) == ("done", 120)
    assert (stages["02-seed"]["done"], stages["02-seed"]["running"], stages["02-seed"]["tasks"]) == (3, 1, 5)
    assert stages["03-concurrent-learning"]["failed"] == 1
    assert stages["04-pretrain"]["status"] == "waiting"


def test_a_stage_in_which_the_run_has_failed_is_called_so(fake: FakeCluster) -> None:
    name = submit(fake)
    parts = (
        node("aimd", "Succeeded", group=(0, 4, 4), attempts=("Succeeded",)),
        node("collect", "Failed", attempts=("Failed",), message="bad"),
        node("train", "Succeeded", iteration=0, group=(0, 2, 2), attempts=("Succeeded",)),
        node("assemble", "Failed", iteration=0, attempts=("Failed",), message="bad"),
    )
    set_status(fake, name, "Failed", *parts)
    stages = {stage["name"]: stage["status"] for stage in json.loads(dpa_sse("status", name, "--json"))["stages"]}
    assert stages["03-concurrent-learning"] == "failed"
    set_status(fake, name, "Running", *parts)
    stages = {stage["name"]: stage["status"] for stage in json.loads(dpa_sse("status", name, "--json"))["stages"]}
    assert stages["03-concurrent-learning"] == "running"


def test_a_gate_that_ends_the_workflow_refuses(fake: FakeCluster) -> None:
    from dpa_sse.ops.core.errors import REFUSAL

    name = submit(fake)
    message = f"{REFUSAL}the student failed: hole height 0.5 eV"
    set_status(fake, name, "Failed", node("gates", "Failed", attempts=("Failed",), message=message))
    assert json.loads(dpa_sse("status", name, "--json"))["status"] == "refused"
    assert "refused" in dpa_sse("watch", name, code=3)


def test_watch_ends_with_the_workflow(fake: FakeCluster) -> None:
    name = submit(fake)
    set_status(fake, name, "Failed", node("perturb", "Failed", attempts=("Failed",), message="bad input"))
    assert "perturb  FAILED: bad input" in dpa_sse("watch", f"argo:{name}", code=1)
    set_status(fake, name, "Succeeded", node("perturb", "Succeeded", attempts=("Succeeded",)))
    assert f"{name}: done" in dpa_sse("watch", name)


def test_logs_of_pods(fake: FakeCluster) -> None:
    name = submit(fake)
    set_status(fake, name, "Failed", node("aimd", "Failed", group=(0, 2, 2), attempts=("Failed", "Failed")))
    fake.pods = {"wf-aimd-0-1": (name, "second attempt\n"), "other": ("other", "no\n")}
    for text in (dpa_sse("logs", name), dpa_sse("logs", name, "aimd-001"), dpa_sse("logs", name, "aimd")):
        assert "aimd-0, pod 2 of 2" in text
        assert "second attempt" in text
        assert "its log was not stored" in text
    done = CliRunner().invoke(app, ["logs", name, "aimd-9"])
    assert isinstance(done.exception, InputError)


def test_logs_without_failures_list_the_tasks(fake: FakeCluster) -> None:
    name = submit(fake)
    parts = (node("aimd", "Succeeded", group=(0, 2, 2), attempts=("Succeeded",)), node("student", "Running"))
    set_status(fake, name, "Running", *parts)
    text = dpa_sse("logs", name)
    assert f"dpa-sse logs {name} TASK" in text
    assert "aimd-000..001" in text
    assert "student" in text


def test_stop_and_resume_of_a_failed_workflow(fake: FakeCluster) -> None:
    name = submit(fake)
    set_status(fake, name, "Running", node("perturb", "Running", attempts=("Running",)))
    assert "stopped; continue it with: dpa-sse resume" in dpa_sse("stop", name)
    assert fake.workflows[name]["spec"]["shutdown"] == "Stop"
    set_status(fake, name, "Failed", node("perturb", "Failed", attempts=("Failed",)))
    assert "mock-00000: stopped" in dpa_sse("status", name)
    assert "nothing is running" in dpa_sse("stop", name)
    assert "resumed as mock-00001" in dpa_sse("resume", name)
    again = fake.workflows["mock-00001"]
    assert "shutdown" not in again["spec"]
    assert "status" not in again
    assert again["metadata"]["annotations"]["dpa-sse/resumed-from"] == "mock-00000"
    assert again["spec"]["templates"] == fake.workflows[name]["spec"]["templates"]
    assert find_run(name).name == "mock-00001"  # the folder follows
    assert "nothing to resume" in dpa_sse("resume", name, code=1)


@pytest.mark.parametrize("packed", [False, True])
def test_resume_opens_a_gate(fake: FakeCluster, packed: bool) -> None:
    name = submit(fake)
    gate = {"wf-gate": {"id": "wf-gate", "type": "Suspend", "phase": "Running", "displayName": "before-md"}}
    set_status(fake, name, "Running", gate, packed=packed)
    assert "suspended" in dpa_sse("status", name)
    assert "resumed (before-md)" in dpa_sse("resume", name)
    assert nodes.ArgoWorkflow(fake.workflows[name]).nodes["wf-gate"]["phase"] == "Succeeded"
    assert nodes.ArgoWorkflow(fake.workflows[name]).state == "running"


def put(bucket: FolderBucket, key: str, files: dict[str, str]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"out/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    bucket.put(key, buffer.getvalue())


def test_download_fills_a_run_folder(fake: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = submit(fake)
    bucket = FolderBucket(tmp_path / "bucket")
    monkeypatch.setattr(bucket_module, "open_bucket", lambda _cluster, _namespace: bucket)
    put(bucket, "wf/student/out.tgz", {".dflow/1": "{}", "out/model.pth": "weights"})
    put(bucket, "wf/merge-i0/out.tgz", {"out/state.json": "0"})
    put(bucket, "wf/merge-i1/out.tgz", {"out/state.json": "1"})
    md = node("md", "Succeeded", group=(0, 2, 2), attempts=("Succeeded",))
    md["wf-md-0"]["outputs"]["artifacts"][0]["s3"]["key"] = "wf/md-group/out"
    for index in (0, 1):
        bucket.put(f"wf/md-group/out/group.000/task.00{index}/traj.lammpstrj", str(index).encode())
    set_status(
        fake, name, "Failed", node("student", "Succeeded", attempts=("Succeeded",)), md,
        node("merge", "Succeeded", iteration=0, attempts=("Succeeded",)),
        node("merge", "Succeeded", iteration=1, attempts=("Succeeded",)),
        node("conductivity", "Failed", attempts=("Failed",), message="no"),
    )
    assert "2 tasks" in dpa_sse("download", name)
    folder = Path("runs") / name
    assert (folder / "models" / "student" / "model.pth").read_text() == "weights"
    assert (folder / "data" / "base" / "state.json").read_text() == "1"  # of the last iteration
    assert not list(folder.glob("tasks/07-md/*"))
    assert "2 tasks" in dpa_sse("download", name, "md")
    assert [path.read_text() for path in sorted(folder.glob("tasks/07-md/*/traj.lammpstrj"))] == ["0", "1"]
    dpa_sse("download", name, "merge-i000", "-o", "other")
    assert (Path("other") / "data" / "base" / "state.json").read_text() == "0"
    with pytest.raises(InputError, match="nonsense: no such step, or no result yet"):
        CliRunner().invoke(app, ["download", name, "nonsense"], catch_exceptions=False)


def test_download_brings_the_report_to_its_place(
    fake: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = submit(fake)
    bucket = FolderBucket(tmp_path / "bucket")
    monkeypatch.setattr(bucket_module, "open_bucket", lambda _cluster, _namespace: bucket)
    put(bucket, "wf/report/out.tgz", {"out/report.html": "<html>", "out/summary.json": "{}"})
    set_status(fake, name, "Succeeded", node("report", "Succeeded", attempts=("Succeeded",)))
    assert "1 task" in dpa_sse("download", name)
    assert (Path("runs") / name / "report.html").read_text() == "<html>"
    assert (Path("runs") / name / "summary.json").read_text() == "{}"


def test_what_is_not_there_is_said_in_one_line(fake: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="dpa-sse/none: not found on the cluster"):
        CliRunner().invoke(app, ["status", "argo:none"], catch_exceptions=False)
    with pytest.raises(InputError, match="cannot be reached from here: set DPA_SSE_S3_ENDPOINT"):
        bucket_module.open_bucket(argo_runs.Cluster(), "dpa-sse")
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    with pytest.raises(InputError, match=r"no cluster: .*[^.]; set KUBECONFIG"):
        CliRunner().invoke(app, ["status", "argo:none"], catch_exceptions=False)
