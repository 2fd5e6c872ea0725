"""Runs of the toy flows on a stand-in for a batch system."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dpa_sse.pipeline.config.batch import BatchSettings, System
from dpa_sse.pipeline.config.batch_presets import jobs_of
from dpa_sse.pipeline.engines.platform import Resources
from dpa_sse.pipeline.engines.slurm.engine import execute_on_batch
from dpa_sse.pipeline.runs.folder import Run
from tests import fake_batch
from tests.toy_runs import TOYS, make

ALL_IN_QUEUE = {"light": {"where": "queue", "time": "00:10:00"}}


@dataclass
class BatchSystem:
    """A stand-in for a batch system, and a folder for runs on it."""

    folder: Path
    system: System = "slurm"

    def __post_init__(self) -> None:
        fake_batch.install(self.folder / "bin", self.system)
        (self.folder / "batch" / "jobs").mkdir(parents=True)

    @property
    def state(self) -> Path:
        return self.folder / "batch"

    @property
    def calls(self) -> list[str]:
        path = self.state / "calls"
        return path.read_text().split() if path.exists() else []

    def run(self, options: dict[str, Any]) -> Run:
        return make(self.folder, options)

    def go(
        self, run: Run, build: str = "build_sum", on_tick: Callable[[], None] | None = None, **settings: Any
    ) -> int:
        batch = BatchSettings.model_validate({"overrides": ALL_IN_QUEUE, "poll_s": 0.5, "patience_s": 5, **settings})
        resources = Resources(cores=2, retries=1)
        jobs = jobs_of(batch, self.folder)
        return execute_on_batch(
            run, resources, self.system, batch, jobs, build=f"toy:{build}", on_tick=on_tick
        )

    def states(self) -> dict[str, list[str]]:
        found = {}
        for folder in sorted((self.state / "jobs").iterdir()):
            if not (folder / "job.json").is_file():  # being submitted
                continue
            data = json.loads((folder / "job.json").read_text())
            found[folder.name] = [(folder / f"state.{member}").read_text() for member in data["members"]]
        return found

    def state_words(self) -> set[str]:
        return {state for states in self.states().values() for state in states}


@pytest.fixture
def batch_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[BatchSystem]:
    made = BatchSystem(tmp_path, getattr(request, "param", "slurm"))
    monkeypatch.setenv("PYTHONPATH", str(TOYS))
    monkeypatch.setenv("FAKE_BATCH", str(made.state))
    monkeypatch.setenv("PATH", f"{made.folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    yield made
    for number, states in made.states().items():
        for member in json.loads((made.state / "jobs" / number / "job.json").read_text())["members"]:
            if "running" in states:
                fake_batch.end(made.state / "jobs" / number, member, "cancelled", 9)
