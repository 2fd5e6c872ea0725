"""The task store: results and checkpoints outside the process that makes them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.errors import TransientError
from dpa_sse.ops.runtime.store import BLOCK, FolderBucket, TaskStore, store_from_environment


@pytest.fixture
def store(tmp_path: Path) -> TaskStore:
    return TaskStore(FolderBucket(tmp_path / "bucket"), every_s=0.05, patience_s=0)


def objects(store: TaskStore) -> set[str]:
    return store.bucket.names("store/")


def test_a_result_comes_back_with_its_values_and_without_hidden_files(store: TaskStore, tmp_path: Path) -> None:
    folder = tmp_path / "task"
    (folder / "sub").mkdir(parents=True)
    (folder / ".work").mkdir()
    (folder / "sub" / "a.bin").write_bytes(b"x" * (2 * BLOCK + 1))
    (folder / "empty").write_bytes(b"")
    (folder / ".work" / "state").write_text("secret")
    os.utime(folder / "empty", ns=(5_000_000_007, 5_000_000_007))
    assert store.restore("k", tmp_path / "none") is None
    store.save("k", folder, values={"finished": True})
    saved = store.restore("k", tmp_path / "back")
    assert saved is not None
    assert (saved.done, saved.values) == (True, {"finished": True})
    assert (tmp_path / "back" / "sub" / "a.bin").read_bytes() == (folder / "sub" / "a.bin").read_bytes()
    assert (tmp_path / "back" / "empty").stat().st_mtime_ns == 5_000_000_007
    assert not (tmp_path / "back" / ".work").exists()


def test_a_checkpoint_keeps_the_working_files_and_links_are_left_out(store: TaskStore, tmp_path: Path) -> None:
    folder = tmp_path / "task"
    (folder / ".work").mkdir(parents=True)
    (folder / ".work" / "checkpoint").write_text("1")
    (folder / "model").symlink_to(tmp_path / "elsewhere")
    (folder / ".x.123.tmp").write_text("half")
    store.save("k", folder)
    saved = store.restore("k", tmp_path / "back")
    assert saved is not None
    assert not saved.done
    assert [path.name for path in (tmp_path / "back").rglob("*") if path.is_file()] == ["checkpoint"]


def test_growing_files_cost_only_their_new_part_and_old_blocks_go(store: TaskStore, tmp_path: Path) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "traj").write_bytes(b"a" * BLOCK)
    store.save("k", folder)
    before = objects(store)
    with (folder / "traj").open("ab") as stream:
        stream.write(b"b" * 10)
    store.save("k", folder)
    assert before < objects(store)
    assert len(objects(store) - before) == 1
    (folder / "traj").write_bytes(b"c")
    store.save("k", folder)
    assert len(objects(store)) == 2  # the index and one block


def test_a_lost_block_means_a_new_beginning(store: TaskStore, tmp_path: Path) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "a").write_text("a")
    store.save("k", folder)
    store.bucket.delete({name for name in objects(store) if not name.endswith("index.json")})
    assert store.restore("k", tmp_path / "back") is None
    assert not (tmp_path / "back").exists()


def test_checkpoints_are_stored_while_the_work_continues(store: TaskStore, tmp_path: Path) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    with store.checkpoints("k", folder):
        (folder / "step").write_text("1")
        deadline = time.monotonic() + 20
        while not objects(store) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert objects(store)
    with pytest.raises(ValueError, match="broken"), store.checkpoints("k", folder):
        (folder / "step").write_text("2")
        raise ValueError("broken")
    store.restore("k", tmp_path / "back")
    assert (tmp_path / "back" / "step").read_text() == "2"


def test_a_store_that_does_not_answer_is_a_transient_failure(tmp_path: Path) -> None:
    class Broken(FolderBucket):
        def get(self, name: str) -> bytes | None:
            raise OSError("no route to host")

    with pytest.raises(TransientError, match="task store does not answer: OSError: no route to host"):
        TaskStore(Broken(tmp_path), patience_s=0).restore("k", tmp_path)


def test_its_location_is_read_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DPA_SSE_S")]:
        monkeypatch.delenv(name)
    assert store_from_environment() is None
    monkeypatch.setenv("DPA_SSE_STORE", "s3")
    assert store_from_environment() is None  # a namespace without a store
    monkeypatch.setenv("DPA_SSE_S3_endpoint", "127.0.0.1:9")
    monkeypatch.setenv("DPA_SSE_S3_bucket", "mine")
    monkeypatch.setenv("DPA_SSE_STORE_PREFIX", "store/1")
    made = store_from_environment()
    assert made is not None
    assert (made.bucket.bucket, made.prefix, made.every_s) == ("mine", "store/1", env.CHECKPOINT_S.default)
    monkeypatch.setenv("DPA_SSE_STORE", str(tmp_path))
    assert isinstance(store_from_environment().bucket, FolderBucket)


SCRIPT = """
import sys, time
from pathlib import Path
from dflow.python import OPIO
from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.runtime.settings import TaskSettings
from dpa_sse.ops.runtime.task import FanOutOP

class SlowSettings(TaskSettings):
    steps: int

class Slow(FanOutOP):
    settings_class = SlowSettings
    def run(self, out, settings, **inputs):
        steps = out / "steps"
        done = int(steps.read_text()) if steps.exists() else 0
        print("starts at", done, flush=True)
        for step in range(done, settings.steps):
            write_text(steps, str(step + 1))
            time.sleep(0.1)
        write_text(out / "status.json", '{"status": "ok", "reason": "", "items": []}')

Path("settings").write_text('{"steps": %s}' % sys.argv[1])
op = Slow()
op.execute(OPIO({"settings": Path("settings").resolve(), "group": 0, "group_size": 2, "count": 2}))
"""


def test_a_terminated_pod_stores_its_state_and_the_next_one_resumes(tmp_path: Path) -> None:
    """SIGTERM (a drained node, a preempted pod) is not a failed task: the group ends with 143, nothing is published."""
    root = Path(__file__).resolve().parents[3]
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    environment = {
        **os.environ, "PYTHONPATH": str(root), "DPA_SSE_STORE": str(tmp_path / "store"), "DPA_SSE_EVENTS": "stdout",
    }
    environment.pop("DPA_SSE_RUN", None)

    def pod(name: str) -> subprocess.Popen[str]:
        (tmp_path / name).mkdir()
        return subprocess.Popen(
            [sys.executable, str(script), "30"], cwd=tmp_path / name, env=environment, stdout=subprocess.PIPE, text=True
        )

    first = pod("first")
    assert first.stdout is not None
    lines = []
    while not any("starts at" in line for line in lines):
        lines.append(first.stdout.readline())
        assert lines[-1], "the pod has ended"
    time.sleep(1)
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 128 + signal.SIGTERM
    assert not (tmp_path / "first" / "group.000" / "task.000").exists()
    second = pod("second")
    text, _ = second.communicate(timeout=120)
    assert second.returncode == 0
    starts = [int(line.split()[-1]) for line in text.splitlines() if line.startswith("starts at")]
    assert starts[0] > 0
    assert starts[1] == 0
    assert '"checkpoint": true' in text
    third = pod("third")
    text, _ = third.communicate(timeout=120)
    assert "starts at" not in text  # both tasks come from the store
    assert text.count('"cached"') == 2
    assert (tmp_path / "third" / "group.000" / "task.001" / "steps").read_text() == "30"
