"""Three targets with mock labels and tiny networks: results, pages, another target, a target that fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dpa_sse.pipeline.runs.folder import Run
from dpa_sse.pipeline.runs.targets import target_views

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
TARGETS = HERE / "targets.yaml"


def dpa_sse(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "dpa_sse.pipeline", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def started(run: Path) -> list[str]:
    """Return the tasks that the latest start computed."""
    return [event.task for event in Run(run).latest_attempt() if event.kind == "start"]


def numbers(summary: Path) -> dict[str, Any]:
    data = json.loads(summary.read_text())
    for one in data["md"]:
        del one["steps_per_s"]
    return {name: value for name, value in data.items() if name != "stages"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("targets")
    done = dpa_sse("run", TARGETS, "-s", "resources.threads_per_task=1", cwd=folder)
    assert done.returncode == 3, done.stdout + done.stderr  # every run is too short for a conductivity
    for target in ("salts", "tuned", "plain"):
        assert f"{target}: No conductivity at any of" in done.stdout
    return folder / "runs" / "mock-targets"


def test_each_target_has_its_page_and_the_project_one_of_all(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["status"] == "inconclusive"
    assert [(one["name"], one["status"], one["labels_trained_on"]) for one in summary["targets"]] == [
        ("salts", "inconclusive", None), ("tuned", "inconclusive", 4), ("plain", "inconclusive", None),
    ]
    page = (finished / "report.html").read_text(encoding="utf-8")
    points = []
    for one in summary["targets"]:
        place = f"{one['folder']}/report.html"
        assert f'href="{place}"' in page
        assert (finished / place).is_file()
        own = json.loads((finished / one["folder"] / "summary.json").read_text())
        points += own["conductivity"]
        assert own["status"] == "inconclusive"
        assert one["force_mae_meV_A"] == own["errors"].get("student_vs_teacher", {}).get("force_mae_meV_A")
        assert (one["force_mae_meV_A"] is None) == (one["name"] == "plain")
        assert ("fine_tuned" in own["errors"]) == (one["name"] == "tuned")
    assert summary["conductivity"] == points
    assert [(one["system"], one["temperature_K"]) for one in points] == [
        ("LiCl-big", 50), ("LiCl-bigger", 50), ("LiCl-big", 80), ("LiCl-bigger", 80), ("Li2S-new", 50),
        ("Li2S-new", 80), ("Li2S-same", 60),
    ]


def test_each_target_ran_with_its_own_student(finished: Path) -> None:
    views = target_views(Run(finished))
    students = {name: view.finished["student"] for name, view in views.items() if name != "plain"}
    assert len(set(students.values())) == 2
    for name, folder in students.items():
        assert (finished / "models" / name / "student").resolve() == folder.resolve()
    assert "student" not in views["plain"].finished


def test_the_teacher_itself_can_run_the_md(finished: Path) -> None:
    """The pre-trained model, frozen, is the file that LAMMPS used."""
    view = target_views(Run(finished))["plain"]
    pretrained = (finished / "models" / "pretrained" / "model.pth").read_bytes()
    assert (view.finished["teacher"] / "model.pth").read_bytes() == pretrained
    assert len(list((view.finished["md-000"]).glob("traj.lammpstrj"))) == 1
    summary = json.loads((finished / "targets" / "plain" / "summary.json").read_text())
    assert summary["errors"].keys() == {"pretrain"}


def test_the_report_can_be_written_again(finished: Path) -> None:
    before = numbers(finished / "summary.json")
    done = dpa_sse("report", finished, cwd=finished.parents[1])
    assert done.returncode == 0, done.stderr
    assert numbers(finished / "summary.json") == before


def test_a_target_that_is_added_is_all_that_is_computed(finished: Path, tmp_path: Path) -> None:
    data = yaml.safe_load(TARGETS.read_text())
    data["targets"].insert(1, {
        "name": "added", "systems": [{"name": "LiCl-added", "structure": "LiCl"}],
        "distill": {"student": {"steps": 25}},
    })
    path = tmp_path / "more.yaml"
    path.write_text(yaml.safe_dump(data))
    before = numbers(finished / "summary.json")
    done = dpa_sse("run", path, "-s", "resources.threads_per_task=1", cwd=finished.parents[1])
    assert done.returncode == 3, done.stdout + done.stderr
    computed = [task for task in started(finished) if task != "report"]
    own = _tasks_of(finished, "added")
    assert set(computed) <= own, sorted(set(computed) - own)
    after = numbers(finished / "summary.json")
    kept = [one for one in after["conductivity"] if one["system"] != "LiCl-added"]
    assert kept == before["conductivity"]
    assert [one["name"] for one in after["targets"]] == ["salts", "added", "tuned", "plain"]


def test_links_of_a_target_that_is_gone_are_removed(finished: Path, tmp_path: Path) -> None:
    data = yaml.safe_load(TARGETS.read_text())
    data["targets"] = [one for one in data["targets"] if one["name"] != "salts"]
    path = tmp_path / "fewer.yaml"
    path.write_text(yaml.safe_dump(data))
    (finished / "data" / "my-distilled").symlink_to(tmp_path)
    dpa_sse("run", path, "-s", "resources.threads_per_task=1", cwd=finished.parents[1])
    assert not list(finished.glob("models/salts/student")) and not list(finished.glob("conductivities/salts"))
    assert (finished / "models" / "tuned" / "student").exists()
    assert (finished / "data" / "my-distilled").is_symlink()
    (finished / "data" / "my-distilled").unlink()


def _tasks_of(run: Path, target: str) -> set[str]:
    """Return the names that the tasks of a target have in the run."""
    view = target_views(Run(run))[target]
    own = set(view.ended.values())
    return {task for task, folder in Run(run).ended().items() if folder in own}


def test_a_target_whose_labels_fail_costs_itself(tmp_path: Path, finished: Path) -> None:
    """Its labels fail because its frames do not exist; the other targets have the numbers of a run without it."""
    data = yaml.safe_load(TARGETS.read_text())
    pretrained = (finished / "models" / "pretrained" / "model.pt").resolve()
    data.update(
        pretrain={"model": str(pretrained)}, systems=[], name="lost",
        labeler={"kind": "mock", "fail_every": 1}, validate={"production_labels": 0, "gates": None},
    )
    path = tmp_path / "lost.yaml"
    path.write_text(yaml.safe_dump(data))
    done = dpa_sse("run", path, "-s", "resources.threads_per_task=1", cwd=tmp_path)
    run = tmp_path / "runs" / "lost"
    summary = json.loads((run / "summary.json").read_text())
    assert [(one["name"], one["status"]) for one in summary["targets"]] == [
        ("salts", "inconclusive"), ("tuned", "failed"), ("plain", "inconclusive"),
    ]
    lost = summary["targets"][1]["reason"]
    assert lost == "CalculationFailed: the mock labeler fails here (error), as requested"
    assert lost in (run / "report.html").read_text(encoding="utf-8").replace("&#39;", "'")
    assert f"tuned: failed: {lost}" in done.stdout
    assert summary["status"] == "inconclusive"  # min_success_ratio is 0.5
    assert done.returncode == 3
    strict = dpa_sse("run", path, "-s", "resources.threads_per_task=1", "-s", "failure.min_success_ratio=1",
                     cwd=tmp_path)
    assert strict.returncode == 1
    assert json.loads((run / "summary.json").read_text())["status"] == "partial"
    without = {**data, "name": "without", "targets": [one for one in data["targets"] if one["name"] != "tuned"]}
    path.write_text(yaml.safe_dump(without))
    dpa_sse("run", path, "-s", "resources.threads_per_task=1", cwd=tmp_path)
    alone = json.loads((tmp_path / "runs" / "without" / "summary.json").read_text())
    kept = [one for one in summary["conductivity"] if one["system"] != "Li2S-new"]
    assert kept == alone["conductivity"]


def test_emulated_argo_gives_the_numbers_of_the_local_engine(finished: Path, tmp_path: Path) -> None:
    from dpa_sse.pipeline.config import load_checked
    from dpa_sse.pipeline.flows.render import render
    from tests.pipeline.engines.argo.emulator import Emulator

    work = tmp_path / "local"
    work.mkdir()
    dpa_sse("run", TARGETS, "-s", "resources.threads_per_task=1", cwd=work)
    located = load_checked(TARGETS, ["resources.threads_per_task=1"])
    made = Emulator(
        render(located.project, located.base_dir).workflow, tmp_path / "emulated",
        {"DPA_SSE_STORE": str(tmp_path / "store")},
    )
    made.run()
    found = numbers(made.artifact("report") / "out" / "summary.json")
    local = numbers(work / "runs" / "mock-targets" / "summary.json")
    found.pop("status")  # a pod does not know the stages
    local.pop("status")
    assert found == local
