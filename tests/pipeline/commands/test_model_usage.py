"""The files next to the student run as they are, and give the same energy and pressure."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write

from dpa_sse.ops.md.data_file import write_lammps_data
from dpa_sse.ops.md.program import lammps_command
from dpa_sse.ops.results.model import ModelInfo
from dpa_sse.pipeline.commands.model_usage import ASE_EXAMPLE, LAMMPS_INCLUDE, USAGE, usage_texts, write_usage
from tests.self_checks import not_trusted

TYPE_MAP = ("Li", "P", "Cl")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of models with an untrained student."""
    import torch
    from deepmd.pt.model.model import get_model

    torch.manual_seed(1)
    model = get_model({
        "type_map": list(TYPE_MAP),
        "descriptor": {
            "type": "se_e2_a", "rcut": 4.0, "rcut_smth": 1.0, "sel": [24] * 3, "neuron": [4, 8], "axis_neuron": 2,
            "seed": 1,
        },
        "fitting_net": {"neuron": [8, 8], "seed": 1},
    })
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # an untrained network is nearly flat
            parameter.mul_(1000.0 if "fitting_net" in name and name.endswith("layers.2.matrix") else 3.0)
    folder = tmp_path_factory.mktemp("run")
    (folder / "task").mkdir()
    torch.jit.save(torch.jit.script(model), str(folder / "task" / "model.pth"))
    ModelInfo(type_map=TYPE_MAP, deepmd_version="3.2.0").write(folder / "task")
    (folder / "models").mkdir()
    (folder / "models" / "student").symlink_to("../task")
    write_usage(folder / "models")
    return folder / "models"


def test_both_programs_give_the_same_numbers(models: Path, tmp_path: Path) -> None:
    cell = bulk("LiCl", "rocksalt", a=5.1, cubic=True).repeat((2, 2, 2))
    cell.rattle(0.1, seed=3)
    write(tmp_path / "cell.extxyz", cell)
    write_lammps_data(tmp_path / "cell.data", cell, TYPE_MAP)
    done = subprocess.run(
        [sys.executable, ASE_EXAMPLE, tmp_path / "cell.extxyz"], cwd=models, capture_output=True, text=True, check=True
    )
    found = re.search(r"(-?[\d.]+) eV, (-?[\d.]+) GPa", done.stdout)
    assert found
    argv, environment = lammps_command()
    script = (
        f"units metal\natom_style atomic\natom_modify map yes\nread_data {tmp_path}/cell.data\n"
        f"include {LAMMPS_INCLUDE}\nthermo_style custom step pe press\nthermo_modify format float %.8g\nrun 0\n"
    )
    (tmp_path / "in.lammps").write_text(script)
    command = [*argv, "-in", str(tmp_path / "in.lammps"), "-log", str(tmp_path / "log"), "-screen", "none"]
    subprocess.run(command, cwd=models, env={**os.environ, **environment, "OMP_NUM_THREADS": "1"}, check=True)
    row = re.search(r"Step +PotEng +Press.*\n +0 +(\S+) +(\S+)", (tmp_path / "log").read_text())
    assert row
    assert float(row[1]) == pytest.approx(float(found[1]), abs=1e-4)
    assert abs(float(found[1])) > 1e-3
    assert float(row[2]) * 1e-4 == pytest.approx(float(found[2]), abs=2e-3)  # bar to GPa
    elsewhere = [*command, "-var", "student", str(models / "student" / "model.pth")]
    (tmp_path / "in.lammps").write_text(script.replace(LAMMPS_INCLUDE, str(models / LAMMPS_INCLUDE)))
    subprocess.run(elsewhere, cwd=tmp_path, env={**os.environ, **environment, "OMP_NUM_THREADS": "1"}, check=True)


def test_the_page_holds_the_files(models: Path) -> None:
    page = (models / USAGE).read_text()
    assert (models / LAMMPS_INCLUDE).read_text().rstrip() in page
    assert (models / ASE_EXAMPLE).read_text().rstrip() in page
    assert "mass 2 30.9738  # P" in page
    assert "pair_coeff * * Li P Cl" in page
    assert "DeePMD-kit 3.2.0" in page
    assert str(models.parent) not in page
    assert "Its molecular dynamics was not compared with the labeler." in page


def test_the_page_has_the_verdict_of_the_self_check() -> None:
    check = not_trusted("Li2S", "energy error -9 meV/atom")
    page = usage_texts("model.pth", TYPE_MAP, None, check)[USAGE]
    assert "- Li2S: not trusted in its own molecular dynamics (energy error -9 meV/atom)" in page


def test_without_a_student_nothing_is_left(models: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "student").symlink_to(models / "student")
    write_usage(tmp_path / "models")
    assert (tmp_path / "models" / USAGE).is_file()
    (tmp_path / "models" / "student").unlink()
    write_usage(tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []
    write_usage(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_link_at_their_place_is_not_followed(models: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "student").symlink_to(models / "student")
    (tmp_path / "theirs").write_text("keep")
    (tmp_path / "models" / USAGE).symlink_to(tmp_path / "theirs")
    write_usage(tmp_path / "models")
    assert (tmp_path / "theirs").read_text() == "keep"
