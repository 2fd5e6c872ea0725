"""The stand-in for VASP, a made-up POTCAR library, and cells."""

import sys
from pathlib import Path

import numpy as np
import pytest

from dpa_sse.ops.labelers.settings import VaspSettings
from dpa_sse.ops.labelers.vasp import job
from dpa_sse.ops.structures.build import build_cell
from dpa_sse.ops.structures.perturb import perturb_atoms
from dpa_sse.ops.structures.settings import SystemSettings
from tests.fake_vasp import FAKE, write_library


@pytest.fixture
def library(tmp_path, monkeypatch):
    folder = write_library(tmp_path / "potcars")
    monkeypatch.setenv("VASP_POTCAR_DIR", str(folder))
    return folder


@pytest.fixture
def plan(tmp_path, monkeypatch, library):
    """Write what happens at each start of the stand-in."""
    monkeypatch.setattr(job, "POLL_S", 0.05)
    monkeypatch.setattr(job, "MONITOR_EVERY", 2)
    monkeypatch.setenv("PYTHONPATH", str(FAKE.parents[1]))
    path = tmp_path / "plan.txt"
    monkeypatch.setenv("FAKE_VASP_PLAN", str(path))

    def write(*lines):
        path.write_text("".join(f"{line}\n" for line in lines))

    return write


@pytest.fixture
def settings():
    return VaspSettings(command=f"{sys.executable} {FAKE}")


@pytest.fixture(scope="session")
def cell():
    return build_cell(SystemSettings(name="Li2S", structure="Li2S"), Path(), 1)


@pytest.fixture(scope="session")
def frames(cell):
    made = []
    for seed in range(3):
        atoms = perturb_atoms(cell, 0.03, 0.15, np.random.default_rng(seed))
        atoms = atoms[np.random.default_rng(seed).permutation(len(atoms))]  # VASP wants them sorted, users do not
        atoms.info.update(system="Li2S", trajectory="Li2S.p000")
        made.append(atoms)
    return made
