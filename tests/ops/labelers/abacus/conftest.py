"""A program that stands in for ABACUS, with headers of pseudopotentials and orbital files."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from dpa_sse.ops.labelers.settings import AbacusSettings
from tests.ops.labelers.qe.conftest import write_pseudo

FAKE = Path(__file__).parent / "fake_abacus.py"
ORBITAL = "Element                     {element}\nEnergy Cutoff(Ry)           100\nRadius Cutoff(a.u.)         7\n"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "pseudos"
    folder.mkdir()
    write_pseudo(folder / "Li_ONCV_PBE-1.2.upf", "Li", "PBE", "NC", 3.0)
    write_pseudo(folder / "S_ONCV_PBE-1.2.upf", "S", "PBE", "NC", 6.0)
    orbitals = tmp_path / "orbitals"
    orbitals.mkdir()
    for element, name in (("Li", "Li_gga_7au_100Ry_4s1p.orb"), ("S", "S_gga_7au_100Ry_2s2p1d.orb")):
        (orbitals / name).write_text(ORBITAL.format(element=element))
    return folder


@pytest.fixture
def fake(library: Path, monkeypatch: pytest.MonkeyPatch) -> AbacusSettings:
    monkeypatch.delenv("FAKE_ABACUS", raising=False)
    return AbacusSettings(
        command=f"{sys.executable} {FAKE}", pseudo_dir=str(library), pseudo_functional="PBE", ecutwfc_Ry=100,
    )


@pytest.fixture
def sulfide() -> Atoms:
    """Return a sheared cell whose elements are not grouped."""
    atoms = Atoms(
        "LiSLiLi", positions=[[0.1, 0, 0], [2.1, 2.0, 2.03], [2.2, 0.1, 0], [0, 2.2, 0.2]],
        cell=np.eye(3) * 4.3 + 0.2 * np.arange(9).reshape(3, 3) / 9, pbc=True,
    )
    atoms.set_array("order", np.arange(4))
    return atoms
