"""extxyz of other programs: one family of keys, declared units, the free energy, and nothing left out unsaid."""

import gzip

import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.exchange import convert_data, split_data
from dpa_sse.ops.data.reading import read_data
from dpa_sse.ops.data.settings import SplitSettings

CELL = 'Lattice="5 0 0 0 5 0 0 0 5" pbc="T T T"'
VIRIAL = "0.27 0 0 0 0.54 0 0 0 0.81"


def frame(info, forces="forces:R:3", rows=("Li 0 0 0 0.1 0 0", "S 2.5 2.5 2.5 -0.1 0 0"), cell=CELL):
    return f"2\n{cell} Properties=species:S:1:pos:R:3:{forces} {info}\n" + "".join(f"{row}\n" for row in rows)


def read(tmp_path, text):
    (tmp_path / "a.xyz").write_text(text)
    return read_data(tmp_path / "a.xyz")


@pytest.mark.parametrize(("info", "forces", "energy"), [
    ("energy=-1.0 REF_energy=-10.0", "REF_forces:R:3", -10.0),
    ("energy=-9.9 free_energy=-10.0", "forces:R:3", -10.0),
    ("energy=-10.0", "force:R:3", -10.0),
    ("dft_energy=-10.0", "dft_force:R:3", -10.0),
    ("DFT_energy=-10.0 mace_energy=-9.0", "DFT_forces:R:3", -10.0),
    ("energy=-0.5 energy-unit=hartree", "forces:R:3", -13.605693),
    ("energy=-230.6 energy_unit=kcal/mol", "forces:R:3", -10.0),
])
def test_energy_and_forces_are_of_one_family(tmp_path, info, forces, energy):
    data = read(tmp_path, frame(info, forces))
    assert data.blocks[0].energy[0] == pytest.approx(energy, rel=1e-4)
    assert data.blocks[0].force[0, 0, 0] == pytest.approx(0.1)


@pytest.mark.parametrize(("key", "value", "trace"), [
    ("virial", VIRIAL, 1.62), ("virials", VIRIAL, 1.62), ("stress", "-0.01 0 0 0 -0.01 0 0 0 -0.01", 3.75),
    ("stress-unit=kbar stress", "10 0 0 0 10 0 0 0 10", -2.340566), ("stress_unit=GPa stress", "1 0 0 0 1 0 0 0 1",
                                                                    -2.340566),
])
@pytest.mark.parametrize("family", ["", "REF_"])
def test_virials(tmp_path, key, value, trace, family):
    name = f"{key.rpartition(' ')[0]} {family}{key.rpartition(' ')[2]}"
    data = read(tmp_path, frame(f'{family}energy=-10 {name}="{value}"', f"{family}forces:R:3"))
    assert np.trace(data.blocks[0].virial[0]) == pytest.approx(trace, rel=1e-5)


def test_the_stress_of_another_family_is_not_taken(tmp_path):
    data = read(tmp_path, frame(f'REF_energy=-10 energy=-1 stress="{VIRIAL}" REF_virial="{VIRIAL}"', "REF_forces:R:3"))
    assert np.trace(data.blocks[0].virial[0]) == pytest.approx(1.62)
    assert any("not read: energy, stress" in note for note in data.notes)


@pytest.mark.parametrize(("text", "words"), [
    (frame("energy=-1 REF_energy=-10", "forces:R:3:REF_forces:R:3",
           ("Li 0 0 0 0.1 0 0 0.2 0 0", "S 2 2 2 -0.1 0 0 -0.2 0 0")), "labels of two methods"),
    (frame("energy=-1") + frame("REF_energy=-10", "REF_forces:R:3"), "frames with labels of two methods"),
    (frame("energy=-1 energy-unit=furlong"), "energy-unit=furlong is not known"),
    (frame('energy=-1 virials="1 2 3"'), "holds 3 numbers, not 9"),
    (frame(f'energy=-1 stress="{VIRIAL}" virial="{VIRIAL}"'), "contradict each other"),
    (frame("energy=-1", rows=("Type_0 0 0 0 0 0 0", "S 2 2 2 0 0 0")), "not readable as extxyz"),
])
def test_what_cannot_be_told_is_refused(tmp_path, text, words):
    with pytest.raises(InputError, match=words) as caught:
        read(tmp_path, text)
    assert len(str(caught.value).splitlines()) == 1


def test_frames_without_labels_are_counted(tmp_path):
    text = frame("energy=-1") + frame("energie=-1") + frame("energy=-2", cell=CELL.replace("T T T", "T T F"))
    data = read(tmp_path, text)
    (source,) = data.sources
    assert (source.found, source.taken) == (3, 1)
    assert source.left_out == {"without labels": 1, "not periodic": 1}
    assert "1 of 3 steps taken" in data.notes[0]


def test_an_unterminated_last_frame_is_left_out(tmp_path):
    data = read(tmp_path, (frame("energy=-1") + frame("energy=-2"))[:-1])
    assert data.blocks[0].energy.tolist() == [-1.0]
    assert any("not terminated" in note for note in data.notes)


def test_compressed_files(tmp_path):
    (tmp_path / "a.xyz.gz").write_bytes(gzip.compress(frame("energy=-1").encode()))
    assert read_data(tmp_path / "a.xyz.gz").blocks[0].energy.tolist() == [-1.0]
    assert read_data(tmp_path).blocks[0].energy.tolist() == [-1.0]


def test_conflicting_labels_are_reported_and_kept(tmp_path):
    other = ("Li 0 0 0 0.2 0 0", "S 2.5 2.5 2.5 -0.2 0 0")
    moved = ("Li 0.3 0 0 0.2 0 0", "S 2.5 2.5 2.5 -0.2 0 0")
    (tmp_path / "a.xyz").write_text(
        frame("energy=-10 trajectory=a") + frame("energy=-11 trajectory=b", rows=other)
        + frame("energy=-10.1 trajectory=b", rows=moved) + frame("energy=-10 trajectory=a")
    )
    done = split_data(tmp_path / "a.xyz", tmp_path / "out", SplitSettings(test=0.5), 1)
    assert sum(done.n_frames.values()) == 3
    assert done.duplicates_dropped == 1
    assert any("two different labels of one structure" in note and "500.0 meV/atom" in note for note in done.notes)


def test_spins_are_inputs_and_survive(tmp_path):
    """Two frames that differ in their spins only are two frames; every array of a set is written again."""
    (tmp_path / "a.xyz").write_text(frame("energy=-10 trajectory=a") + frame("energy=-10 trajectory=b"))
    convert_data(tmp_path / "a.xyz", tmp_path / "npy")
    (folder,) = [path.parent for path in (tmp_path / "npy").rglob("coord.npy")]
    extra = {"spin": np.arange(12.0).reshape(2, 6), "fparam": np.array([[300.0], [600.0]]),
             "force_mag": np.ones((2, 6))}
    for name, values in extra.items():
        np.save(folder / f"{name}.npy", values)
    split_data(tmp_path / "npy", tmp_path / "parts", SplitSettings(test=0.5), 1)
    convert_data(tmp_path / "parts", tmp_path / "x.h5")
    blocks = read_data(tmp_path / "x.h5").blocks
    assert sorted(block.split for block in blocks) == ["test", "train"]
    for block in blocks:
        row = 0 if block.trajectories == ["a"] else 1
        for name, values in extra.items():
            assert block.extra[name][0].tolist() == values[row].tolist()
    for form in ("extxyz", "mixed"):
        with pytest.raises(InputError, match="cannot hold force_mag, fparam, spin"):
            convert_data(tmp_path / "npy", tmp_path / "y", to_format=form)
    np.save(folder / "spin.npy", np.zeros((3, 6)))
    with pytest.raises(InputError, match=r"spin.npy: 3 frames, but energy.npy has 2"):
        read_data(tmp_path / "npy")


def test_sets_without_names_of_elements(tmp_path):
    (tmp_path / "a.xyz").write_text(frame("energy=-10"))
    convert_data(tmp_path / "a.xyz", tmp_path / "npy")
    (tmp_path / "npy/dataset.json").unlink()
    (system,) = [path.parent for path in (tmp_path / "npy").rglob("type_map.raw")]
    coord = np.load(system / "set.000/coord.npy")
    np.save(system / "set.000/coord.npy", coord.ravel())  # one frame, one dimension
    (system / "type_map.raw").unlink()
    with pytest.raises(InputError, match="--type-map"):
        read_data(tmp_path / "npy")
    assert read_data(tmp_path / "npy", type_map=["Li", "S"]).blocks[0].coord.shape == (1, 2, 3)
    (system / "type_map.raw").write_text("Type_0 Type_1\n")
    with pytest.raises(InputError, match="not an element: Type_0, Type_1"):
        read_data(tmp_path / "npy")
