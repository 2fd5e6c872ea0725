"""The DAG of a project with many targets: each step once, with what every target has in a project with it alone."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from dpa_sse.ops.runtime.over_targets import OverTargets, TargetsSettings
from dpa_sse.pipeline.config import load_checked
from dpa_sse.pipeline.config.targets import target_project
from dpa_sse.pipeline.engines.local.dflow_debug import configure
from dpa_sse.pipeline.engines.platform import Resources
from dpa_sse.pipeline.flows.main import build
from dpa_sse.pipeline.flows.render import render
from dpa_sse.pipeline.flows.targets import joined_order
from dpa_sse.pipeline.runs.targets import own_tasks, target_names
from tests.pipeline.flows.recording import RecordingPlatform

TARGETS = Path(__file__).parent / "targets.yaml"


class Built:
    def __init__(self, folder: Path, *overrides: str) -> None:
        configure(folder / "dflow", workers=1)
        self.located = load_checked(TARGETS, overrides)
        self.platform = RecordingPlatform()
        self.plan = build(
            self.located.project, self.located.base_dir, folder / "inputs", Resources(cores=2), self.platform
        ).plan
        self.steps = {step.name: step for step in self.plan}
        self.ops = self.platform.ops

    def members(self, step: str) -> dict[str, dict[str, Any]]:
        """The settings of a step of all targets, by target."""
        found = TargetsSettings.model_validate(json.loads(self.steps[step].settings))
        return {one.target: found.settings_of(one) for one in found.members}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("targets"))


def test_every_step_is_there_once_with_the_tasks_of_all_targets(built: Built) -> None:
    assert {name: step.tasks for name, step in built.steps.items()} == {
        "perturb": 1, "aimd": 4, "collect": 1, "pretrain": 1, "evaluate-pretrained": 1,
        "perturb-new": 1, "aimd-new": 2, "collect-new": 1,
        **{f"round{k}-{what}": tasks for k in (1, 2) for what, tasks in (
            ("train", 1), ("prepare", 1), ("md", 2), ("select", 1), ("label", 2), ("collect", 1),
        )},
        "finetune": 2, "evaluate": 1,
        "prepare-teacher": 2, "teacher-md": 6, "teacher-labels": 2, "first-student": 2, "self-exploration": 6,
        "self-exploration-labels": 2, "student": 2, "evaluate-student": 2, "teacher": 1, "prepare-md": 3,
        "md": 2 * 2 + 2 + 1,
        "choose-frames": 3, "label-production": 6, "self-check": 3, "conductivity": 3, "report": 1,
    }
    assert target_names(built.plan) == ["salts", "tuned", "plain"]


def test_the_settings_are_those_of_a_project_with_that_target(built: Built, tmp_path: Path) -> None:
    for target in ("salts", "tuned", "plain"):
        project = target_project(built.located.project, target)
        alone = build(project, built.located.base_dir, tmp_path / target, Resources(cores=2), RecordingPlatform())
        own = {step.name: json.loads(step.settings) for step in alone.plan}
        joined = [name for name, op in built.ops.items() if issubclass(op, OverTargets)]
        found = {name: members[target] for name in joined if target in (members := built.members(name))}
        assert found == {name: own[name] for name in found}
        assert set(found) == set(own) - {"perturb", "aimd", "collect", "pretrain", "report"} - (
            {"evaluate"} if target != "tuned" else set()
        )


def test_every_op_accepts_the_settings_of_its_step(built: Built) -> None:
    for name, op in built.ops.items():
        if issubclass(op, OverTargets):
            for target, settings in built.members(name).items():
                assert op.wrapped.settings_class.model_validate(settings).type_map, (name, target)
        else:
            op.settings_class.model_validate(json.loads(built.steps[name].settings))


def test_tasks_know_their_target(built: Built) -> None:
    assert [(one.target, one.name()) for one in own_tasks(built.steps["md"])] == [
        ("salts", "md-000"), ("salts", "md-001"), ("salts", "md-002"), ("salts", "md-003"), ("tuned", "md-000"),
        ("tuned", "md-001"), ("plain", "md-000"),
    ]
    assert [(one.target, one.name("i000")) for one in own_tasks(built.steps["self-check"])] == [
        ("salts", "self-check-i000"), ("tuned", "self-check-i000"), ("plain", "self-check-i000"),
    ]
    assert own_tasks(built.steps["pretrain"]) == []


def test_frames_of_a_target_may_be_the_users(tmp_path: Path) -> None:
    from tests.pipeline.report import report_inputs as made

    data = yaml.safe_load(TARGETS.read_text())
    own = {"name": "mine", "systems": [{"name": "Li2S-mine", "structure": "Li2S"}], "finetune": {"frames": 4},
           "data": [str(made.dataset(tmp_path))]}
    data.update(audit_data=False, type_map=["Li", "P", "S", "Cl", "Br"], targets=[*data["targets"], own])
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(data))
    configure(tmp_path / "dflow", workers=1)
    located = load_checked(path)
    platform = RecordingPlatform()
    plan = build(located.project, located.base_dir, tmp_path / "inputs", Resources(cores=2), platform).plan
    steps = {step.name: step for step in plan}
    found = [own_tasks(steps[name]) for name in ("collect-new", "collect-new-2")]
    assert sorted((one.target, one.name()) for tasks in found for one in tasks) == [
        ("mine", "collect-new"), ("tuned", "collect-new"),
    ]
    sources = {one.target: one.inputs for one in TargetsSettings.model_validate(
        json.loads(steps["finetune"].settings)).members}
    assert sources["tuned"]["downstream"].source != sources["mine"]["downstream"].source


def test_the_model_of_the_labeler_is_there_once(tmp_path: Path) -> None:
    from tests.model_files import frozen

    data = yaml.safe_load(TARGETS.read_text())
    frozen(tmp_path / "labels.pth", ["Li", "S", "Cl"])
    data["labeler"] = {"kind": "deepmd", "model": "labels.pth"}
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(data))
    configure(tmp_path / "dflow", workers=1)
    located = load_checked(path)
    plan = build(located.project, tmp_path, tmp_path / "inputs", Resources(cores=2), RecordingPlatform()).plan
    settings = next(json.loads(step.settings) for step in plan if step.name == "label-production")
    for one in TargetsSettings.model_validate(settings).members:
        assert (one.inputs["model"].source, one.inputs["model"].kind) == ("model_shared", "all")
    assert not list((tmp_path / "inputs").rglob("labels.pth"))


def test_thirty_targets_make_no_larger_workflow(tmp_path: Path) -> None:
    data = yaml.safe_load(TARGETS.read_text())

    def size(count: int) -> int:
        data["targets"] = [
            {"name": f"T{k}", "systems": [{"name": f"S{k}", "structure": ("LiCl", "Li2S")[k % 2]}]}
            for k in range(count)
        ]
        path = tmp_path / f"{count}.yaml"
        path.write_text(yaml.safe_dump(data))
        located = load_checked(path)
        return len(yaml.safe_dump(render(located.project, located.base_dir).workflow))

    one, thirty = size(1), size(30)
    assert thirty <= min(2 * one, 300_000)


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_steps_is_that_of_every_target(seed: int) -> None:
    """For sequences that are parts of one order, as those of the targets are."""
    generator = random.Random(seed)
    sets = [set(generator.sample(range(10), generator.randint(0, 10))) for _ in range(generator.randint(1, 5))]
    sequences = [sorted(one) for one in sets]
    order = joined_order(sequences)
    assert sorted(order) == sorted(set().union(*sets))
    for sequence in sequences:
        assert [item for item in order if item in sequence] == sequence
