"""Real labels, training and MD at least once, in the images that `make images` builds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cluster.conftest import LIMIT_S, ROOT, dpa_sse, submit

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2 * LIMIT_S)]

SMALL = (
    "systems=[{name: LPSCl, structure: Li6PS5Cl, site_disorder: 0.5}]", "perturb.count=2",
    "aimd.temperatures_K=[300, 600]", "aimd.steps=9",
    "concurrent_learning.train.steps=100", "concurrent_learning.sanity_steps=5",
    "concurrent_learning.stages=[{temperatures_K: [300], steps: 20, max_iterations: 1}]",
    "pretrain.steps=20", "downstream.perturb.count=2", "downstream.aimd.steps=10", "finetune.frames=2",
    "finetune.steps=20", "distill.perturb.count=1", "distill.temperatures_K=[300]", "distill.steps=20",
    "distill.self_exploration=null", "distill.student.steps=30",
    "md.temperatures_K=[100]", "md.equilibration_ps=0.04", "md.production_ps=0.6",
    "validate={production_labels: 2, rounds: 1, round_ps: 0.3, teacher_steps: 10, student_steps: 10}",
)
"""The quickstart with every number of steps cut down."""


def test_sevennet_deepmd_and_lammps(tmp_path: Path) -> None:
    run = submit(ROOT / "configs" / "quickstart.yaml", tmp_path, *SMALL).succeeded()
    images = {
        container["image"].rpartition("/")[2].partition(":")[0]
        for template in run.get()["spec"]["templates"] if (container := template.get("script"))
    }
    assert images == {"dpa-sse-base", "dpa-sse-deepmd", "dpa-sse-ase"}
    dpa_sse("download", run.reference, cwd=tmp_path)
    summary = json.loads((tmp_path / "runs" / run.name / "summary.json").read_text())
    for model in ("pretrain", "fine_tuned", "student"):
        assert summary["errors"][model]["force_mae_meV_A"] > 0
    assert [entry["temperature_K"] for entry in summary["conductivity"]] == [100]
