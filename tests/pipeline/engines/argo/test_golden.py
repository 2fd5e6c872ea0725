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
SMALL = ("pretrain=null", "downstream=null", "finetune=null", "distill=null", "md=null", "name=golden",
         "cluster.preset=spot", "cluster.suspend=[after-concurrent-learning]", "failure.task_timeout_min=60")


def test_workflow_is_as_agreed() -> None:
    located = load_checked(ROOT / "tests" / "pipeline" / "flows" / "mock.yaml", SMALL)
    workflow = render(located.project, located.base_dir).workflow
    for step in steps_of(workflow):
        for item in step.get("arguments", {}).get("artifacts", []):
            if "raw" in item:
                item["raw"]["data"] = "..."
    text = dump(workflow)
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
