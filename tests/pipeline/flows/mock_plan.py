"""The DAG of the mock project, for tests of where its steps are."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpa_sse.pipeline.config.load import load_project
from dpa_sse.pipeline.engines.platform import Resources
from dpa_sse.pipeline.flows import main
from dpa_sse.pipeline.runs.plan import PlannedStep

HERE = Path(__file__).parent


@pytest.fixture
def built_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Build for this machine: uploads are paths."""
    from dflow import config

    monkeypatch.setitem(config, "mode", "debug")
    monkeypatch.setitem(config, "debug_workdir", str(tmp_path / "dflow"))


def plan(folder: Path, *changes: str) -> dict[str, PlannedStep]:
    project = load_project(HERE / "mock.yaml", changes)
    return {step.name: step for step in main.build(project, HERE, folder, Resources(cores=2)).plan}
