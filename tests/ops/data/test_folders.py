"""Folders of other people: files of any name, copies of a run, empty sets, several levels, broken frames between."""

import gzip
import shutil

import h5py
import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.exchange import convert_data
from dpa_sse.ops.data.merge import merge_datasets
from dpa_sse.ops.data.reading import read_data
from tests.ops.data.vasp_text import Run, extxyz, outcar, vasprun
from tests.ops.labelers.cp2k.conftest import DATA


def frames(data):
    return sum(map(len, data.blocks))


@pytest.mark.parametrize("name", ["OUTCAR", "OUTCAR.2", "relax.OUTCAR", "OUTCAR.gz", "step1.txt", "run.outcar"])
def test_an_outcar_of_any_name_is_found(tmp_path, name):
    text = outcar(Run()).encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert frames(read_data(tmp_path)) == 3


def test_copies_of_a_run_are_named(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vasprun.xml").write_text(vasprun(Run()))
    data = read_data(tmp_path)
    assert frames(data) == 6
    assert f"{tmp_path}/b/vasprun.xml: 3 frames are also in {tmp_path}/a/vasprun.xml" in data.notes
    (tmp_path / "b/vasprun.xml").write_text(vasprun(Run(seed=2)))
    assert not any("also in" in note for note in read_data(tmp_path).notes)


def test_steps_that_vasp_6_calls_unconverged(tmp_path):
    """The limit of the electronic steps is not always printed as it was used."""
    first, *rest = outcar(Run()).split("FREE ENERGIE")
    sentence = " ------------------------ aborting loop EDIFF was not reached (unconverged)  ------------------\n"
    (tmp_path / "OUTCAR").write_text("FREE ENERGIE".join([first + sentence, *rest]))
    assert frames(read_data(tmp_path)) == 2


@pytest.mark.parametrize("form", ["npy", "hdf5"])
def test_a_set_without_frames_is_no_obstacle(tmp_path, form):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/OUTCAR").write_text(outcar(Run()))
    target = tmp_path / "in" / ("old.h5" if form == "hdf5" else "old")
    convert_data(tmp_path / "in/OUTCAR", target, to_format=form)
    if form == "hdf5":
        with h5py.File(target, "a") as stream:
            places = []
            stream.visit(places.append)
            for place in [one for one in places if one.endswith(".npy")]:
                values = stream[place][()]
                del stream[place]
                stream[place] = values[:0]
    else:
        (target / "dataset.json").unlink()
        for file in target.rglob("*.npy"):
            np.save(file, np.load(file)[:0])
    done = convert_data(tmp_path / "in", tmp_path / "out")
    assert done.n_frames == 3
    assert {one.form: one.found for one in done.sources} == {"outcar": 3, form: 0}


def test_frames_of_two_levels_in_one_extxyz_file(tmp_path):
    texts = []
    for name, run in (("a", Run()), ("b", Run(seed=2, encut=400.0))):
        (tmp_path / name).write_text(outcar(run))
        convert_data(tmp_path / name, tmp_path / f"{name}.extxyz", "outcar")
        texts.append((tmp_path / f"{name}.extxyz").read_text())
    both = tmp_path / "both.extxyz"
    both.write_text("".join(texts))
    with pytest.raises(InputError, match=r"ENCUT = 500 and ENCUT = 400"):
        read_data(both)
    data = read_data(both, mix_levels=True)
    assert (frames(data), data.level.code) == (6, "mixed")
    assert sum(one.found for one in data.sources) == sum(one.taken for one in data.sources) == 6


def test_data_sets_of_two_levels_are_merged_on_request_only(tmp_path):
    from dpa_sse.ops.core.errors import FatalError

    for name, run in (("a", Run()), ("b", Run(seed=2, encut=400.0))):
        (tmp_path / name).write_text(outcar(run))
        convert_data(tmp_path / name, tmp_path / f"{name}-set", "outcar")
    sets = [tmp_path / "a-set", tmp_path / "b-set"]
    with pytest.raises(FatalError, match="ENCUT"):
        merge_datasets(sets, tmp_path / "no")
    made = merge_datasets(sets, tmp_path / "yes", mix_levels=True)
    assert made.level.code == "mixed"
    assert merge_datasets([tmp_path / "yes", sets[0]], tmp_path / "more").level.code == "mixed"


def test_a_broken_frame_in_the_middle_of_a_cp2k_trajectory_costs_itself(tmp_path):
    run = tmp_path / "md"
    shutil.copytree(DATA / "md", run)
    whole = read_data(run)
    path = run / "run-pos-1.xyz"
    lines = path.read_text().splitlines(keepends=True)
    size = int(lines[0]) + 2
    for damage in ([*lines[:size + 2], *lines[size + 3:]], [*lines[:size + 2], "Li ** 0 0\n", *lines[size + 3:]]):
        path.write_text("".join(damage))
        data = read_data(run)
        assert "2 of 3 steps taken; 1 cut off or broken" in data.notes[0]
        assert data.blocks[0].energy == pytest.approx(whole.blocks[0].energy[[0, 2]])


def test_extxyz_of_ase_has_no_level_and_says_so_beside_others(tmp_path):
    (tmp_path / "a.extxyz").write_text(extxyz(Run()))
    (tmp_path / "OUTCAR").write_text(outcar(Run(seed=2)))
    assert "1 of 2 sources do not state their level of theory" in read_data(tmp_path).notes


BROKEN = {
    "nan": lambda lines: [*lines[:11], lines[11].replace(lines[11].split()[4], "nan"), *lines[12:]],
    "short": lambda lines: [*lines[:12], " ".join(lines[12].split()[:3]) + "\n", *lines[13:]],
    "lost": lambda lines: [*lines[:12], *lines[13:]],
    "word": lambda lines: [*lines[:12], lines[12].replace(lines[12].split()[2], "****"), *lines[13:]],
}


@pytest.mark.parametrize("damage", BROKEN)
def test_a_broken_frame_of_an_extxyz_file_costs_itself(tmp_path, damage):
    run = Run(steps=4)
    lines = extxyz(run).splitlines(keepends=True)
    assert lines[10].split() != [] and "Lattice" in lines[11 - 5]  # frames of three atoms
    (tmp_path / "a.extxyz").write_text("".join(BROKEN[damage](lines)))
    (tmp_path / "OUTCAR").write_text(outcar(Run(seed=2)))
    data = read_data(tmp_path)
    (count,) = [one for one in data.sources if one.form == "extxyz"]
    assert (count.found, count.taken, sum(count.left_out.values())) == (4, 3, 1)
    assert frames(data) == 6


def test_a_set_with_bad_numbers_takes_no_other_along(tmp_path):
    (tmp_path / "calc").mkdir()
    (tmp_path / "calc/OUTCAR").write_text(outcar(Run()))
    convert_data(tmp_path / "calc", tmp_path / "all/own")
    for name in ("force", "energy"):
        file = next((tmp_path / "all/own").rglob(f"{name}.npy"))
        np.save(file, np.load(file) * np.inf)
    (tmp_path / "all/OUTCAR").write_text(outcar(Run(seed=2)))
    data = read_data(tmp_path / "all")
    assert frames(data) == 3
    assert any("contains NaN" in note and note.startswith("left out") for note in data.notes)


@pytest.mark.parametrize(("key", "known"), [
    ("units=kcal/mol", False), ("length_unit=bohr", False), ("units=metal", True), ("forces-units=eV/Angstrom", True),
])
def test_units_that_are_declared_are_understood_or_refused(tmp_path, key, known):
    text = extxyz(Run()).replace("Lattice", f"{key} Lattice")
    (tmp_path / "a.extxyz").write_text(text)
    if known:
        assert frames(read_data(tmp_path / "a.extxyz")) == 3
    else:
        with pytest.raises(InputError, match=key.split("=")[0]):
            read_data(tmp_path / "a.extxyz")


@pytest.mark.parametrize("share", [0.3, 0.55, 0.8])
def test_a_cut_extxyz_file_gives_whole_frames_and_says_so(tmp_path, share):
    run = Run(steps=4)
    text = extxyz(run)
    (tmp_path / "a.extxyz").write_text(text[: int(share * len(text))])
    data = read_data(tmp_path / "a.extxyz")
    (count,) = data.sources
    assert count.taken == int(share * 4)
    assert count.left_out == {"cut off": 1}
    assert np.concatenate([block.force for block in data.blocks]) == pytest.approx(run.forces[: count.taken], abs=1e-6)
