"""The stand-in for VASP, a made-up POTCAR library, and cells."""

import sys
from pathlib import Path

import numpy as np
import pytest

from ops.labelers.settings import VaspLabeler
from ops.labelers.vasp import job
from ops.structures.build import build_cell
from ops.structures.perturb import perturb_atoms
from ops.structures.settings import SystemSettings

FAKE = Path(__file__).resolve().parents[3] / "fake_vasp.py"

ENMAX = {"Li": 140.0, "P": 255.0, "S": 258.7, "Cl": 262.5, "Ga_d": 282.7, "Ge_d": 310.3}


def potcar_text(symbol, *, enmax=200.0, lexch="PE", family="PAW_PBE", element=None):
    """A file that looks like a POTCAR to those that read its header; it describes nothing."""
    element = element or symbol.split("_")[0]
    return (
        f"  {family} {symbol} 01Jan2000\n   1.00000000000000\n parameters from PSCTR are:\n   VRHFIN ={element}: made up\n"
        f"   LEXCH  = {lexch}\n   EATOM  =    10.0000 eV,    1.0000 Ry\n\n   TITEL  = {family} {symbol} 01Jan2000\n"
        f"   LULTRA =        F    use ultrasoft PP ?\n   POMASS =   10.000; ZVAL   =    1.000    mass and valenz\n"
        f"   ENMAX  =  {enmax:.3f}; ENMIN  =  {enmax * 0.75:.3f} eV\n END of PSCTR-controll parameters\n"
        " SECRET of the licence\n  0.1000000E+01 0.2000000E+01\n End of Dataset\n"
    )


def write_library(folder, **changes):
    for symbol, enmax in ENMAX.items():
        (folder / symbol).mkdir(parents=True)
        (folder / symbol / "POTCAR").write_text(potcar_text(symbol, enmax=enmax, **changes))
    return folder


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
    return VaspLabeler(command=f"{sys.executable} {FAKE}")


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
