"""The loop back to labels: a model that is bad on purpose triggers the rounds asked for, alike on both engines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emulator import ROOT, Emulator

from dpa_sse.ops.results.self_check import SelfCheck
from dpa_sse.pipeline.config import load_checked
from dpa_sse.pipeline.flows.render import render

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

MOCK = ROOT / "tests" / "pipeline" / "flows" / "mock.yaml"
ROUNDS = 2
CHANGES = [
    "resources.threads_per_task=1", f"validate.rounds={ROUNDS}", "validate.round_ps=0.05",
    "validate.production_labels=4", "validate.max_energy_bias_meV_atom=0.001",
    "validate.max_pressure_error_GPa=0.001", "distill.self_exploration=null",
    "concurrent_learning.stages=[{temperatures_K: [50], steps: 10, max_iterations: 1}]",
]
COMMAND = [
    sys.executable, "-m", "dpa_sse.pipeline", "run", str(MOCK), *(part for text in CHANGES for part in ("-s", text))
]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
ENVIRONMENT.pop("OPENBLAS_CORETYPE", None)  # pods do not have it: the last bits of sums depend on it


def numbers(summary: Path) -> dict[str, Any]:
    data = json.loads(summary.read_text())
    return {name: data[name] for name in ("errors", "conductivity", "self_check", "self_check_rounds", "md")}


def without_speed(found: dict[str, Any]) -> dict[str, Any]:
    return found | {"md": [{key: one[key] for key in one if key != "steps_per_s"} for one in found["md"]]}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run locally; the driver is killed once, when labels of the first round are being made."""
    folder = tmp_path_factory.mktemp("local")
    run = folder / "runs" / "mock"
    driver = subprocess.Popen(COMMAND, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    while driver.poll() is None and not any(run.glob("tasks/07-self-check/label-production-i000-001--*")):
        time.sleep(0.05)
    assert driver.poll() is None
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    time.sleep(3)
    done = subprocess.run(COMMAND, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stdout + done.stderr  # every run is too short for a conductivity
    return run


def test_a_bad_model_triggers_all_rounds(local: Path) -> None:
    files = sorted(local.glob("tasks/07-self-check/self-check-i*/self_check.json"))
    checks = [SelfCheck.read(file) for file in files]
    assert [len(one.rounds) for one in checks] == [1, 2, 3]
    assert [(one.full, one.finished) for one in checks] == [(False, False), (False, False), (True, True)]
    assert [one.labels for one in checks[-1].rounds] == [4, 4, 4]
    steps = [json.loads(file.read_text())["steps"] for file in sorted(local.glob("tasks/07-md/md-i*-000--*/run.json"))]
    assert steps == [50, 50, 100]


def test_each_round_trains_on_the_frames_of_all_rounds_before(local: Path) -> None:
    folders = sorted(local.glob("tasks/07-md/correct-teacher-i*"))
    counts = [
        sum(len(np.load(path)) for path in folder.glob("data/production/*/set.*/energy.npy")) for folder in folders
    ]
    assert counts == [0, 4, 8]


def test_nothing_was_computed_twice(local: Path) -> None:
    events = [json.loads(line) for line in (local / "log.jsonl").read_text().splitlines()]
    done = Counter(event["task"] for event in events if event["event"] == "done" and event["task"] != "report")
    assert set(done.values()) == {1}
    assert sum(task.startswith("label-production") for task in done) == 4 * (ROUNDS + 1)


def test_the_report_is_on_the_last_round(local: Path) -> None:
    summary = json.loads((local / "summary.json").read_text())
    assert summary["self_check_rounds"] == ROUNDS
    assert {entry["trust"] for entry in summary["conductivity"]} == {"not trusted"}
    last = next(local.glob(f"tasks/07-md/correct-student-i{ROUNDS:03d}--*"))
    assert (local / "models" / "student").resolve() == last.resolve()
    done = subprocess.run(
        [sys.executable, "-m", "dpa_sse.pipeline", "report", str(local)], env=ENVIRONMENT, cwd=local.parents[1],
        capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stderr
    assert numbers(local / "summary.json") == {name: summary[name] for name in numbers(local / "summary.json")}


def test_emulated_argo_gives_the_numbers_of_the_local_engine(local: Path, tmp_path: Path) -> None:
    located = load_checked(MOCK, CHANGES)
    workflow = render(located.project, located.base_dir).workflow
    made = Emulator(workflow, tmp_path / "emulated", {"DPA_SSE_STORE": str(tmp_path / "store")})
    made.run()
    found = numbers(made.artifact("report") / "out" / "summary.json")
    assert without_speed(found) == without_speed(numbers(local / "summary.json"))
