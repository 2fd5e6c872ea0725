from __future__ import annotations

from pathlib import Path

from dpa_sse.pipeline.config.gpus import gpu_faults
from dpa_sse.pipeline.config.schema import Project

PODS = {"pods.label.gpus": 4, "pods.train.gpus": 1}


def faults(labeler: dict[str, object]) -> list[str]:
    project = Project.model_validate({
        "name": "a", "type_map": ["Li", "S"], "systems": [{"name": "Li2S", "structure": "Li2S"}], "labeler": labeler,
        "cluster": {"preset": "one-gpu", "overrides": PODS},
        "engine": {"pbs": {"overrides": {"label": {"gpus": 2, "nodes": 2}}}},
    })
    return [".".join(map(str, where)) for where, _ in gpu_faults(project, Path())]


def test_vasp_may_use_several_gpus() -> None:
    assert faults({"kind": "vasp"}) == []


def test_other_labelers_use_one() -> None:
    expected = ["cluster.overrides.pods.label.gpus", "engine.pbs.overrides.label.gpus"]
    assert faults({"kind": "ase", "calculator": "chgnet"}) == expected
