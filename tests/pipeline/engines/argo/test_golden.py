"""The rendered workflow of a small project, compared with a file; `GOLDEN=write pytest ...` writes it again.

The inputs of the steps (settings, cells) are left out: they are the business of other tests.
"""

from __future__ import annotations

import os
from pathlib import Path

from dpa_sse.pipeline.config import load_checked
from dpa_sse.pipeline.engines.argo.limits import steps_of
from dpa_sse.pipeline.engines.argo.yaml_text import dump
from dpa_sse.pipeline.flows.render import render

ROOT = Path(__file__).resolve().parents[4]
GOLDEN = ROOT / "tests" / "golden" / "argo-learning.yaml"
GATES = ROOT / "tests" / "golden" / "argo-gates.yaml"
SMALL = ("pretrain=null", "downstream=null", "finetune=null", "distill=null", "md=null", "name=golden",
         "cluster.preset=spot", "cluster.suspend=[after-concurrent-learning]", "failure.task_timeout_min=60")


def test_workflow_is_as_agreed() -> None:
    located = load_checked(ROOT / "tests" / "pipeline" / "flows" / "mock.yaml", SMALL)
    workflow = render(located.project, located.base_dir).workflow
    for step in steps_of(workflow):
        for item in step.get("arguments", {}).get("artifacts", []):
            if "raw" in item:
                item["raw"]["data"] = "..."
    compare(dump(workflow), GOLDEN)


def compare(text: str, golden: Path) -> None:
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


def test_the_wait_after_the_gates_is_as_agreed() -> None:
    """The verdict, the wait for a person, and the step after it; without images and inputs."""
    located = load_checked(ROOT / "tests" / "pipeline" / "flows" / "mock.yaml", ("validate.on_warn=suspend",))
    workflow = render(located.project, located.base_dir).workflow
    templates = {one["name"]: one for one in workflow["spec"]["templates"]}
    groups = templates[workflow["spec"]["entrypoint"]]["steps"]
    place = next(number for number, group in enumerate(groups) if group[0]["name"] == "gates")
    steps = [
        [{key: one[key] for key in ("name", "template", "when") if key in one} for one in group]
        for group in groups[place : place + 3]
    ]
    judge = {"name": "gates", "outputs": {"parameters": templates["gates"]["outputs"]["parameters"]}}
    compare(dump({"steps": steps, "templates": [judge, templates["gate"]]}), GATES)
