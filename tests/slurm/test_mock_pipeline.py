"""The whole DAG with mock labels and tiny networks: on Slurm, every file and number is that of the local engine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MOCK = ROOT / "tests" / "pipeline" / "flows" / "mock.yaml"
ON_SLURM = (
    "engine={on: slurm, slurm: {poll_s: 2, overrides: {"
    "train: {cpus_per_task: 1, mem_GB: 0.9}, infer: {cpus_per_task: 1, mem_GB: 0.9}, md: {mem_GB: 0.9}, "
    "label: {mem_GB: 0.9}, analysis: {mem_GB: 0.9}}}}"
)
pytestmark = [pytest.mark.slurm, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, float]]:
    """Return run folder and wall time on this machine, and on Slurm."""
    found = {}
    for name, more in (("local", ["-s", "resources.cores=2"]), ("slurm", ["-s", ON_SLURM])):
        folder = tmp_path_factory.mktemp(name)
        threads = ["-s", "resources.threads_per_task=1"]
        command = [sys.executable, "-m", "dpa_sse.pipeline", "run", str(MOCK), *threads, *more]
        begun = time.monotonic()
        done = subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
                              capture_output=True, text=True, check=False)
        assert done.returncode == 3, done.stdout + done.stderr  # every run is too short for a conductivity
        found[name] = folder / "runs" / "mock", time.monotonic() - begun
    return found


def comparable(manifest: Path) -> dict[str, str]:
    """Return what a task has made, without networks, logs with times, times, and hashes of networks."""
    files = json.loads(manifest.read_text())["files"]
    found = {name: digest for name, digest in files.items() if "model" not in name and not name.endswith("log.lammps")}
    for name in found:
        if name.endswith(("dataset.json", "evaluation.json", "run.json", "gates.json")):
            text = re.sub(r'"(steps_per_s|seconds)": [0-9.e-]+', "", (manifest.parent / name).read_text())
            found[name] = re.sub(r'("model_sha256": "|Deep Potential )[0-9a-f]{8,64}', r"\1", text)
    return found


def numbers(folder: Path) -> dict[str, Any]:
    text = re.sub(r'("model_sha256": "|Deep Potential )[0-9a-f]{8,64}', r"\1", (folder / "summary.json").read_text())
    summary = json.loads(text)
    return {name: summary[name] for name in ("errors", "concurrent_learning", "conductivity")}


def test_all_numbers_and_files_are_those_of_the_local_engine(runs: dict[str, tuple[Path, float]]) -> None:
    local, slurm = runs["local"][0], runs["slurm"][0]
    assert numbers(local) == numbers(slurm)
    compared = 0
    for manifest in sorted((local / "tasks").glob("*/*/manifest.json")):
        task = manifest.parent.name.partition("--")[0]
        if task != "report":  # tells when and where it was made
            twin = next((slurm / "tasks" / manifest.parent.parent.name).glob(f"{task}--*/manifest.json"))
            here, there = comparable(manifest), comparable(twin)
            assert here == there, task
            compared += len(here)
    assert compared > 150


def test_it_takes_little_longer(runs: dict[str, tuple[Path, float]]) -> None:
    steps = len(json.loads((runs["slurm"][0] / "plan.json").read_text()))
    local, slurm = runs["local"][1], runs["slurm"][1]
    print(f"{slurm:.0f} s on Slurm, {local:.0f} s on this machine, {steps} steps")
    assert slurm <= 1.5 * local + 5 * steps
