"""Where the gates are in the DAG, and what their step is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpa_sse.pipeline.config.load import load_project
from dpa_sse.pipeline.engines.platform import Resources
from dpa_sse.pipeline.flows import main
from dpa_sse.pipeline.runs.plan import PlannedStep

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Build for this machine: uploads are paths."""
    from dflow import config

    monkeypatch.setitem(config, "mode", "debug")
    monkeypatch.setitem(config, "debug_workdir", str(tmp_path / "dflow"))


def plan(folder: Path, *changes: str) -> dict[str, PlannedStep]:
    project = load_project(HERE / "mock.yaml", changes)
    return {step.name: step for step in main.build(project, HERE, folder, Resources(cores=2)).plan}


def test_the_student_is_judged_before_the_production(tmp_path: Path) -> None:
    steps = plan(tmp_path)
    order = list(steps)
    assert order.index("student") < order.index("gates") < order.index("prepare-md")
    assert {"student", "finetune", "pretrain", "teacher-labels"} <= set(steps["gates"].depends)
    assert "gates" in steps["report"].depends
    told = json.loads(steps["gates"].settings)
    assert {key: told[key] for key in ("tier", "on_fail", "temperature_K", "timestep_fs", "mobile")} == {
        "tier": "smoke", "on_fail": "warn", "temperature_K": 80.0, "timestep_fs": 1.0, "mobile": ["Li"],
    }


def test_without_production_the_teacher_md_says_how_hot(tmp_path: Path) -> None:
    told = json.loads(plan(tmp_path, "md=null", "validate.on_fail=stop")["gates"].settings)
    assert (told["temperature_K"], told["on_fail"]) == (50.0, "stop")


def test_null_does_without(tmp_path: Path) -> None:
    steps = plan(tmp_path, "validate.gates=null")
    assert "gates" not in steps and "gates" not in steps["report"].depends


def test_the_first_student_of_the_loop_is_judged(tmp_path: Path) -> None:
    steps = plan(tmp_path, "validate.rounds=2", "validate.production_labels=8")
    assert steps["gates"].loop is None and list(steps).index("gates") < list(steps).index("correct-teacher")
