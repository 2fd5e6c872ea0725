"""The whole DAG with mock labels and tiny networks: the rendered workflow gives the numbers of the local engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from emulator import ROOT, Emulator

from dpa_sse.pipeline.config import load_checked
from dpa_sse.pipeline.flows.render import render

pytestmark = pytest.mark.slow

MOCK = ROOT / "tests" / "pipeline" / "flows" / "mock.yaml"
ONE_THREAD = "resources.threads_per_task=1"
TRAJECTORIES = {"md-000": "md", "md-001": "md", "teacher-md-000": "teacher-md"}


def numbers(summary: Path, trajectories: dict[str, Path]) -> dict[str, Any]:
    data = json.loads(summary.read_text())
    kept = {name: data[name] for name in ("errors", "concurrent_learning", "conductivity")}
    return kept | {name: (folder / "traj.lammpstrj").read_bytes() for name, folder in trajectories.items()}


@pytest.mark.timeout(3600)
def test_emulated_argo_gives_the_numbers_of_the_local_engine(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dpa_sse.pipeline", "run", str(MOCK), "-s", ONE_THREAD]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stdout + done.stderr  # every run is too short for a conductivity
    run = tmp_path / "runs" / "mock"
    folders = {task: next(run.glob(f"tasks/*/{task}--*")) for task in TRAJECTORIES}
    local = numbers(run / "summary.json", folders)

    located = load_checked(MOCK, [ONE_THREAD])
    workflow = render(located.project, located.base_dir).workflow
    variables = {"DPA_SSE_STORE": str(tmp_path / "store")}
    made = Emulator(workflow, tmp_path / "emulated", variables)
    made.run()
    folders = {
        task: next(made.bucket.glob(f"*/{step}-group/out/group.*/task.{task[-3:]}"))
        for task, step in TRAJECTORIES.items()
    }
    assert numbers(made.artifact("report") / "out" / "summary.json", folders) == local
    assert "<html" in made.artifact("merge-i1", "page").read_text()

    again = Emulator(workflow, tmp_path / "again", variables)
    again.run()
    started = [
        json.loads(line)["task"] for log in again.logs.values() for line in log.read_text().splitlines()
        if line.startswith('{"time"') and '"event": "start"' in line
    ]
    assert started == ["report"]  # all else comes from the store
