"""A stored output of a real run, a program that replays it, and a folder with headers of pseudopotentials."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ase import Atoms

from dpa_sse.ops.labelers.settings import QeSettings
from dpa_sse.ops.structures.extxyz import read_frames

DATA = Path(__file__).resolve().parents[3] / "data" / "qe"
FAKE = Path(__file__).parent / "fake_pw.py"
HEADER = """<UPF version="2.0.1">
<PP_HEADER element="{element}" pseudo_type="{kind}" functional="{functional}"
 z_valence="{valence}" wfc_cutoff="{wfc}" rho_cutoff="{rho}"/>
</UPF>
"""
OLD_HEADER = """<PP_INFO>
</PP_INFO>
<PP_HEADER>
   0                   Version Number
  {element:<20} Element
   US                  Ultrasoft pseudopotential
    T                  Nonlinear Core Correction
 SLA  PW   PBX  PBC    PBE  Exchange-Correlation functional
   {valence:.5f}            Z valence
 -100.00000      Total energy
   20.0000   100.0000      Suggested cutoff for wfc and rho
</PP_HEADER>
<PP_MESH>
</PP_MESH>
"""


def write_pseudo(
    path: Path, element: str, functional: str, kind: str = "NC", valence: float = 4.0, wfc: float = 0, rho: float = 0
) -> None:
    path.write_text(HEADER.format(
        element=element, kind=kind, functional=functional, valence=f"{valence:.5e}", wfc=f"{wfc:.5e}", rho=f"{rho:.5e}",
    ))


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "pseudos"
    folder.mkdir()
    write_pseudo(folder / "Si.upf", "Si", "PBE")
    write_pseudo(folder / "Li.pbesol-s-kjpaw.UPF", "Li", " SLA  PW   PSX  PSC", "PAW", 3.0, 40.0, 400.0)
    write_pseudo(folder / "s_pbesol_v1.4.uspp.F.UPF", "S", "PBESOL", "USPP", 6.0, 35.0, 280.0)
    return folder


@pytest.fixture
def silicon() -> Atoms:
    """Return the two atoms that the stored outputs belong to."""
    return read_frames(DATA / "Si.extxyz")[0]


@pytest.fixture
def fake(library: Path, monkeypatch: pytest.MonkeyPatch) -> QeSettings:
    monkeypatch.delenv("FAKE_PW", raising=False)
    return QeSettings(
        command=f"{sys.executable} {FAKE}", pseudo_dir=str(library), functional="PBE", ecutwfc_Ry=16, ecutrho_Ry=64,
    )
