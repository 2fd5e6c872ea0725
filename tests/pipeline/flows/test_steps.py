"""What the flow promises to its steps: settings that their OPs accept, and the number of tasks that they write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpa_sse.pipeline.config import load_checked
from dpa_sse.pipeline.engines.local.dflow_debug import configure
from dpa_sse.pipeline.engines.platform import Resources
from dpa_sse.pipeline.flows.main import build
from tests.pipeline.flows.recording import RecordingPlatform

MOCK = Path(__file__).parent / "mock.yaml"


class Built:
    def __init__(self, folder: Path, *overrides: str) -> None:
        configure(folder / "dflow", workers=1)
        located = load_checked(MOCK, overrides)
        platform = RecordingPlatform()
        self.folder = folder / "inputs"
        flow = build(located.project, located.base_dir, self.folder, Resources(cores=2), platform)
        self.steps = {step.name: step for step in flow.plan}
        self.ops = platform.ops

    def settings(self, name: str) -> Any:
        """The settings of a step as its OP gets them."""
        data, declared = json.loads(self.steps[name].settings), self.ops[name].settings_class
        return declared.model_validate(data) if declared else data


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("mock"), "distill.perturb.count=2", "distill.temperatures_K=[600, 900, 1200]",
                 "md.temperatures_K=[500, 700]", "md.replicas=3")


def test_every_op_accepts_the_settings_of_its_step(built: Built) -> None:
    declared = [name for name, op in built.ops.items() if op.settings_class]
    assert "perturb" in declared
    for name in declared:
        assert built.settings(name).type_map, name


def test_the_flow_knows_how_many_tasks_a_step_writes(built: Built, tmp_path: Path) -> None:
    for prepare, cells, folder, fan_outs in (
        ("prepare-teacher", "target-cells", "tasks", ["teacher-md"]), ("prepare-md", "md-cells", "", ["md"]),
    ):
        out = tmp_path / prepare
        built.ops[prepare]().run(out, built.settings(prepare), cells=built.folder / f"{cells}.extxyz")
        written = len(list((out / folder).glob("task.*")))
        assert written > 1
        assert {built.steps[name].tasks for name in fan_outs} == {written}
