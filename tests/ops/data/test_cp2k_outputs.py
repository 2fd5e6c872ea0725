"""Outputs of CP2K: convergence, cells, kinds, versions, and which log belongs to a trajectory."""

import re
import shutil

import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.cp2k_output import cell_of
from dpa_sse.ops.data.reading import read_data
from dpa_sse.ops.labelers.cp2k.output import OutputError, read_evaluations
from tests.ops.labelers.cp2k.conftest import DATA
from tests.ops.labelers.cp2k.new_format import as_new

SINGLE = (DATA / "dft_Li2S.out").read_text()


def write(tmp_path, text, name="a.out"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


@pytest.fixture
def run(tmp_path):
    shutil.copytree(DATA / "md", tmp_path / "md")
    return tmp_path / "md"


def test_2025_and_older_versions_give_the_same_numbers(tmp_path):
    new = as_new(SINGLE)
    assert "FORCES|" in new and "[bar]" in new and "ATOMIC FORCES" not in new
    (old,), (made,) = read_evaluations(SINGLE), read_evaluations(new)
    assert made.energy == old.energy
    assert made.forces == pytest.approx(old.forces)
    assert made.stress == pytest.approx(old.stress, rel=1e-9)
    (first,) = read_data(write(tmp_path, SINGLE)).blocks
    (second,) = read_data(write(tmp_path, new, "b.out")).blocks
    assert second.virial == pytest.approx(first.virial, rel=1e-9)


def test_dynamics_of_new_versions(run):
    (old,) = read_data(run).blocks
    log = run / "run.log"
    log.write_text(as_new(log.read_text(), energy="eV"))
    assert "energy [eV]" in log.read_text()
    (made,) = read_data(run).blocks  # the trajectory has hartree, whatever the unit in the output
    assert len(made) == len(old) > 1
    assert made.coord == pytest.approx(old.coord, abs=0)
    assert made.energy == pytest.approx(old.energy, rel=1e-9)
    assert made.force == pytest.approx(old.force, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize(("energy", "force", "stress"), [
    ("eV", "eV/angstrom", "kbar"), ("Ry", "Ry/bohr", "GPa"), ("kjmol", "mN", "Pa"), ("kcalmol", "hartree/bohr", "atm"),
])
def test_units_that_a_user_may_choose(tmp_path, energy, force, stress):
    (old,) = read_data(write(tmp_path, SINGLE)).blocks
    (made,) = read_data(write(tmp_path, as_new(SINGLE, energy, force, stress), "b.out")).blocks
    assert made.energy == pytest.approx(old.energy, rel=1e-8)
    assert made.force == pytest.approx(old.force, rel=1e-7, abs=1e-9)
    assert made.virial == pytest.approx(old.virial, rel=1e-5)


@pytest.mark.parametrize(("words", "other", "message"), [
    ("energy [hartree]", "energy [wavenumber_e]", "energy in wavenumber_e, a unit that is not known"),
    ("forces [hartree/bohr]", "forces [dyn]", "forces in dyn, a unit that is not known"),
])
def test_units_that_are_not_known_are_refused(tmp_path, words, other, message):
    text = as_new(SINGLE).replace(words, other)
    with pytest.raises(InputError, match=message):
        read_data(write(tmp_path, text))
    with pytest.raises(OutputError, match=message):
        read_evaluations(text)


def test_a_gap_and_a_free_energy_are_not_further_energies(tmp_path):
    """CP2K 2025 prints them in the same words, where SIRIUS or another code computes them."""
    line = re.search(r"\n ENERGY\|.*\n", as_new(SINGLE))[0]
    more = "".join(re.sub(r"energy \[hartree\].*", f"{name} [hartree]   -1.000000000000000", line)
                   for name in ("gap", "free energy"))
    text = as_new(SINGLE).replace(line, line + more)
    assert text.count("Total FORCE_EVAL") == 3
    (old,), (made,) = read_evaluations(SINGLE), read_evaluations(text)
    assert (made.energy, made.converged) == (old.energy, True)
    assert read_data(write(tmp_path, text)).blocks[0].energy == pytest.approx(old.energy)


def test_the_outer_loop_decides(tmp_path):
    failed = SINGLE.replace("outer SCF loop converged in", "outer SCF loop FAILED to converge after")
    with pytest.raises(InputError, match="no electronically converged step"):
        read_data(write(tmp_path, failed))


def test_unconverged_steps_of_dynamics_are_counted(run):
    parts = (run / "run.log").read_text().split("SCF run converged")
    (run / "run.log").write_text("SCF run NOT converged".join([parts[0], "SCF run converged".join(parts[1:])]))
    data = read_data(run)
    assert sum(map(len, data.blocks)) == 2
    assert "2 of 3 steps taken; 1 not converged" in data.notes[0]


def test_a_left_handed_cell_keeps_the_sign_of_the_virial(tmp_path):
    lines = SINGLE.splitlines(keepends=True)
    a, b = (next(k for k, line in enumerate(lines) if line.startswith(f" CELL| Vector {name}")) for name in "ab")
    first, second = lines[a], lines[b]
    lines[a], lines[b] = second.replace("Vector b", "Vector a").replace("|b|", "|a|"), \
        first.replace("Vector a", "Vector b").replace("|a|", "|b|")
    left = "".join(lines)
    assert np.linalg.det(cell_of(left)) == pytest.approx(-np.linalg.det(cell_of(SINGLE)), rel=1e-6)
    (right,) = read_data(write(tmp_path, SINGLE)).blocks
    (made,) = read_data(write(tmp_path, left, "b.out")).blocks
    assert made.virial == pytest.approx(right.virial, rel=1e-5)
    assert np.linalg.det(made.box[0]) > 0


def test_cells_have_the_digits_of_lengths_and_angles(tmp_path):
    """Vectors are printed with three decimals: 2.845 for 2.84500029."""
    cell = cell_of(SINGLE)
    assert np.linalg.norm(cell, axis=1) == pytest.approx([4.023438] * 3, abs=1e-6)
    wrong = re.sub(r"(CELL\| Vector a.*\]:?) +\S+", r"\1 9.000", SINGLE)
    with pytest.raises(InputError, match="no readable cell"):
        read_data(write(tmp_path, wrong))


def test_cells_that_change_need_their_file(run):
    log = run / "run.log"
    log.write_text(re.sub(r"(\| Ensemble [Tt]ype +)NVE", r"\1NPT_F", log.read_text()))
    data = read_data(run)
    assert sum(map(len, data.blocks)) == 1
    assert "2 without a cell" in data.notes[0]
    rows = "".join(f" {k} {k}.0 {5.13 + k} 0 0 0 {5.13 + k} 0 0 0 {5.13 + k} 135.0\n" for k in range(3))
    (run / "run-1.cell").write_text(f"#   Step   Time [fs]\n{rows}")
    (block,) = read_data(run).blocks
    assert block.box[:, 0, 0] == pytest.approx([5.13, 6.13, 7.13])


def test_the_log_of_another_run_is_not_taken(run):
    log = (run / "run.log").read_text()
    other = re.sub(r"(energy \[a\.u\.\]: +-)18\.9", r"\g<1>17.9", log).replace("5.130", "6.130")
    (run / "zz.log").write_text(other)
    (block,) = read_data(run).blocks
    assert block.box[0, 0, 0] == pytest.approx(5.13)
    (run / "zz.log").write_text(log.replace("5.130", "6.130"))
    with pytest.raises(InputError, match=r"run.log and zz.log both have the energies"):
        read_data(run)
    (run / "run.log").unlink()
    (run / "zz.log").unlink()
    with pytest.raises(InputError, match="no output of CP2K in the folder"):
        read_data(run)


def test_kinds_are_the_elements_of_their_section(run):
    path = run / "run-pos-1.xyz"
    path.write_text(re.sub(r"(?m)^ Li ", " Li_w ", path.read_text()))
    (block,) = read_data(run).blocks
    assert block.system == "LiCl"


def test_an_input_geometry_beside_the_trajectory_is_left_out(run):
    (run / "coord.xyz").write_text("2\nstart\nLi 0 0 0\nCl 1 1 1\n")
    data = read_data(run)
    assert sum(map(len, data.blocks)) == 3
    assert any("coord.xyz" in note and note.startswith("left out") for note in data.notes)


def test_a_cut_trajectory_gives_whole_steps(run):
    path = run / "run-pos-1.xyz"
    path.write_text(path.read_text()[:-30])
    data = read_data(run)
    assert sum(map(len, data.blocks)) == 2
    assert "2 of 3 steps taken; 1 cut off" in data.notes[0]


@pytest.mark.parametrize(("kind", "words"), [
    ("ENERGY", "computes no forces"), ("GEO_OPT", "only single points"), ("CELL_OPT", "only single points"),
    ("MD", "without its"),
])
def test_other_runs_are_refused_in_a_sentence(tmp_path, kind, words):
    text = re.sub(r"(GLOBAL\| Run type +)\S+", rf"\g<1>{kind}", SINGLE)
    with pytest.raises(InputError, match=words) as caught:
        read_data(write(tmp_path, text))
    assert len(str(caught.value).splitlines()) == 1


def test_levels_of_cp2k(tmp_path):
    write(tmp_path, SINGLE)
    level = read_data(tmp_path).level
    assert level.settings["functional"] == "PBEsol"
    assert level.settings["cutoff_Ry"] == "600"
    assert level.potentials["S"] == "DZVP-MOLOPT-SR-GTH GTH-PBE-q6"
    write(tmp_path, re.sub(r"(\| Density cutoff \[a.u.\]: +)300", r"\g<1>150", SINGLE), "b.out")
    with pytest.raises(InputError, match="cutoff_Ry = 600 and cutoff_Ry = 300"):
        read_data(tmp_path)
