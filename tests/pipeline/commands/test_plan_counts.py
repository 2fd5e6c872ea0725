"""What `plan` says a project asks for, against the tasks of the DAG and the files of a finished small run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpa_sse.ops.md.prepare import prepare_md
from dpa_sse.ops.md.tasks import read_task
from dpa_sse.ops.results.md import MdTask
from dpa_sse.ops.structures.build import build_cell
from dpa_sse.ops.structures.extxyz import write_frames
from dpa_sse.pipeline.commands.plan_counts import amounts, total
from dpa_sse.pipeline.commands.project import plan_config
from dpa_sse.pipeline.config import load_checked

MOCK = Path(__file__).parents[1] / "flows" / "mock.yaml"


def stages(*overrides: str) -> dict[str, Any]:
    located = load_checked(MOCK, overrides)
    return {one.stage: one for one in amounts(located.project, located.base_dir)}


def test_counts_of_every_stage() -> None:
    """By hand, from the numbers in mock.yaml."""
    found = stages()
    assert (found["02-seed"].labels, found["02-seed"].frames) == (2 * 2 * 9, 2 * 2 * 5)
    loop = found["03-concurrent-learning"]
    assert (loop.labels, loop.frames) == (2 * 4, 2 * 4)
    assert loop.training_steps == 2 * (40 + 20)
    assert loop.md_ns == pytest.approx((2 * 2 * 10 + 2 * 2 * 2 * 10) * 1e-6)
    assert found["04-pretrain"].training_steps == 20
    tuned = found["05-finetune"]
    assert (tuned.labels, tuned.frames, tuned.training_steps) == (2 * 9, 2 * 5, 2 * 10)
    assert found["06-distill"].training_steps == 30 + 30
    assert found["06-distill"].md_ns == pytest.approx(2 * (20 + 20) * 1e-6)
    assert found["07-md"].md_ns == pytest.approx(2 * 0.12e-3)
    assert found["07-self-check"].labels == 12
    assert total(list(found.values())).labels == 36 + 8 + 18 + 12


def test_production_is_that_of_its_tasks(tmp_path: Path) -> None:
    located = load_checked(MOCK, ["md.replicas=3"])
    md = located.project.md
    assert md is not None
    cells = [build_cell(one, tmp_path, 1) for one in located.project.target_systems]
    for cell, system in zip(cells, located.project.target_systems, strict=True):
        cell.info["system"] = system.name
    write_frames(tmp_path / "cells.extxyz", cells)
    count = prepare_md(tmp_path / "cells.extxyz", md, 1, tmp_path / "tasks")
    tasks = [read_task(tmp_path / "tasks" / f"task.{number:03d}", MdTask) for number in range(count)]
    steps = sum(found[1].equilibration_steps + found[1].steps for found in tasks if found)
    assert stages("md.replicas=3")["07-md"].md_ns == pytest.approx(steps * md.timestep_fs * 1e-6)


def test_rounds_add_their_labels_and_their_shorter_runs() -> None:
    found = stages("validate={rounds: 2, round_ps: 0.05, production_labels: 4}")
    assert found["07-self-check"].labels == 3 * 4
    assert found["07-md"].md_ns == pytest.approx(2 * (2 * 0.07 + 0.12) * 1e-3)


def test_each_network_of_a_committee_counts() -> None:
    learning = "models: 3, train: [{preset: se_e2_a-tiny, steps: 100}, {preset: dpa2-tiny, steps: 30}]"
    found = stages(
        "concurrent_learning={" + learning + ", stages: [{temperatures_K: [300], steps: 100, max_iterations: 2}]}"
    )
    assert found["03-concurrent-learning"].training_steps == 2 * (100 + 30 + 100)


def test_steps_of_a_preset_count_where_none_are_given() -> None:
    assert stages("pretrain={preset: dpa2-tiny}")["04-pretrain"].training_steps > 20


def test_plan_prints_and_writes_the_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan_config(MOCK, [], tmp_path / "plan", as_json=False)
    shown = capsys.readouterr().out
    assert "in all" in shown
    assert "training steps" in shown
    written = json.loads((tmp_path / "plan" / "counts.json").read_text())
    assert written[0] == {"stage": "02-seed", "labels": 36, "frames": 20, "training_steps": 0, "md_ns": 0.0}
