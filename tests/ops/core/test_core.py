"""Files, seeds, tools and the failure policy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dpa_sse.ops.core.errors import FatalError, TransientError
from dpa_sse.ops.core.files import atomic_path, read_json, sha256_tree, write_csv, write_json
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.core.tools import available_threads, run_tool, tail, thread_environment
from dpa_sse.ops.results.status import require_success


def test_json_has_no_nan_and_knows_numpy(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    data = {"x": float("nan"), "y": np.float64(1.5), "z": np.arange(2), "p": tmp_path / "q", "b": np.bool_(True)}
    write_json(path, data)
    assert json.loads(path.read_text()) == {"x": None, "y": 1.5, "z": [0, 1], "p": str(tmp_path / "q"), "b": True}


def test_interrupted_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, 1)
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_hash_of_a_folder_sees_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    first = sha256_tree(tmp_path / "a")
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    second = sha256_tree(tmp_path / "a")
    (tmp_path / "a" / "y").write_text("2")
    assert len({first, second, sha256_tree(tmp_path / "a")}) == 3


def test_csv_leaves_absent_numbers_empty(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [{"a": 1, "b": None, "c": 3}], ["a", "b"])
    assert (tmp_path / "a.csv").read_text().splitlines() == ["a,b", "1,"]


def test_seeds_are_stable_positive_and_differ() -> None:
    assert derive_seed(1, "a", 2) == 1197489421  # the same on every machine, or old runs could not be resumed
    seeds = {derive_seed(s, name, n) for s in range(5) for name in ("a", "b") for n in range(20)}
    assert len(seeds) == 200
    assert all(0 < seed < 2**31 for seed in seeds)
    assert derive_seed(1, "ab") != derive_seed(1, "a", "b")


def test_threads_follow_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPA_SSE_THREADS", "3")
    assert available_threads() == 3
    assert thread_environment()["OMP_NUM_THREADS"] == "3"
    assert thread_environment(1)["DP_INTRA_OP_PARALLELISM_THREADS"] == "1"


def test_tool_errors_carry_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "t.log"
    with pytest.raises(FatalError, match=r"code 3(.|\n)*last words"):
        run_tool([sys.executable, "-c", "print('last words'); raise SystemExit(3)"], log, tmp_path)
    with pytest.raises(TransientError, match="SIGKILL"):
        run_tool([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], log, tmp_path)
    with pytest.raises(TransientError, match="exceeded"):
        run_tool([sys.executable, "-c", "import time; time.sleep(60)"], log, tmp_path, timeout_s=0.5)
    with pytest.raises(FatalError, match="program not found: no-such-program"):
        run_tool(["no-such-program"], log, tmp_path)


def test_log_with_bytes_that_are_no_text_can_be_shown(tmp_path: Path) -> None:
    (tmp_path / "l").write_bytes(b"one\n\xff\xfe two\n")
    assert tail(tmp_path / "l", 1).endswith(" two")


def test_tool_dies_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from dpa_sse.ops.core.tools import run_tool\n"
        "child = 'import os,time; open(\"pid\",\"w\").write(str(os.getpid())); time.sleep(60)'\n"
        "run_tool([sys.executable, '-c', child], Path('l'), Path('.'))"
    )
    root = str(Path(__file__).resolve().parents[3])
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": root})
    pid = tmp_path / "pid"
    deadline = time.monotonic() + 20
    while not (pid.exists() and pid.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    while _alive(int(pid.read_text())):
        assert time.monotonic() < deadline, "the tool outlived its parent"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] not in ("Z", "X")
    except FileNotFoundError:
        return False


def test_failure_policy_lists_what_failed(tmp_path: Path) -> None:
    folders = []
    for number, status in enumerate(["ok", "failed", "empty", "partial"]):
        folder = tmp_path / f"task.{number:03d}"
        folder.mkdir()
        write_json(folder / "status.json", {"status": status, "reason": "out of memory" if status == "failed" else ""})
        folders.append(folder)
    found = require_success(folders, 0.6, "labels")
    assert [folder.name for folder, status in found if status.usable] == ["task.000", "task.003"]
    with pytest.raises(FatalError, match=r"2 of 3 succeeded(.|\n)*task.001: out of memory"):
        require_success(folders, 0.9, "labels")
    with pytest.raises(FatalError, match="left no folder"):
        require_success([tmp_path / "nothing"], 0.0, "labels")
