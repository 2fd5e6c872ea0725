"""A labeler is one module and one line of the registry: shown by adding one, and true of those that are there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ase.build import bulk

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.labelers.base import ProgramFinding
from dpa_sse.ops.labelers.registry import (
    LABELERS,
    labeler_class,
    labeler_image,
    parse_labeler,
    program_findings,
    with_model,
)
from dpa_sse.ops.labelers.settings import DeepmdSettings, MockSettings
from dpa_sse.ops.results.status import TaskStatus
from dpa_sse.ops.structures.extxyz import read_frames, write_frames

ROOT = Path(__file__).resolve().parents[3]
MODULE = '''
from typing import Literal

from pydantic import Field

from dpa_sse.ops.labelers.base import ProgramFinding, label_with_calculator
from dpa_sse.ops.labelers.dynamics import CalculatorLabeler
from dpa_sse.ops.labelers.settings import LabelerSettings


class LennardJonesSettings(LabelerSettings):
    """A Lennard-Jones potential."""

    kind: Literal["lj"] = "lj"
    epsilon_eV: float = Field(0.1, gt=0, description="Depth, eV.")


class LennardJonesLabeler(CalculatorLabeler[LennardJonesSettings]):
    """The labeler of kind ``lj``."""

    settings_class = LennardJonesSettings
    image = "ase"
    code = "LJ"
    example = "{kind: lj, epsilon_eV: 0.2}"

    def calculator(self, work=None):
        from ase.calculators.lj import LennardJones

        return LennardJones(epsilon=self.settings.epsilon_eV, sigma=2.4, rc=5.0, smooth=True)

    def label(self, frames, work):
        return [label_with_calculator(atoms, self.calculator()) for atoms in frames]

    @classmethod
    def problems(cls, settings, type_map, base_dir):
        if "Br" in type_map:
            yield ("epsilon_eV",), "no parameter for Br"

    @classmethod
    def findings(cls):
        yield ProgramFinding("Lennard-Jones", "ok", "built in")
'''
PROGRAM = """
import sys
from pathlib import Path

from dpa_sse.ops.labelers.registry import LABELERS

LABELERS["lj"] = "lj_labeler:LennardJonesLabeler"  # the line that a new labeler needs

if sys.argv[1] == "label":
    from dpa_sse.ops.labelers.registry import labeler_image, parse_labeler
    from dpa_sse.ops.labelers.single_points import label_frames

    label_frames(Path("task"), parse_labeler({"kind": "lj", "epsilon_eV": 0.2}), Path("out"))
    print(labeler_image("lj"))
else:
    from dpa_sse.pipeline.__main__ import main

    main()
"""
PROJECT = """name: x
type_map: [{elements}]
systems: [{{name: A, structure: Li2S}}]
labeler: {{kind: lj, {key}: 0.2}}
"""


@pytest.fixture
def program(tmp_path: Path):
    """Return a function that runs this package with the additional labeler."""
    (tmp_path / "lj_labeler.py").write_text(MODULE)
    (tmp_path / "program.py").write_text(PROGRAM)

    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "program.py", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "COLUMNS": "200", "NO_COLOR": "1"},
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_labeler_is_one_module_and_one_line(program, tmp_path):
    (tmp_path / "good.yaml").write_text(PROJECT.format(elements="Li, S", key="epsilon_eV"))
    code, text = program("check", "good.yaml")
    assert code == 0, text
    for elements, key, words in (
        ("Li, S, Br", "epsilon_eV", "no parameter for Br"), ("Li, S", "epsilon", "did you mean 'epsilon_eV'?"),
    ):
        (tmp_path / "bad.yaml").write_text(PROJECT.format(elements=elements, key=key))
        code, text = program("check", "bad.yaml")
        assert code == 2
        assert "bad.yaml:4: labeler." in text
        assert words in text

    (tmp_path / "task").mkdir()
    write_frames(tmp_path / "task/frames.extxyz", [bulk("LiCl", "rocksalt", a=5.1, cubic=True)] * 2)
    code, text = program("label")
    assert (code, text) == (0, "ase\n")
    assert TaskStatus.read(tmp_path / "out").status == "ok"
    labelled = read_frames(tmp_path / "out/frames.extxyz")
    assert len(labelled) == 2
    assert all(abs(frame.get_potential_energy()) > 0.1 for frame in labelled)

    assert "Lennard-Jones" in program("doctor")[1]


@pytest.mark.parametrize("kind", LABELERS)
def test_every_labeler_declares_what_others_ask_for(kind):
    made = labeler_class(kind)
    assert made.settings_class.model_fields["kind"].default == kind
    assert parse_labeler(yaml.safe_load(made.example)).kind == kind
    assert labeler_image(kind) == "base" or (ROOT / "images" / labeler_image(kind) / "software").is_file()
    assert made.code
    assert all(isinstance(one, ProgramFinding) for one in made.findings())


def test_programs_of_all_labelers_are_reported():
    assert {"CP2K", "VASP", "Quantum ESPRESSO", "ABACUS"} <= {one.name for one in program_findings()}


@pytest.mark.parametrize("data", [{}, {"kind": "vaps"}])
def test_unknown_kinds_are_refused(data):
    with pytest.raises(InputError, match=r"no labeler of kind .* \(known: abacus, ase, cp2k, deepmd, mock, qe, vasp\)"):
        parse_labeler(data)


def test_the_model_file_moves_with_the_task():
    assert with_model(DeepmdSettings(model="a.pth"), Path("/in/a.pth")).model == "/in/a.pth"
    assert with_model(DeepmdSettings(model="a.pth"), None).model == "a.pth"
    assert with_model(MockSettings(), Path("/in/a.pth")) == MockSettings()
