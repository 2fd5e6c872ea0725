"""A run checks ``config.resolved.yaml`` again, in which every value is given: its verdict must be that of the original.

For every good and bad configuration and for generated ones: writing out all defaults and loading the result gives an
equal project, the same problems, and the same text again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from dpa_sse.pipeline.config import ConfigError, Project, check_project, load_located, load_project, resolved_yaml
from dpa_sse.pipeline.config.load import attempt_load

HERE = Path(__file__).parent
CONFIGS = HERE.parents[2] / "configs"
FILES = sorted([*HERE.glob("good/*.yaml"), *HERE.glob("bad/*.yaml"), *CONFIGS.glob("*.yaml"),
                *CONFIGS.glob("paper/*.yaml"), *CONFIGS.glob("labelers/*.yaml")])
CHOICES: dict[str, list[dict[str, Any]]] = {
    "elements": [{"type_map": ["Li", "P", "S", "Cl"]}, {"type_map": ["Si", "S", "P"]}],
    "systems": [
        {"systems": [{"name": "A", "structure": "P2S5"}]}, {},
        {"systems": [{"name": "A", "structure": "Li6PS5Cl", "series": {"site_disorder": [0, 0.5]}}]},
        {"systems": [{"name": "A", "structure": "Li6PS5Cl", "count": 2, "site_disorder": 0.5}]},
    ],
    "data": [{}, {"data": ["data"]}, {"data": ["nothing"]}],
    "labeler": [
        {"labeler": {"kind": "mock"}}, {"labeler": {"kind": "cp2k", "template": "none.inp", "kspacing": 0.5}},
        {"labeler": {"kind": "cp2k", "template": "none.inp", "cutoff_Ry": 400}},
    ],
    "pretrain": [{}, {"pretrain": None}, {"pretrain": {"model": "DPA-3.1-3M"}}, {"pretrain": {"model": "DPA-3.1-3N"}}],
    "downstream": [
        {}, {"downstream": {"system": {"name": "B", "structure": "P2S5"}}, "finetune": {"frames": 2}},
        {"downstream": {"system": {"name": "B", "structure": "P2S5", "count": 3}}},
        {"downstream": {"system": {"name": "B", "structure": "P2S5", "count": 3, "arrangement": 0}}},
    ],
    "learning": [
        {}, {"concurrent_learning": {"stages": [{"temperatures_K": [300]}]}},
        {"concurrent_learning": {
            "stages": [{"temperatures_K": [300], "trust": {"relative": {"lo": 0.1, "hi": 0.2}}}],
            "trust_of": {"a": {"virial_lo_eV_atom": 0.1, "virial_hi_eV_atom": 0.2}},
            "train": [{"preset": "se_e2_a"}, {"preset": "dpa2-tiny"}], "lammps_template": "none.lmp",
        }},
        {"concurrent_learning": {"stages": [{"temperatures_K": [300]}], "trust": {"adaptive": {"candidates": 5}}}},
    ],
    "md": [{}, {"distill": {}}, {"distill": {}, "md": {"temperatures_K": [300]}}],
    "conductivity": [
        {}, {"conductivity": {}}, {"conductivity": {"hop_distance_A": 2.5}}, {"conductivity": {"mobile": ["Li"]}},
        {"conductivity": {"mobile": ["S"], "charges": {"S": -2}}}, {"conductivity": {"mobile": ["Si"]}},
        {"conductivity": {"charges": {"Li": 1, "K": 1}}},
    ],
    "cluster": [{}, {"cluster": {}}, {"cluster": {"preset": "huge"}}, {"cluster": {"overrides": {"pods.md.gpu": 1}}}],
}
N_GENERATED = 120


def generated() -> Iterator[dict[str, Any]]:
    rng = random.Random(1)
    for number in range(N_GENERATED):
        made: dict[str, Any] = {"name": f"generated-{number}"}
        for several in CHOICES.values():
            made |= rng.choice(several) if rng.random() < 0.4 else several[0]
        yield made


def verdict(project: Project, path: Path) -> list[tuple[str, str]]:
    """Return what is wrong with the files that a project names, wherever its keys are written."""
    return sorted((one.path, one.message) for one in check_project(project, path, marks={}))


def assert_same_after_writing_out(project: Project, path: Path, folder: Path) -> None:
    text = resolved_yaml(project)
    resolved = folder / "config.resolved.yaml"
    resolved.write_text(text, encoding="utf-8")
    again = load_located(resolved).project
    assert again == project
    assert resolved_yaml(again) == text
    assert verdict(again, path) == verdict(project, path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_files(path: Path, tmp_path: Path) -> None:
    try:
        located = attempt_load(path).located
    except ConfigError:
        located = None  # not even YAML
    if located is None:
        assert path.parent.name == "bad"
        return
    assert_same_after_writing_out(located.project, path, tmp_path)


def test_generated(tmp_path: Path) -> None:
    part = tmp_path / "data" / "P2S5" / "set.000"
    part.mkdir(parents=True)
    (part.parent / "type.raw").write_text("0\n1\n")
    (part.parent / "type_map.raw").write_text("P\nS\n")
    for name in ("coord", "box", "energy", "force"):
        np.save(part / f"{name}.npy", np.zeros((2, 9)))
    verdicts = []
    for content in generated():
        path = tmp_path / "my.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        attempt = attempt_load(path)
        if attempt.located is None:
            assert attempt.problems, content
            continue
        assert_same_after_writing_out(attempt.located.project, path, tmp_path)
        verdicts.append(not attempt.problems and not verdict(attempt.located.project, path))
    assert len(verdicts) >= N_GENERATED // 2
    assert 5 <= sum(verdicts) <= len(verdicts) - 20  # both verdicts are covered


def test_project_without_lithium_can_be_run(tmp_path: Path) -> None:
    project = load_project(HERE / "good" / "no_lithium.yaml")
    assert project.conductivity.mobile == ["Li"]
    assert "Li" not in project.type_map
    assert_same_after_writing_out(project, HERE / "good" / "no_lithium.yaml", tmp_path)
