"""Conversion keeps the last bit, splits keep trajectories together, and bad data is refused in one clear line."""

import json
import shutil

import dpdata
import h5py
import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.convert import frames_to_blocks
from dpa_sse.ops.data.dataset import read_dataset
from dpa_sse.ops.data.exchange import convert_data, split_data
from dpa_sse.ops.data.frames import SystemData
from dpa_sse.ops.data.reading import read_data
from dpa_sse.ops.data.settings import SplitSettings
from dpa_sse.ops.data.writing import check_target, write_data
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.ops.structures.extxyz import read_frames, write_frames
from tests.ops.data.mock_frames import labelled

TYPE_MAP = ["Cl", "Li", "S", "P"]  # not the order in which anything appears
FIELDS = ("types", "coord", "box", "energy", "force", "virial", "temperatures_K")


@pytest.fixture(scope="module")
def blocks():
    frames = []
    for system in ("Li2S", "Li6PS5Cl"):
        for k in range(4):
            for atoms in labelled(system, 2, f"{system}.p{k:03d}"):
                atoms.info["temperature_K"] = 300.0 * (k + 1)
                frames.append(atoms)
    return frames_to_blocks(frames, TYPE_MAP)


@pytest.fixture
def dataset(blocks, tmp_path):
    write_data(tmp_path / "data", "npy", TYPE_MAP, blocks)
    return tmp_path / "data"


def random_block(rng, system, count, n_atoms):
    """Any double that a label can be: small, large, zero, and a virial that is not quite symmetric."""

    def numbers(*shape):
        return rng.normal(size=shape) * 10.0 ** rng.integers(-18, 4, shape) * (rng.random(shape) > 0.1)

    box = np.eye(3) * rng.uniform(5, 9, (count, 1, 1)) + rng.normal(size=(count, 3, 3)) * 0.3
    return SystemData(
        system, "train", rng.integers(0, len(TYPE_MAP), n_atoms), rng.uniform(0, 9, (count, n_atoms, 3)), box,
        rng.normal(size=count) * 300, numbers(count, n_atoms, 3), numbers(count, 3, 3),
        [f"{system}.t{k // 2}" for k in range(count)], rng.choice([300.0, 1 / 3, np.nan], count),
    )


def assert_same(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert (a.system, a.split, a.trajectories) == (b.system, b.split, b.trajectories)
        for name in FIELDS:
            one, other = (getattr(block, name) for block in (a, b))
            if name == "temperatures_K":
                one, other = (np.full(len(a), np.nan) if value is None else value for value in (one, other))
            assert np.array_equal(one, other, equal_nan=name == "temperatures_K"), name


@pytest.mark.parametrize("seed", range(12))
def test_npy_to_extxyz_and_back_keeps_every_bit(tmp_path, seed):
    rng = np.random.default_rng(seed)
    original = [random_block(rng, f"s{k}", int(rng.integers(1, 6)), int(rng.integers(1, 30))) for k in range(3)]
    write_data(tmp_path / "a", "npy", TYPE_MAP, original)
    convert_data(tmp_path / "a", tmp_path / "b.extxyz")
    convert_data(tmp_path / "b.extxyz", tmp_path / "c")
    assert_same(original, read_data(tmp_path / "c").blocks)
    files = [file for file in sorted((tmp_path / "a").rglob("*")) if file.is_file()]
    assert len(files) >= 1 + 3 * 7  # dataset.json; five arrays, types and type map of each system
    for file in files:
        assert file.read_bytes() == (tmp_path / "c" / file.relative_to(tmp_path / "a")).read_bytes(), file


@pytest.mark.parametrize("way", [("b.h5", "c.extxyz", "d"), ("b", "c.hdf5", "d.extxyz")])
def test_all_formats_in_a_row(dataset, blocks, tmp_path, way):
    blocks = read_data(dataset).blocks
    here = dataset
    for number, name in enumerate(way):
        form = "mixed" if number == 0 and "." not in name else None
        done = convert_data(here, tmp_path / name, to_format=form)
        assert done.n_frames == 16
        assert list(done.type_map) == TYPE_MAP
        here = tmp_path / name
    assert_same(blocks, read_data(here).blocks)


def test_splits_travel_along(dataset, tmp_path):
    split_data(dataset, tmp_path / "parts", SplitSettings(test=0.25, validation=0.25), 1)
    for name, form in [("x.extxyz", "extxyz"), ("x.h5", "hdf5"), ("x", "mixed")]:
        convert_data(tmp_path / "parts", tmp_path / name, to_format=form)
        again = read_data(tmp_path / name).blocks
        assert {block.split for block in again} == {"train", "validation", "test"}
        assert sorted(
            (block.split, name) for block in again for name in set(block.trajectories)
        ) == sorted(
            (block.split, name) for block in read_data(tmp_path / "parts").blocks for name in set(block.trajectories)
        )


def test_deepmd_and_dpdata_read_what_was_written(dataset, blocks, tmp_path):
    convert_data(dataset, tmp_path / "x.h5")
    convert_data(dataset, tmp_path / "mixed", to_format="deepmd/npy/mixed")
    system = dpdata.LabeledSystem(f"{tmp_path / 'x.h5'}#train/Li2S", fmt="deepmd/hdf5")
    assert np.array_equal(system["forces"], blocks[0].force)
    assert system["atom_names"] == TYPE_MAP
    mixed = dpdata.MultiSystems()
    mixed.load_systems_from_file(str(tmp_path / "mixed"), fmt="deepmd/npy/mixed")
    assert sorted(len(one) for one in mixed) == [8, 8]

    from deepmd.utils.data import DeepmdData

    found = DeepmdData(str(tmp_path / "mixed/train/12-atoms"), type_map=TYPE_MAP)
    assert found.mixed_type
    assert found.get_natoms() == 12


def test_type_map_is_obeyed_and_elements_keep_their_forces(dataset, blocks, tmp_path):
    wanted = ["Li", "P", "S", "Cl"]
    convert_data(dataset, tmp_path / "b", type_map=wanted)
    own, found = read_dataset(tmp_path / "b")
    assert own == wanted
    for a, b in zip(blocks, found, strict=True):
        assert [TYPE_MAP[k] for k in a.types] == [wanted[k] for k in b.types]
        assert np.array_equal(a.force, b.force)
    with pytest.raises(InputError, match="element P is not in type_map"):
        convert_data(dataset, tmp_path / "c", type_map=["Li", "S", "Cl"])
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("key", ["virial", "REF_virial"])
def test_foreign_extxyz(tmp_path, key):
    """Labels under the names that other programs use; the virial has deepmd's sign."""
    frame = labelled("Li2S", 1, "a")[0]
    results, volume = frame.calc.results, frame.get_volume()
    plain = frame.copy()
    plain.info = {"REF_energy": results["energy"], key: -frame.get_stress(voigt=False) * volume}
    plain.arrays["REF_forces"] = results["forces"]
    import ase.io

    ase.io.write(tmp_path / "mace.xyz", plain, format="extxyz")
    data = read_data(tmp_path / "mace.xyz")
    (block,) = data.blocks
    assert block.energy[0] == pytest.approx(results["energy"])
    assert block.force[0] == pytest.approx(results["forces"], abs=1e-7)
    assert block.virial[0] == pytest.approx(-frame.get_stress(voigt=False) * volume)
    assert block.trajectories == ["mace"]


def test_split_is_by_trajectory_and_repeatable(dataset, tmp_path):
    done = split_data(dataset, tmp_path / "a", SplitSettings(test=0.25), 3)
    split_data(dataset, tmp_path / "b", SplitSettings(test=0.25), 3)
    assert done.trajectories == {"train": 6, "validation": 0, "test": 2}
    assert done.n_frames == {"train": 12, "validation": 0, "test": 4}
    assert (tmp_path / "a/dataset.json").read_bytes() == (tmp_path / "b/dataset.json").read_bytes()
    where = {}
    for block in read_data(tmp_path / "a").blocks:
        for name in block.trajectories:
            assert where.setdefault((block.system, name), block.split) == block.split


def test_one_trajectory_is_never_divided(tmp_path):
    write_frames(tmp_path / "a.extxyz", labelled("Li2S", 9, "only"))
    with pytest.raises(InputError, match="no system has two trajectories"):
        split_data(tmp_path / "a.extxyz", tmp_path / "b", SplitSettings(test=0.3), 1)
    assert not (tmp_path / "b").exists()


def test_nothing_is_overwritten_unasked(dataset, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious").write_text("x")
    with pytest.raises(InputError, match="already exists"):
        convert_data(dataset, tmp_path / "out")
    with pytest.raises(InputError, match="precious is not a file of a data set"):
        convert_data(dataset, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out/precious").read_text() == "x"
    (tmp_path / "out/precious").rename(tmp_path / "out/type.raw")
    convert_data(dataset, tmp_path / "out", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dataset.json", "train"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out"]
    for out in (dataset, dataset / "inside", dataset.parent):
        with pytest.raises(InputError, match="must not contain each other"):
            convert_data(dataset, out, overwrite=True)


def test_failed_writing_leaves_the_old_and_no_rest(dataset, tmp_path, monkeypatch):
    convert_data(dataset, tmp_path / "x.h5")
    before = (tmp_path / "x.h5").read_bytes()
    monkeypatch.setattr("dpa_sse.ops.data.writing.write_hdf5", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        convert_data(dataset, tmp_path / "x.h5", overwrite=True)
    assert (tmp_path / "x.h5").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "x.h5"]


def cut(path, share):
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])


def in_text(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def save(path, values):
    np.save(path, values)


NPY = "data/train/Li2S"
BAD = {
    "nothing there": (lambda t: t / "none", "no such file or folder"),
    "empty folder": (lambda t: (t / "e").mkdir() or t / "e", "the folder is empty"),
    "folder without data": (lambda t: (t / "e").mkdir() or ((t / "e/a.txt").write_text("x") and t / "e"),
                            "no labelled data in a known format"),
    "empty file": (lambda t: (t / "a.extxyz").write_text("") or t / "a.extxyz", "the file is empty"),
    "unknown format": (lambda t: (t / "a.dat").write_text("1 2 3\n") and t / "a.dat", "unknown format; specify it"),
    "no set": (lambda t: shutil.rmtree(t / NPY / "set.000") or t / NPY, "no set"),
    "no type.raw": (lambda t: (t / NPY / "type.raw").unlink() or t / NPY, "no labelled data in a known format"),
    "empty type.raw": (lambda t: (t / NPY / "type.raw").write_text("") or t / NPY, "type.raw is empty"),
    "type.raw with names": (lambda t: (t / NPY / "type.raw").write_text("Li S\n") and t / NPY, "other than integers"),
    "no type_map.raw": (lambda t: (t / NPY / "type_map.raw").unlink() or t / NPY, "no type_map.raw"),
    "short type_map.raw": (lambda t: (t / NPY / "type_map.raw").write_text("Li\n") and t / NPY, "names 1 elements"),
    "type.raw of another system": (lambda t: (t / NPY / "type.raw").write_text("1 1 2\n") and t / NPY,
                                   r"coord.npy: .*shape \(8, 36\), expected \(n, 9\)"),
    "no energy.npy": (lambda t: (t / NPY / "set.000/energy.npy").unlink() or t / NPY, "energy.npy is missing"),
    "cut npy": (lambda t: cut(t / NPY / "set.000/force.npy", 0.5) or t / NPY, "force.npy: unreadable"),
    "text as npy": (lambda t: (t / NPY / "set.000/box.npy").write_text("1 2 3") and t / NPY, "box.npy: unreadable"),
    "pickle in npy": (lambda t: save(t / NPY / "set.000/box.npy", np.array([{}], object)) or t / NPY,
                      "box.npy: unreadable"),
    "words in npy": (lambda t: save(t / NPY / "set.000/energy.npy", np.array(["a"] * 8)) or t / NPY, "not numbers"),
    "too few frames": (lambda t: save(t / NPY / "set.000/energy.npy", np.zeros(3)) or t / NPY, "energy.npy has 3"),
    "NaN": (lambda t: save(t / NPY / "set.000/energy.npy", np.full(8, np.nan)) or t / NPY, "energy.npy: contains NaN"),
    "flat cell": (lambda t: save(t / NPY / "set.000/box.npy", np.zeros((8, 9))) or t / NPY, "cell without volume"),
    "nopbc": (lambda t: (t / NPY / "nopbc").write_text("") or t / NPY, "not periodic"),
    "own data set, set lost": (lambda t: shutil.rmtree(t / NPY) or t / "data", "do not match"),
    "own data set, NaN": (lambda t: save(t / NPY / "set.000/force.npy", np.full((8, 36), np.inf)) or t / "data",
                          "force contains NaN"),
    "cut hdf5": (lambda t: cut(t / "x.h5", 0.5) or t / "x.h5", "not readable as HDF5"),
    "text as hdf5": (lambda t: (t / "y.h5").write_text("hello") and t / "y.h5", "not readable as HDF5"),
    "hdf5 of something else": (lambda t: h5py.File(t / "y.h5", "w").close() or t / "y.h5", "no deepmd system"),
    "cut extxyz": (lambda t: cut(t / "x.extxyz", 0.01) or t / "x.extxyz", "not readable as extxyz"),
    "extxyz without energy": (lambda t: in_text(t / "x.extxyz", " energy=", " energie=") or t / "x.extxyz",
                              "frame 0: no energy"),
    "extxyz without forces": (lambda t: in_text(t / "x.extxyz", "forces:R:3", "kraft:R:3") or t / "x.extxyz",
                              "frame 0: no forces"),
    "extxyz not periodic": (lambda t: in_text(t / "x.extxyz", 'pbc="T T T"', 'pbc="T T F"') or t / "x.extxyz",
                            "not periodic"),
    "extxyz, virial like stress": (lambda t: in_text(t / "x.extxyz", "virial=", "virial_=") or
                                   in_text(t / "x.extxyz", "stress=", "virial=") or
                                   in_text(t / "x.extxyz", "virial_=", "stress=") or t / "x.extxyz",
                                   "stress and virial contradict"),
    "cut vasprun": (lambda t: (t / "vasprun.xml").write_text("<modeling><generator>") and t / "vasprun.xml",
                    "not readable as vasprun, or truncated"),
    "cut OUTCAR": (lambda t: (t / "OUTCAR").write_text(" vasp.6.4.2\n POTCAR: PAW\n") and t / "OUTCAR",
                   "not readable as outcar, or truncated|no electronically converged step"),
    "cut CP2K output": (lambda t: (t / "a.out").write_text(" CP2K| version string: 2023.1\n") and t / "a.out",
                        "not readable as cp2k, or truncated|no electronically converged step"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(dataset, tmp_path, case):
    convert_data(dataset, tmp_path / "x.h5")
    convert_data(dataset, tmp_path / "x.extxyz")
    make, message = BAD[case]
    source = make(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        convert_data(source, tmp_path / "out")
    assert len(str(caught.value).splitlines()) == 1
    assert str(tmp_path) in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"from_format": "deepmd/nyp"}, "did you mean 'deepmd/npy'"),
        ({"to_format": "vasprun"}, "can be read, but not written"),
        ({"type_map": ["Li", "Xx"]}, "not an element: Xx"),
        ({"type_map": ["Li", "S", "Li"]}, "duplicate: Li"),
        ({"type_map": []}, "it is empty"),
        ({"from_format": "hdf5"}, "holds no deepmd/hdf5 file"),
        ({"from_format": "extxyz"}, "holds no extended XYZ"),
        ({"from_format": "vasprun"}, "holds no VASP's vasprun.xml"),
    ],
)
def test_bad_arguments(dataset, tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        convert_data(dataset, tmp_path / "out", **arguments)


def test_all_bad_systems_are_named_at_once(dataset, tmp_path):
    (dataset / "dataset.json").unlink()
    for system in ("Li2S", "Li6PS5Cl"):
        (dataset / "train" / system / "set.000/energy.npy").unlink()
    with pytest.raises(InputError) as caught:
        read_data(dataset)
    assert len(str(caught.value).splitlines()) == 2


def test_results_of_a_step_are_data(dataset, tmp_path):
    (tmp_path / "step").mkdir()
    dataset.rename(tmp_path / "step/dataset")
    assert sum(map(len, read_data(tmp_path / "step").blocks)) == 16
    task = tmp_path / "task"
    task.mkdir()
    write_frames(task / "frames.extxyz", labelled("Li2S", 2, "a"))
    (task / "status.json").write_text(json.dumps({"status": "ok"}))
    assert sum(map(len, read_data(task).blocks)) == 2
    assert read_frames(task / "frames.extxyz")[0].info["trajectory"] == "a"


@pytest.mark.parametrize(
    "name", ["thesis.tex", "sub/photo.png", "train/notes.txt", ".git/HEAD", ".hidden", "weights.npy", "energy.raw"]
)
def test_overwriting_removes_nothing_but_a_data_set(tmp_path, name):
    mine = tmp_path / "out" / name
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("precious")
    with pytest.raises(InputError, match=f"not overwritten, because {name} is not a file of a data set"):
        check_target(tmp_path / "out", overwrite=True)
    mine.unlink()
    (tmp_path / "out" / "type.raw").write_text("0")
    check_target(tmp_path / "out", overwrite=True)


def test_overwriting_does_not_remove_links_of_the_user(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/linked").symlink_to(tmp_path)
    with pytest.raises(InputError, match="linked is not a file of a data set"):
        check_target(tmp_path / "out", overwrite=True)


def test_what_was_written_can_be_overwritten(blocks, tmp_path):
    for form in ("npy", "mixed"):
        write_data(tmp_path / form, form, TYPE_MAP, blocks, level=LevelOfTheory(code="vasp"))
        before = (tmp_path / form).stat().st_ino
        write_data(tmp_path / form, form, TYPE_MAP, blocks, overwrite=True, level=LevelOfTheory(code="vasp"))
        assert (tmp_path / form).stat().st_ino != before
    assert (tmp_path / "mixed/level_of_theory.json").is_file()
