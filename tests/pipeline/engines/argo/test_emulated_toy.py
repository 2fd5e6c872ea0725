"""A toy DAG (loop, fan-out, retries, the task store) rendered and run by the emulator, against the local engine."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import argo_toy
import pytest
from emulator import HERE, Emulator, PodFailedError

from dpa_sse.pipeline.config.cluster import ClusterPreset
from dpa_sse.pipeline.engines.argo.platform import ArgoPlatform
from dpa_sse.pipeline.engines.local.engine import execute
from dpa_sse.pipeline.engines.platform import Resources
from dpa_sse.pipeline.flows.render import lower
from dpa_sse.pipeline.runs.folder import Run

TEXT = "{{workflow.name}} costs 5$$, $(HOME) and {{=1+1}}; Größe: 1 Å\n"


class Case:
    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self.folder, self.options = folder, options
        self.text, self.notes = folder / "text", folder / "notes"
        self.text.write_text(TEXT)
        self.runs = 0

    def render(self) -> dict[str, Any]:
        preset = ClusterPreset(pods={"light": {"max_pods": 2}}, retries=2)
        platform = ArgoPlatform(preset, Resources(retries=0), "mock")
        return lower(lambda: argo_toy.build(self.folder / "inputs", self.text, self.options, platform), platform)

    def emulate(self, **variables: str) -> Emulator:
        self.runs += 1
        environment = {"TOY_NOTES": str(self.notes), "DPA_SSE_STORE": str(self.folder / "store"), **variables}
        made = Emulator(self.render(), self.folder / f"emulated-{self.runs}", environment)
        made.run()
        return made

    def computed(self) -> Counter[str]:
        return Counter(self.notes.read_text().splitlines())


def result(made: Emulator) -> Any:
    return json.loads((made.artifact("end") / "out" / "result.json").read_text())


def test_same_numbers_as_the_local_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(tmp_path, {"count": 5, "last": 2, "fail": [3]})
    made = case.emulate()
    assert made.attempts["square-i0-0"] == 1
    assert len([key for key in made.attempts if key.startswith("square-i1-")]) == 2  # five tasks in two pods
    page = made.artifact("gather-i2", "page")
    assert page.read_text().startswith("<p>")

    run = Run(tmp_path / "run")
    run.create()
    (run.folder / "toy.json").write_text(json.dumps({"text": str(case.text), "options": case.options}))
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.setenv("TOY_NOTES", str(tmp_path / "local-notes"))
    assert execute(run, Resources(cores=2), build="argo_toy:build_run") == 0
    local = run.task_folder("end")
    assert local is not None
    assert json.loads((local / "result.json").read_text()) == result(made)
    assert result(made)[0] == len(TEXT)  # nothing was substituted on the way


def test_a_second_workflow_computes_only_what_failed_or_changed(tmp_path: Path) -> None:
    case = Case(tmp_path, {"count": 3, "last": 1, "fail": [1]})
    case.emulate()
    assert set(case.computed().values()) == {1}
    case.emulate()
    again = {task for task, count in case.computed().items() if count == 2}
    assert again == {"square 0 1", "square 1 1"}
    case.options["fail"] = []
    case.emulate()
    assert case.computed()["square 0 0"] == 2


def test_a_pod_that_fails_in_passing_is_repeated_and_keeps_its_results(tmp_path: Path) -> None:
    case = Case(tmp_path, {"count": 2, "last": 0})
    made = case.emulate(TOY_FLAKY=str(tmp_path / "flag"))
    assert made.attempts["end"] == 2
    assert set(case.computed().values()) == {1}


def test_fatal_failures_end_with_the_code_that_is_not_repeated(tmp_path: Path) -> None:
    case = Case(tmp_path, {"count": 2, "last": 0, "fatal": True})
    with pytest.raises(PodFailedError, match=r"end: exit code 2[\s\S]*nothing can be done about this"):
        case.emulate()
    (tmp_path / "few").mkdir()
    few = Case(tmp_path / "few", {"count": 3, "last": 0, "fail": [0, 1], "ratio": 0.9})
    with pytest.raises(PodFailedError, match=r"gather-i0: exit code 2[\s\S]*squares: 1 of 3 succeeded"):
        few.emulate()


def test_an_image_of_another_version_is_refused(tmp_path: Path) -> None:
    case = Case(tmp_path, {"count": 2, "last": 0})
    workflow = case.render()
    start = next(template for template in workflow["spec"]["templates"] if template["name"] == "start")
    next(item for item in start["script"]["env"] if item["name"] == "DPA_SSE_VERSION")["value"] = "0.0.9"
    with pytest.raises(PodFailedError, match=r"start: exit code 2\nrendered by version 0.0.9 of the pipeline, but"):
        Emulator(workflow, tmp_path / "emulated", {"TOY_NOTES": str(case.notes)}).run()
