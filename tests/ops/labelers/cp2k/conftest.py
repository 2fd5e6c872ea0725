"""Stored outputs of real runs, a fake program that replays them, and a data folder with names only."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from dpa_sse.ops.labelers.settings import Cp2kSettings
from dpa_sse.ops.structures.extxyz import read_frames

DATA = Path(__file__).resolve().parents[3] / "data" / "cp2k"
GOLDEN = Path(__file__).resolve().parents[3] / "golden" / "cp2k"
FAKE = Path(__file__).parent / "fake_cp2k.py"
VALENCE = {
    "Li": 3, "B": 3, "O": 6, "Al": 3, "Si": 4, "P": 5, "S": 6, "Cl": 7, "Ga": 13, "Ge": 4, "As": 5, "Br": 7, "Sn": 4,
    "Sb": 5, "I": 7,
}
"""Valence electrons of the usual GTH-PBE potentials."""

OLD_TZVP = ("O", "Si", "P", "S", "Cl")  # their triple zeta sets are in BASIS_MOLOPT, without SR


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the names of the files of CP2K 2023.1, without numbers."""
    folder = tmp_path_factory.mktemp("cp2k-data")
    lines: dict[str, list[str]] = {
        name: ["# names only"] for name in ("BASIS_MOLOPT", "BASIS_MOLOPT_UCL", "BASIS_MOLOPT_UZH", "GTH_POTENTIALS")
    }
    for element, q in VALENCE.items():
        lines["GTH_POTENTIALS"] += [f"{element} GTH-PBE-q{q} GTH-PBE", "    1    2", f"{element} GTH-BLYP-q{q}"]
        names = [f"DZVP-MOLOPT-SR-GTH DZVP-MOLOPT-SR-GTH-q{q}"]
        names += [f"TZVP-MOLOPT-GTH TZVP-MOLOPT-GTH-q{q}"] if element in OLD_TZVP else []
        lines["BASIS_MOLOPT"] += [f" {element}  {name}\n 1\n 2 0 2 7 2 2 1" for name in names]
        if element not in OLD_TZVP:
            lines["BASIS_MOLOPT_UCL"].append(f"{element} TZVP-MOLOPT-SR-GTH TZVP-MOLOPT-SR-GTH-q{q}")
        lines["BASIS_MOLOPT_UZH"].append(f" {element} TZV2P-MOLOPT-PBE-GTH-q{q} TZV2P-MOLOPT-GGA-GTH-q{q}")
    lines["GTH_POTENTIALS"] += ["Li GTH-PBE-q1", "Ga GTH-PBE-q3", "B GTH-PBESol-q3 GTH-PBESol"]
    lines["BASIS_MOLOPT_UZH"].append(" Li TZV2P-MOLOPT-PBE-GTH-q1")
    for name, content in lines.items():
        (folder / name).write_text("\n".join(content) + "\n")
    for name in ("dftd3.dat", "xTB_parameters"):
        (folder / name).write_text("")
    return folder


@pytest.fixture
def licl() -> Atoms:
    """Return the two atoms that the stored GFN1-xTB outputs belong to."""
    return read_frames(DATA / "LiCl.extxyz")[0]


@pytest.fixture
def fake(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cp2kSettings:
    """Return settings with the fake program."""
    from dpa_sse.ops.labelers.cp2k import program

    program.version.cache_clear()
    monkeypatch.delenv("FAKE_CP2K", raising=False)
    command = tmp_path / "bin" / "cp2k"
    command.parent.mkdir()
    shutil.copy(FAKE, command)
    command.write_text(command.read_text().replace("Path(__file__).resolve().parents[3] / \"data\" / \"cp2k\"",
                                                   f"Path({str(DATA)!r})"))
    return Cp2kSettings(command=str(command), data_dir=str(data_dir))


def li2s(repeat: int = 1) -> Atoms:
    """Return the conventional cell of Li2S, one atom off its place."""
    fcc = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    sites = np.concatenate([fcc + 0.25, fcc + 0.75, fcc]) % 1.0
    atoms = Atoms("Li8S4", scaled_positions=sites, cell=[5.69] * 3, pbc=True)
    atoms.positions[0] += [0.1, 0.0, -0.05]
    return atoms.repeat(repeat)
