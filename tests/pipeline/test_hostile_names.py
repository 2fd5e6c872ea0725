"""Sixty hostile names through every reader of names: nothing is written, changed or removed outside its place."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dpa_sse.ops.core.errors import PipelineError
from dpa_sse.ops.runtime import inline
from dpa_sse.ops.runtime.store import TaskStore
from dpa_sse.pipeline.commands.monitor import show_logs
from dpa_sse.pipeline.commands.run_end import show_failures
from dpa_sse.pipeline.commands.run_links import publish
from dpa_sse.pipeline.config import ConfigError, load_checked
from dpa_sse.pipeline.engines.argo.bucket import download_artifact
from dpa_sse.pipeline.engines.argo.nodes import ArgoWorkflow
from dpa_sse.pipeline.engines.argo.results import download
from dpa_sse.pipeline.runs.folder import CONFIG, Run

NAMES = (
    "..", ".", "", "/", "//", "../victim", "../../victim", "../home/.ssh", "a/../../victim", "a/../../../home/.ssh/id",
    "./../victim", "a/./../../victim", "..//victim", "a//..//..//victim", "//victim", "/HOME/.ssh", "/HOME/.ssh/id",
    "/HOME", "/HOME/", "//HOME/.ssh/id", "/etc/passwd", "/dev/null", "/proc/self/cwd/victim", "~", "~/.ssh/id",
    "$HOME/.ssh/id", "${HOME}", "`id`", "$(touch victim)", "a;touch victim", "a|b", "a&b", "a b", "a\tb", "a\nb",
    "a\r\nb", "a\x00b", "\x00", "\x1b]0;title\x07", "\x1b[2J", "\x9b31m", "a\\..\\..\\victim", "..\\victim", "C:\\x",
    "C:/x", "\u202egnp.exe", "..\u2215victim", "\uff0e\uff0e/victim", "%2e%2e/victim", "..%2fvictim", "a" * 300,
    "a/" * 600 + "b", "link", "link/id", "link/../victim", "file/x", ".lock", "-rf", "--help", "*", "?", "{{workflow}}",
    "\ud800", "..\x00/victim",
)
PLAN = {"name": "student", "stage": "06-distill", "title": "t", "tasks": 1}
CONFIG_JSON = json.dumps({"config": {
    "name": "x", "type_map": ["Li", "Cl"], "data": ["d"], "labeler": {"kind": "mock"},
    "pretrain": {"preset": "se_e2_a-tiny"},
}})


class DictBucket(dict[str, bytes]):
    """A bucket whose keys may be anything."""

    def names(self, prefix: str) -> set[str]:
        return {name for name in self if name.startswith(prefix)}

    def put(self, name: str, data: bytes) -> None:
        self[name] = data

    def delete(self, names: set[str]) -> None:
        for name in names:
            self.pop(name, None)


def packed(name: str, data: bytes = b"evil") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.GNU_FORMAT, errors="surrogatepass") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def workflow(stage: str = "06-distill", key: str = "student", identifier: str = "wf-student-1",
             artifact: str = "wf/out.tgz", step: str = "student") -> ArgoWorkflow:
    report = {"name": "report", "arguments": {"artifacts": [{"name": "settings", "raw": {"data": CONFIG_JSON}}]}}
    node = {
        "id": identifier, "name": key, "type": "Pod", "phase": "Succeeded", "templateName": step,
        "startedAt": "2026-01-01T10:00:00Z", "finishedAt": "2026-01-01T10:02:00Z",
        "inputs": {"parameters": [{"name": "dflow_key", "value": key}]},
        "outputs": {"artifacts": [{"name": "out", "s3": {"key": artifact}}]},
    }
    plan = json.dumps([{**PLAN, "stage": stage, "name": step}])
    return ArgoWorkflow({
        "metadata": {"name": "wf", "annotations": {"dpa-sse/plan": plan}},
        "spec": {"templates": [{"steps": [[report]]}]}, "status": {"phase": "Succeeded", "nodes": {identifier: node}},
    })


def fetch(run: Path, bucket: DictBucket, made: ArgoWorkflow) -> None:
    made_run = Run(run)
    download(made, bucket, made_run, [made.plan[0].name], lambda _line: None)  # type: ignore[arg-type]
    publish(made_run)


def stage_of_the_plan(run: Path, name: str) -> None:
    fetch(run, DictBucket({"wf/out.tgz": packed("out/out/id")}), workflow(stage=name))


def key_of_a_node(run: Path, name: str) -> None:
    fetch(run, DictBucket({"wf/out.tgz": packed("out/out/id")}), workflow(key=name))


def name_of_a_step(run: Path, name: str) -> None:
    fetch(run, DictBucket({"wf/out.tgz": packed("out/out/id")}), workflow(step=name))


def identifier_of_a_node(run: Path, name: str) -> None:
    fetch(run, DictBucket({"wf/out.tgz": packed("out/out/id")}), workflow(identifier=f"wf-{name}"))


def key_of_an_artifact(run: Path, name: str) -> None:
    fetch(run, DictBucket({f"{name}/out/id": b"evil", name: packed("out/out/id")}), workflow(artifact=name))


def object_of_a_bucket(run: Path, name: str) -> None:
    download_artifact(DictBucket({f"wf/out/{name}": b"evil"}), "wf/out", run)  # type: ignore[arg-type]


def member_of_an_artifact(run: Path, name: str) -> None:
    download_artifact(DictBucket({"a.tgz": packed(f"out/{name}")}), "a.tgz", run)  # type: ignore[arg-type]


def member_of_an_input(run: Path, name: str) -> None:
    text = inline.FOLDER_MARK + inline._pack(packed(name))
    (run / "input").write_text(text)
    inline.decode(run / "input", run / "inputs")


def file_of_a_stored_task(run: Path, name: str) -> None:
    digest = hashlib.sha256(b"evil").hexdigest()
    index = {"done": True, "values": {}, "files": [{"name": name, "mtime_ns": 0, "blocks": [digest]}]}
    bucket = DictBucket({"store/k/index.json": json.dumps(index).encode(), f"store/k/{digest}": b"evil"})
    TaskStore(bucket, patience_s=0).restore("k", run)


def block_of_a_stored_task(run: Path, name: str) -> None:
    index = {"done": True, "values": {}, "files": [{"name": "a", "mtime_ns": 0, "blocks": [name]}]}
    bucket = DictBucket({"store/k/index.json": json.dumps(index).encode(), f"store/k/{name}": b"evil"})
    TaskStore(bucket, patience_s=0).restore("k", run)


def log_with(run: Path, **event: Any) -> None:
    lines = [{"event": "run-start", "time": 0.0}, {"time": 1.0, "stage": "s", "task": "student", **event}]
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / CONFIG).write_text("name: x\n")
    made = Run(run)
    show_failures(made)
    show_logs(str(run), "student", 5)
    publish(made)


def folder_of_an_event(run: Path, name: str) -> None:
    log_with(run, event="done", folder=name)


def folder_of_a_failure(run: Path, name: str) -> None:
    log_with(run, event="failed", folder=name, reason=name)


def name_of_a_project(run: Path, name: str) -> None:
    (run / "c.yaml").write_text(json.dumps({"name": name, "type_map": ["Li"]}))
    load_checked(run / "c.yaml")


def name_of_a_system(run: Path, name: str) -> None:
    system = {"name": name, "structure": "Li6PS5Cl"}
    (run / "c.yaml").write_text(json.dumps({"name": "x", "type_map": ["Li", "P", "S", "Cl"], "systems": [system]}))
    load_checked(run / "c.yaml")


READERS: tuple[Callable[[Path, str], None], ...] = (
    stage_of_the_plan, key_of_a_node, name_of_a_step, identifier_of_a_node, key_of_an_artifact, object_of_a_bucket,
    member_of_an_artifact, member_of_an_input, file_of_a_stored_task, block_of_a_stored_task, folder_of_an_event,
    folder_of_a_failure, name_of_a_project, name_of_a_system,
)


def contents(root: Path, leave_out: Path) -> dict[str, tuple[str, int, int, str]]:
    """Everything below a folder: kind, inode, time of change, content."""
    found = {}
    for path in [root, *sorted(root.rglob("*"))]:
        if path == leave_out or leave_out in path.parents:
            continue
        stat = path.lstat()
        text = str(path.readlink()) if path.is_symlink() else path.read_text() if path.is_file() else ""
        found[str(path)] = (oct(stat.st_mode), stat.st_ino, stat.st_mtime_ns, text)
    return found


def test_there_are_sixty_names() -> None:
    assert len(set(NAMES)) >= 60


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_nothing_outside_its_place_is_touched(
    tmp_path: Path, reader: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id").write_text("precious")
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "thesis").write_text("precious")
    monkeypatch.setenv("HOME", str(home))
    runs = tmp_path / "runs"
    runs.mkdir()
    monkeypatch.chdir(home)
    for number, name in enumerate(NAMES):
        run = runs / f"{number:03d}"
        for folder in (run, run / "tasks" / "06-distill"):
            folder.mkdir(parents=True)
            (folder / "link").symlink_to(home / ".ssh")
            (folder / "file").write_text("x")
        before = contents(tmp_path, run)
        with suppress(PipelineError, ConfigError):  # a refusal in words, never another error
            reader(run, name.replace("/HOME", str(home)))
        assert contents(tmp_path, run) == before, f"{name!r} reached a place outside the run folder"
        shutil.rmtree(run)


def test_the_watch_notices_what_it_has_to(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    before = contents(tmp_path, tmp_path / "run")
    (tmp_path / "run" / "a").write_text("x")
    assert contents(tmp_path, tmp_path / "run") == before
    (tmp_path / "b").write_text("x")
    assert contents(tmp_path, tmp_path / "run") != before
