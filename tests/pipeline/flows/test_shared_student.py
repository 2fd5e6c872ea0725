"""Targets that share a student: one distillation for all of them, MD and results for each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dpa_sse.ops.runtime.over_targets import TargetsSettings
from dpa_sse.pipeline.commands.plan_counts import amounts
from dpa_sse.pipeline.config import ConfigError, load_checked
from dpa_sse.pipeline.engines.local.dflow_debug import configure
from dpa_sse.pipeline.engines.platform import Resources
from dpa_sse.pipeline.flows.main import build
from dpa_sse.pipeline.runs.folder import Run
from dpa_sse.pipeline.runs.plan import PlannedStep
from dpa_sse.pipeline.runs.targets import own_tasks, target_views
from tests.pipeline.flows.recording import RecordingPlatform

CONFIG = Path(__file__).parent / "shared.yaml"
ROOT = CONFIG.parents[3]


def plan_of(folder: Path, *overrides: str) -> dict[str, PlannedStep]:
    configure(folder / "dflow", workers=1)
    located = load_checked(CONFIG, overrides)
    flow = build(located.project, located.base_dir, folder / "inputs", Resources(cores=2), RecordingPlatform())
    return {step.name: step for step in flow.plan}


def members(step: PlannedStep) -> dict[str, list[str]]:
    found = TargetsSettings.model_validate(json.loads(step.settings)).members
    return {one.target: one.serves for one in found}


def test_one_distillation_serves_all_that_share_it(tmp_path: Path) -> None:
    steps = plan_of(tmp_path)
    for name in ("prepare-teacher", "teacher-md", "teacher-labels", "student", "evaluate-student"):
        assert members(steps[name]) == {"plain": [], "one": ["two"]}, name
    assert steps["teacher-md"].tasks == 2 + 2 * 2  # two perturbed cells of each of the two systems
    for name in ("prepare-md", "conductivity"):
        assert members(steps[name]) == {"plain": [], "one": [], "two": []}, name
    md = {one.target: one for one in TargetsSettings.model_validate(json.loads(steps["md"].settings)).members}
    assert md["one"].inputs["student"] == md["two"].inputs["student"] != md["plain"].inputs["student"]
    assert len(own_tasks(steps["md"])) == 3


def test_one_of_them_alone_has_the_same_student(tmp_path: Path) -> None:
    steps = plan_of(tmp_path, "only=[two]")
    assert members(steps["student"]) == {"two": []}
    assert steps["teacher-md"].tasks == 2 * 2


def test_gates_of_the_shared_student_stop_the_md_of_all(tmp_path: Path) -> None:
    steps = plan_of(tmp_path, "validate.gates=smoke", "validate.on_fail=stop")
    assert members(steps["gates"]) == {"plain": [], "one": ["two"]}
    md = {one.target: one for one in TargetsSettings.model_validate(json.loads(steps["prepare-md"].settings)).members}
    assert [one.first for one in md["two"].after] == [one.first for one in md["one"].after] == [1]
    assert [one.first for one in md["plain"].after] == [0]


def test_the_student_is_counted_once() -> None:
    shared, own = load_checked(CONFIG), load_checked(CONFIG, ["targets.1.student=own", "targets.2.student=own"])
    found = [
        next(one for one in amounts(located.project, located.base_dir) if one.stage == "06-distill")
        for located in (shared, own)
    ]
    assert [one.training_steps for one in found] == [60, 90]
    assert found[0].md_ns == pytest.approx(found[1].md_ns)


@pytest.mark.parametrize(("values", "place", "message"), [
    (["targets.1.student=own"], "targets.2.student", "no other target shares a student"),
    (["targets.2.finetune={frames: 2}"], "targets.2.student", "a fine-tuned target has its own teacher"),
    (["targets.1.distill={steps: 10}"], "targets.1.student", "trained by the section `distill` of the project"),
    (["targets.1.md={model: teacher}"], "targets.1.student", "the MD runs with the teacher"),
    (["targets.2.systems.0.structure=Li2S"], "targets.2.student", "cannot be shared with targets.1: its elements are "
     "Li, S"),
])
def test_what_cannot_be_shared_is_refused(values: list[str], place: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_checked(CONFIG, values)
    found = [one for one in caught.value.problems if message in one.message]
    assert [one.path for one in found] == [place], str(caught.value)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_with_a_shared_student(tmp_path: Path) -> None:
    config = yaml.safe_load(CONFIG.read_text())
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [sys.executable, "-m", "dpa_sse.pipeline", "run", "my.yaml"], cwd=tmp_path, capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
    )
    assert done.returncode == 3, done.stdout + done.stderr  # too short for conductivities
    run = Run(tmp_path / "runs" / "mock-shared")
    views = target_views(run)
    assert views["one"].finished["student"] == views["two"].finished["student"] != views["plain"].finished["student"]
    assert "teacher-md-003" in views["two"].finished
    links = {name: (run.folder / "models" / name / "student").resolve() for name in views}
    assert links["one"] == links["two"] != links["plain"]
    summary = json.loads((run.folder / "summary.json").read_text())
    assert [one["name"] for one in summary["targets"]] == ["plain", "one", "two"]
    page = (run.folder / "targets" / "two" / "report.html").read_text()
    assert "student" in page
