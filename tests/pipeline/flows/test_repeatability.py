"""Two runs of one configuration, and one that is killed ten times, give the same numbers (mock labels, one thread)."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
ONE_THREAD = "resources.threads_per_task=1"
COMMAND = [sys.executable, "-m", "dpa_sse.pipeline", "run", str(HERE / "mock.yaml"), "-s", ONE_THREAD]


def numbers(run: Path) -> dict[str, Any]:
    """Return what two runs must agree on: errors, learning history, conductivities, and the trajectories themselves."""
    summary = json.loads((run / "summary.json").read_text())
    kept = {name: summary[name] for name in ("errors", "concurrent_learning", "conductivity")}
    for task in ("07-md/md-000", "07-md/md-001", "06-distill/teacher-md-000"):
        folder = next((run / "tasks").glob(f"{task}--*"))
        kept[task] = (folder / "traj.lammpstrj").read_bytes()
    return kept


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = subprocess.run(COMMAND, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stdout + done.stderr  # every run is too short for a conductivity
    return numbers(folder / "runs" / "mock")


@pytest.mark.timeout(1800)
def test_two_runs_agree_bit_for_bit(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    done = subprocess.run(COMMAND, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stdout + done.stderr  # every run is too short for a conductivity
    assert numbers(tmp_path / "runs" / "mock") == undisturbed


@pytest.mark.timeout(3600)
def test_killed_ten_times_gives_the_same_numbers(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    generator = random.Random(20240618)
    run = tmp_path / "runs" / "mock"
    for number in range(10):
        driver = subprocess.Popen(COMMAND, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        time.sleep(generator.uniform(5, 40))
        if driver.poll() is None:
            family = [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]
            victim = family[0] if number % 2 == 0 else generator.choice(family)
            if victim.is_running():
                victim.kill()
        driver.wait(timeout=600)
        deadline = time.monotonic() + 5
        while orphans(run):
            assert time.monotonic() < deadline, f"left behind: {orphans(run)}"
            time.sleep(0.1)
    done = subprocess.run(COMMAND, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stdout + done.stderr  # every run is too short for a conductivity
    assert numbers(run) == undisturbed
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    repeated = Counter(event["task"] for event in events if event["event"] == "done" and event["task"] != "report")
    assert set(repeated.values()) == {1}, "a finished task was computed again"


def orphans(run: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            mine = process.environ().get("DPA_SSE_RUN") == str(run)
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
    return found
