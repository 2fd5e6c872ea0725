"""Locks: who holds a run, on file systems that lock and on those that do not, and whom `stop` may signal."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.pipeline.commands.monitor import run_state, signal_holder, stop_run
from dpa_sse.pipeline.runs import lock as module
from dpa_sse.pipeline.runs.folder import CONFIG, Run
from dpa_sse.pipeline.runs.lock import HELD, LOCK, Holder, RunBusyError, acquire, alone, forget_held, holder_of

ENDED = '{"event": "run-start", "time": 1.0}\n{"event": "run-end", "time": 2.0, "code": 0}\n'
DRIVER = """
import sys, time
from pathlib import Path
from dpa_sse.pipeline.runs import lock
if sys.argv[2] == "no flock":
    def refuse(*_arguments):
        raise OSError(38, "Function not implemented")
    lock.fcntl.flock = refuse
held = lock.acquire(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(tmp_path / "run")
    made.create()
    (made.folder / CONFIG).write_text("name: x\n")
    made.log.write_text(ENDED)
    return made


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def no_flock(monkeypatch: pytest.MonkeyPatch, number: int = errno.ENOSYS) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module.fcntl, "flock", refuse)


def driver(run: Run, kind: str) -> subprocess.Popen[str]:
    made = subprocess.Popen([sys.executable, "-c", DRIVER, str(run.folder), kind], stdout=subprocess.PIPE, text=True)
    assert made.stdout is not None
    assert made.stdout.readline() == "held\n"
    return made


def test_the_file_names_host_process_and_start(run: Run) -> None:
    held = run.lock()
    content = json.loads((run.folder / LOCK).read_text())
    assert content["pid"] == os.getpid()
    assert content["host"] == socket.gethostname()
    assert content["started"] > 0
    assert run.holder() == Holder.this_process()
    held.release()
    assert run.holder() is None


@pytest.mark.parametrize("kind", ["flock", "no flock"])
def test_a_second_process_is_refused_and_a_killed_one_leaves_no_lock(
    run: Run, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = driver(run, kind)
    if kind == "no flock":
        no_flock(monkeypatch)
    with pytest.raises(RunBusyError, match=f"pid {first.pid} on {socket.gethostname()}"):
        run.lock()
    assert run_state(run) == "running"
    first.kill()
    first.wait()
    assert run.holder() is None
    run.lock().release()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EACCES])
def test_a_file_system_without_locks_is_not_taken_for_a_held_lock(
    run: Run, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (run.folder / LOCK).write_text("12345")
    no_flock(monkeypatch, number)
    assert run.holder() is None
    assert run_state(run) == "done"
    held = run.lock()
    assert run.holder() == Holder.this_process()
    with pytest.raises(RunBusyError):
        acquire(run.folder)
    held.release()
    assert not (run.folder / HELD).exists()


def test_without_locks_a_process_of_another_machine_is_believed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    no_flock(monkeypatch)
    other = Holder(pid=1234, host="node-a", started=5.0, boot_id="x")
    (run.folder / LOCK).touch()
    (run.folder / HELD).write_text(other.model_dump_json())
    with pytest.raises(RunBusyError, match=rf"pid 1234 on node-a.*remove .*{HELD}"):
        run.lock()
    assert run.holder() == other


def test_a_machine_that_can_lock_sees_one_that_cannot(run: Run) -> None:
    other = Holder(pid=1234, host="node-a", started=5.0, boot_id="x")
    (run.folder / HELD).write_text(other.model_dump_json())
    with pytest.raises(RunBusyError, match=rf"pid 1234 on node-a.*remove .*{HELD}"):
        run.lock()
    (run.folder / LOCK).touch()
    assert run.holder() == other
    ended = Holder(pid=2**22 + 1, host=socket.gethostname(), started=1.0, boot_id="earlier")
    (run.folder / HELD).write_text(ended.model_dump_json())
    assert run.holder() is None
    run.lock().release()
    assert not (run.folder / HELD).exists()


def test_two_starts_without_locks_leave_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    no_flock(monkeypatch)
    stale = Holder(pid=2**22 + 1, host=socket.gethostname(), started=1.0, boot_id="earlier")
    (run.folder / HELD).write_text(stale.model_dump_json())
    held = run.lock()
    mine = (run.folder / HELD).read_text()
    module._set_aside(run.folder / HELD, stale)  # another start that saw the stale file before it was replaced
    assert (run.folder / HELD).read_text() == mine
    held.release()


@pytest.mark.parametrize("text", ["-1", "1", "0", "PID", "", "text", "[1]", '{"pid": -1}', '{"pid": 1}', "\x1b[2J",
                                  '{"pid": PID}', '{"pid": PID, "host": "HOST", "started": 1.0, "boot_id": "BOOT"}'])
def test_stop_signals_nobody_whom_the_lock_does_not_fit(
    run: Run, text: str, bystander: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *arguments: sent.append(arguments))
    held = os.open(run.folder / LOCK, os.O_RDWR | os.O_CREAT)
    for word, value in (("PID", str(bystander.pid)), ("HOST", socket.gethostname()), ("BOOT", module._boot_id())):
        text = text.replace(word, value)
    os.write(held, text.encode())
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(InputError, match="cannot be found on this machine"):
        stop_run(str(run.folder))
    os.close(held)
    assert sent == []
    assert bystander.poll() is None


def test_a_run_of_another_machine_is_stopped_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "kill", lambda *_arguments: pytest.fail("a signal was sent"))
    with pytest.raises(InputError, match=r"runs on node-a .*stop it there"):
        signal_holder(run, Holder.this_process().model_copy(update={"host": "node-a"}))


def test_stop_ends_the_process_that_fits(run: Run) -> None:
    process = driver(run, "flock")
    assert stop_run(str(run.folder)) == 0
    assert process.wait(timeout=5) == -signal.SIGTERM


def test_a_clock_that_jumps_by_a_day_changes_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    held = run.lock()
    now = time.time()
    for shift in (86400.0, -86400.0):
        monkeypatch.setattr(time, "time", lambda shift=shift: now + shift)
        found = run.holder()
        assert found is not None
        assert found.alive
    held.release()


def test_a_stopped_process_still_holds_its_run(run: Run) -> None:
    process = driver(run, "flock")
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(RunBusyError):
        run.lock()
    os.kill(process.pid, signal.SIGCONT)
    process.kill()
    process.wait()
    assert run.holder() is None


@pytest.mark.parametrize("name", [LOCK, "log.jsonl", ".engine"])
def test_links_in_a_run_folder_are_not_followed(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    (run.folder / name).symlink_to(victim)
    with pytest.raises(InputError, match="is a link, which is not followed"):
        run.create()
    if name == LOCK:
        with pytest.raises(InputError, match="is a link, which is not followed"):
            acquire(run.folder)
        assert holder_of(run.folder) is None
    assert victim.read_text() == "precious"


COUNTER = """
import sys
from pathlib import Path
from dpa_sse.pipeline.runs import lock
if sys.argv[2] == "no flock":
    def refuse(*_arguments):
        raise OSError(38, "Function not implemented")
    lock.fcntl.flock = refuse
file = Path(sys.argv[1]) / "count"
for _ in range(60):
    with lock.alone(file.with_name("count.lock")):
        number = int(file.read_text())
        file.write_text(str(number + 1))
"""


@pytest.mark.parametrize("how", ["flock", "no flock"])
def test_processes_are_alone_with_what_they_share(tmp_path: Path, how: str) -> None:
    (tmp_path / "count").write_text("0")
    command = [sys.executable, "-c", COUNTER, str(tmp_path), how]
    started = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "180"
    assert not (tmp_path / "count.lock.held").exists()


def test_a_process_that_was_killed_does_not_keep_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_flock(monkeypatch)
    held = tmp_path / "a.lock.held"
    ended = Holder(pid=2**22 - 3, host=socket.gethostname(), started=1.0, boot_id="x")
    held.write_text(ended.model_dump_json())
    with alone(tmp_path / "a.lock"):
        assert Holder.parse(held.read_bytes()) == Holder.this_process()
    held.write_text("")
    os.utime(held, (time.time() - 100, time.time() - 100))
    with alone(tmp_path / "a.lock"):
        assert held.exists()
    assert not held.exists()
    held.write_text(ended.model_copy(update={"host": "another"}).model_dump_json())
    forget_held(tmp_path / "a.lock")
    assert not held.exists()
