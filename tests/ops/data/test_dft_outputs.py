"""Outputs of VASP (the stand-in) and CP2K (stored, real) become labelled data with the labels of the labelers."""

import gzip
import shutil
import subprocess
import sys

import numpy as np
import pytest

from dpa_sse.ops.audit.run import audit_data
from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.data.exchange import convert_data
from dpa_sse.ops.data.level_of_theory import join_levels
from dpa_sse.ops.data.reading import read_data
from dpa_sse.ops.labelers.cp2k.output import read_evaluations
from dpa_sse.ops.labelers.mock import mock_energy
from dpa_sse.ops.labelers.settings import VaspSettings
from dpa_sse.ops.labelers.vasp.incar import single_point_tags
from dpa_sse.ops.labelers.vasp.job import write_inputs
from dpa_sse.ops.labelers.vasp.labeler import VaspLabeler
from dpa_sse.ops.labelers.vasp.potcar import find_potcar
from dpa_sse.ops.results.level import PotentialFile
from dpa_sse.ops.structures.build import build_cell
from dpa_sse.ops.structures.perturb import perturb_atoms
from dpa_sse.ops.structures.settings import SystemSettings
from tests.fake_vasp import FAKE, write_library
from tests.ops.labelers.cp2k.conftest import DATA


@pytest.fixture
def vasp_run(tmp_path, monkeypatch):
    """Return a function that runs the stand-in for a cell; elements come in the order of its POSCAR."""
    library = write_library(tmp_path / "potcars")
    monkeypatch.setenv("PYTHONPATH", str(FAKE.parents[1]))

    def run(name, plan="ok", **settings):
        cell = build_cell(SystemSettings(name="Li2S", structure="Li2S"), None, 1)
        atoms = perturb_atoms(cell, 0.03, 0.1, np.random.default_rng(len(name)))
        folder = tmp_path / name
        potcars = [find_potcar(library, element, {}) for element in ("Li", "S")]
        write_inputs(folder, atoms, single_point_tags(VaspSettings(**settings)), potcars)
        (tmp_path / "plan").write_text(f"{plan}\n")
        monkeypatch.setenv("FAKE_VASP_PLAN", str(tmp_path / "plan"))
        subprocess.run([sys.executable, str(FAKE)], cwd=folder, check=True, capture_output=True)
        return atoms

    return run


@pytest.mark.parametrize("form", ["vasprun", "outcar"])
def test_vasp(vasp_run, tmp_path, form):
    atoms = vasp_run("calc/a")
    file = tmp_path / "calc/a" / {"vasprun": "vasprun.xml", "outcar": "OUTCAR"}[form]
    done = convert_data(file, tmp_path / "out")
    assert (done.source_format, done.n_frames, done.type_map) == (form, 1, ("Li", "S"))
    (block,) = read_data(tmp_path / "out").blocks
    energy, forces, stress = mock_energy(atoms)
    assert block.energy[0] == pytest.approx(energy, abs=1e-5)
    order = np.argsort(atoms.get_atomic_numbers(), kind="stable")  # Li, S: the order of the POSCAR
    assert block.force[0] == pytest.approx(forces[order], abs=1e-5)
    assert block.box[0] == pytest.approx(atoms.cell.array, abs=1e-7)
    wanted = -stress * atoms.get_volume()  # eV, deepmd's sign
    assert block.virial[0] == pytest.approx(wanted, abs=2e-3)
    assert np.abs(wanted).max() > 0.5
    assert block.system == "Li2S"


def test_a_folder_of_vasp_runs_is_one_set(vasp_run, tmp_path):
    vasp_run("calc/a")
    vasp_run("calc/bb")
    plain = tmp_path / "calc/bb/vasprun.xml"
    plain.with_name("vasprun.xml.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    data = read_data(tmp_path / "calc")
    assert data.form == "vasprun"
    assert sum(map(len, data.blocks)) == 2
    assert {name for block in data.blocks for name in block.trajectories} == {"a/vasprun.xml", "bb/vasprun.xml.gz"}


def test_unconverged_steps_are_no_labels(vasp_run, tmp_path):
    vasp_run("calc/a", "unconverged")
    with pytest.raises(InputError, match="no electronically converged step"):
        read_data(tmp_path / "calc")


def test_a_cut_vasprun_takes_no_other_file_along(vasp_run, tmp_path):
    """The OUTCAR beside it has the label; without it the file is left out by name, and refused alone."""
    vasp_run("calc/a")
    vasp_run("calc/b", "truncated")
    data = read_data(tmp_path / "calc")
    assert {name for block in data.blocks for name in block.trajectories} == {"a/vasprun.xml", "b/OUTCAR"}
    (tmp_path / "calc/b/OUTCAR").unlink()
    data = read_data(tmp_path / "calc")
    assert sum(map(len, data.blocks)) == 1
    assert any("b/vasprun.xml: 0 of 1 steps taken; 1 cut off" in note for note in data.notes)
    with pytest.raises(InputError, match=r"b/vasprun.xml: 0 of 1 steps taken; 1 cut off"):
        read_data(tmp_path / "calc/b")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"functional": "PBE"}, "GGA"),
        ({"encut_eV": 500.0}, "ENCUT"),
    ],
)
def test_mixed_settings_are_found(vasp_run, tmp_path, settings, words):
    vasp_run("calc/a")
    vasp_run("calc/bb")
    assert audit_data([tmp_path / "calc"]).data_sets[0].levels[0].settings["ENCUT"] == "600"
    vasp_run("calc/ccc", **settings)
    result = audit_data([tmp_path / "calc"])
    assert result.verdict == "unusable"
    (found,) = [one for one in result.data_sets[0].findings if one.check == "settings"]
    assert f"levels of theory cannot be mixed: {words} = " in found.message
    assert found.message.endswith("(ccc/vasprun.xml)")


def test_labels_and_the_outputs_of_the_same_settings_fit(vasp_run, tmp_path):
    """A vasprun.xml writes some values in its own way, and of the potentials it knows the titles only."""
    atoms = vasp_run("calc/a")
    made = VaspLabeler(VaspSettings(potcar_dir=str(tmp_path / "potcars"))).level([atoms])
    read = read_data(tmp_path / "calc").levels[0][1]
    assert made != read
    for levels in ([made, read, made], [read, made, read]):
        assert join_levels(levels).potentials == made.potentials
    other = made.model_copy(update={"potentials": {"Li": PotentialFile(titel="PAW_PBE Li 01Jan2000", sha256="1")}})
    with pytest.raises(FatalError, match="in two versions"):
        join_levels([read, made, other])


@pytest.mark.parametrize("name", ["xtb_LiCl", "dft_Li2S"])
def test_cp2k(tmp_path, name):
    convert_data(DATA / f"{name}.out", tmp_path / "out.extxyz")
    (block,) = read_data(tmp_path / "out.extxyz").blocks
    (wanted,) = read_evaluations((DATA / f"{name}.out").read_text())
    assert block.energy[0] == pytest.approx(wanted.energy, rel=1e-7)
    assert block.force[0] == pytest.approx(wanted.forces, abs=1e-6)
    volume = np.linalg.det(block.box[0])
    assert block.virial[0] == pytest.approx(-wanted.stress * volume, abs=1e-4)


def test_unconverged_cp2k_is_no_label(tmp_path):
    with pytest.raises(InputError, match="no electronically converged step"):
        convert_data(DATA / "xtb_unconverged.out", tmp_path / "out")


def test_cp2k_dynamics(tmp_path):
    convert_data(DATA / "md", tmp_path / "out")
    (block,) = read_data(tmp_path / "out").blocks
    wanted = read_evaluations((DATA / "md/run.log").read_text())
    assert len(block) == len(wanted) == 3
    for k, one in enumerate(wanted):
        assert block.energy[k] == pytest.approx(one.energy, rel=1e-7)
        assert block.force[k] == pytest.approx(one.forces, abs=1e-5)
        assert block.virial[k] == pytest.approx(-one.stress * 5.13**3, abs=1e-4)
    assert np.diff(block.coord, axis=0).any()


def test_missing_virials_are_said(tmp_path):
    shutil.copytree(DATA / "md", tmp_path / "md")
    log = tmp_path / "md/run.log"
    log.write_text("".join(line for line in log.open() if " STRESS|" not in line))
    done = convert_data(tmp_path / "md", tmp_path / "out")
    assert any("no virials in 3 steps" in note for note in done.notes)
    assert read_data(tmp_path / "out").blocks[0].virial is None
