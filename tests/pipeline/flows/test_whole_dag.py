"""The whole DAG with mock labels and tiny networks: results, report, resume, invalidation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(1800)  # the fixture runs the whole pipeline

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def dpa_sse(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "dpa_sse.pipeline", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    done = dpa_sse("run", HERE / "mock.yaml", cwd=folder)
    assert done.returncode == 3, done.stdout + done.stderr  # every run is too short for a conductivity
    assert "No conductivity at any of 2 state points" in done.stdout
    assert "Next: " in done.stdout
    return folder / "runs" / "mock"


def events(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_every_stage_leaves_its_result(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    assert [stage["name"] for stage in summary["stages"]] == [
        "01-perturb", "02-seed", "03-concurrent-learning", "04-pretrain", "05-finetune", "06-distill", "07-md",
        "07-self-check", "08-conductivity",
    ]
    assert all(stage["tasks"] >= 1 for stage in summary["stages"])
    loop = summary["concurrent_learning"]
    assert [entry["iteration"] for entry in loop] == [0, 1]
    assert loop[0]["labelled"] >= 1
    for name in ("pretrain", "zero_shot", "fine_tuned", "from_scratch", "student"):
        assert summary["errors"][name]["n_frames"] >= 1
        assert summary["errors"][name]["force_mae_meV_A"] > 0
    assert [entry["temperature_K"] for entry in summary["conductivity"]] == [50, 80]


def test_nothing_is_claimed_of_a_run_that_is_too_short(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    assert all(entry["verdict"] != "diffusive" and entry["sigma_mS_cm"] is None for entry in summary["conductivity"])


def test_report_is_one_file_without_network(finished: Path) -> None:
    page = (finished / "report.html").read_text(encoding="utf-8")
    for mark in ('src="http', "<link", "@import", "url(http"):
        assert mark not in page
    assert "NaN" not in page
    assert (finished / "models" / "student" / "model_compressed.pth").is_file()
    figures = {path.stem for path in (finished / "figures").glob("*.svg")}
    assert figures
    assert figures <= {path.stem for path in (finished / "figures").glob("*.csv")}


def test_no_path_of_this_machine_in_results(finished: Path) -> None:
    for name in ("summary.json", "report.html", "manifest.json", "config.resolved.yaml"):
        assert str(finished) not in (finished / name).read_text(encoding="utf-8"), name


def test_same_command_again_computes_nothing(finished: Path) -> None:
    again = dpa_sse("run", HERE / "mock.yaml", cwd=finished.parents[1])
    assert again.returncode == 3, again.stdout + again.stderr
    assert computed_tasks(finished) == {"report"}


def test_changed_analysis_repeats_nothing_else(finished: Path) -> None:
    folder = finished.parents[1]
    done = dpa_sse("run", HERE / "mock.yaml", "-s", "conductivity.hop_distance_A=2.5", cwd=folder)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Recomputed: conductivity, report." in done.stdout
    assert computed_tasks(finished) == {"conductivity", "report"}


def computed_tasks(run: Path) -> set[str]:
    """Tasks that the latest command has computed."""
    latest = events(run)
    start = max(number for number, event in enumerate(latest) if event["event"] == "run-start")
    return {event["task"] for event in latest[start:] if event["event"] == "start"}


@pytest.mark.slow
def test_one_temperature_more_keeps_the_others(finished: Path) -> None:
    folder = finished.parents[1]
    done = dpa_sse("run", HERE / "mock.yaml", "-s", "md.temperatures_K=[50, 80, 90]", cwd=folder)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "prepare-md" in done.stdout
    computed = {task for task in computed_tasks(finished) if not task.startswith(("choose-", "label-", "self-check"))}
    assert computed == {"prepare-md", "md-002", "conductivity", "report"}
    summary = json.loads((finished / "summary.json").read_text())
    assert [entry["temperature_K"] for entry in summary["conductivity"]] == [50, 80, 90]


@pytest.mark.slow
def test_a_milder_failure_policy_repeats_only_what_decides(finished: Path) -> None:
    done = dpa_sse("run", HERE / "mock.yaml", "-s", "failure.min_success_ratio=0.4", cwd=finished.parents[1])
    assert done.returncode == 3, done.stdout + done.stderr
    assert {task.partition("-i")[0] for task in computed_tasks(finished)} <= {
        "collect", "merge", "collect-new", "teacher-labels", "conductivity", "report",
    }


def test_status_logs_and_report_of_a_finished_run(finished: Path) -> None:
    folder = finished.parents[1]
    status = dpa_sse("status", "mock", "--json", cwd=folder)
    assert json.loads(status.stdout)["status"] == "inconclusive"
    assert json.loads((finished / "summary.json").read_text())["status"] == "inconclusive"
    logs = dpa_sse("logs", "mock", "student", cwd=folder)
    assert "train.log" in logs.stdout
    assert dpa_sse("report", "mock", cwd=folder).returncode == 0
    stopped = dpa_sse("stop", "mock", cwd=folder)
    assert "nothing is running" in stopped.stdout
    unknown = dpa_sse("status", "other", cwd=folder)
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "; runs here: mock" in unknown.stderr
