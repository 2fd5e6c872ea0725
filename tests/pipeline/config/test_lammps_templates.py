"""Templates of LAMMPS inputs in a configuration: found, checked with the line in the template, carried to the tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpa_sse.ops.md.settings import MdSettings
from dpa_sse.pipeline.config import ConfigError, load_checked, load_located
from dpa_sse.pipeline.config.remarks import remarks
from dpa_sse.pipeline.flows.production import _md_settings
from dpa_sse.pipeline.flows.project import ProjectFlow
from dpa_sse.pipeline.runs.inputs import store_inputs, with_own_inputs

GOOD = "@{system}\n@{start}\nfix calm all momentum 100 linear 1 1 1\n@{integrator}\n@{run}\n"
LEARNING = {"stages": [{"temperatures_K": [300], "steps": 50}], "lammps_template": "explore.lmp"}
CONFIG: dict[str, Any] = {
    "name": "x", "type_map": ["Li", "Cl"], "systems": [{"name": "a", "structure": "LiCl"}], "labeler": {"kind": "mock"},
    "concurrent_learning": LEARNING, "distill": {}, "md": {"temperatures_K": [300], "lammps_template": "md.lmp"},
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "explore.lmp").write_text(GOOD)
    (tmp_path / "md.lmp").write_text(GOOD.replace("100", "500"))
    (tmp_path / "c.yaml").write_text(json.dumps(CONFIG, indent=1))
    return tmp_path / "c.yaml"


def problems(path: Path, *overrides: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load_checked(path, overrides)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_faults_have_the_line_in_the_template(config: Path) -> None:
    load_checked(config)
    (config.parent / "md.lmp").write_text(GOOD.replace("fix calm", "shell rm"))
    fault = "md.lmp:3: shell is not possible in a template: a template starts no programs"
    assert problems(config) == {"md.lammps_template": fault}
    assert problems(config, "concurrent_learning.lammps_template=none.lmp")["concurrent_learning.lammps_template"] == (
        "none.lmp: no such file")
    (config.parent / "md.lmp").write_bytes(b"\xff\xfe\0")
    assert "md.lmp" in problems(config)["md.lammps_template"]


def test_fixes_that_change_diffusion_are_remarked(config: Path) -> None:
    """A Langevin thermostat damps what the conductivity is made of."""
    assert [one for one in remarks(load_checked(config)) if one.path == "md.lammps_template"] == []
    (config.parent / "md.lmp").write_text(GOOD.replace(
        "@{integrator}", "fix go all nve\nfix bath all langevin @{temperature_K} @{temperature_K} 0.1 @{seed}"))
    [remark] = [one for one in remarks(load_checked(config)) if one.path == "md.lammps_template"]
    assert remark.message.startswith("md.lmp:5: fix langevin acts on the motion of the atoms")


def test_the_ensembles_of_the_stages_count(config: Path) -> None:
    (config.parent / "explore.lmp").write_text(GOOD.replace(
        "@{integrator}", "fix go all nve\nfix bath all langevin @{temperature_K} @{temperature_K} 0.1 @{seed}"))
    found = problems(config)["concurrent_learning.lammps_template"]
    assert found == "explore.lmp:4: fix nve keeps the cell, but `ensemble` of a stage is not nvt"
    load_checked(config, ["concurrent_learning.stages.0.ensemble=nvt"])


def test_tasks_and_run_folders_have_the_text(config: Path, tmp_path: Path) -> None:
    """A task needs no other file, and a changed template is another setting; a run folder has the files."""
    located = load_located(config)
    flow = object.__new__(ProjectFlow)
    flow.project, flow.base_dir = located.project, located.base_dir
    assert flow.plain(located.project.concurrent_learning)["lammps_template"] == GOOD  # type: ignore[index]
    assert located.project.md is not None
    settings = MdSettings.model_validate(_md_settings(flow, located.project.md))
    assert [task.template for task in settings.tasks("a", 1)] == [GOOD.replace("100", "500")]
    project, places = with_own_inputs(located.project, located.base_dir)
    assert project.md is not None and project.concurrent_learning is not None
    names = (project.md.lammps_template, project.concurrent_learning.lammps_template)
    assert names == ("inputs/md.lmp", "inputs/explore.lmp")
    store_inputs(places, tmp_path / "run")
    assert (tmp_path / "run" / "inputs" / "explore.lmp").read_text() == GOOD
