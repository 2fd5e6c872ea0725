"""Every system of the library, three solid solutions, disordered argyrodite: built, perturbed, run with CHGNet."""

import json
from pathlib import Path

import numpy as np
import pytest

from dpa_sse.ops.labelers.aimd import run_aimd
from dpa_sse.ops.labelers.settings import AimdSettings, AseSettings
from dpa_sse.ops.structures import library
from dpa_sse.ops.structures.build import write_cells
from dpa_sse.ops.structures.extxyz import read_frames
from dpa_sse.ops.structures.perturb import perturb_cells
from dpa_sse.ops.structures.settings import PerturbSettings, SystemSettings

SYSTEMS = [
    SystemSettings(name=entry.system, structure=entry.name)
    for entry in map(library.load_entry, library.names()) if entry.primary
] + [
    SystemSettings(name="LPSC-disordered", structure="Li6PS5Cl", site_disorder=0.5),
    SystemSettings(name="LGPS-mixed", structure="Li10Ge0.5Sn0.25Si0.25P2S12", supercell=(2, 1, 1)),
    SystemSettings(name="LPSClBr", structure="Li6PS5Cl0.5Br0.5"),
    SystemSettings(name="LSiPSCl", structure="Li9.54Si1.74P1.44S11.7Cl0.3", supercell=(2, 1, 1)),
    SystemSettings(name="LGPS-average", structure="Li10GeP2S12_disordered"),
]


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS, ids=[system.name for system in SYSTEMS])
def test_five_steps_with_chgnet(system: SystemSettings, tmp_path: Path) -> None:
    pytest.importorskip("chgnet")
    write_cells([system], tmp_path, 1, tmp_path / "cells.extxyz")
    perturb_cells(tmp_path / "cells.extxyz", PerturbSettings(count=1), 1, tmp_path)
    settings = AimdSettings(temperatures_K=[300.0], steps=5, sample_every=1)
    run_aimd(tmp_path / "task.000", AseSettings(), settings, 1, tmp_path / "out")
    assert json.loads((tmp_path / "out/status.json").read_text())["status"] == "ok"
    frames = read_frames(tmp_path / "out/frames.extxyz")
    assert len(frames) == 6
    assert max(np.linalg.norm(frame.get_forces(), axis=1).max() for frame in frames) < 8.0  # eV/A
