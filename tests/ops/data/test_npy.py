"""The one reader of deepmd systems: plain and mixed type give the same frames, elements are named, errors are clear."""

import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.convert import frames_to_blocks
from dpa_sse.ops.data.dataset import read_dataset, write_dataset
from dpa_sse.ops.data.frames import LABELS, type_indices
from dpa_sse.ops.data.npy import elements_of, read_system, split_systems, write_mixed, write_system
from dpa_sse.ops.results.dataset import DatasetInfo
from tests.ops.data.mock_frames import labelled

TYPE_MAP = ["Li", "S", "Cl"]


@pytest.fixture
def blocks():
    """Two systems of 12 and one of 8 atoms."""
    frames = [*labelled("Li2S", 3, "a"), *labelled("LiCl", 2, "b")]
    return frames_to_blocks(frames, TYPE_MAP)


def assert_equal(one, other):
    assert one.types.tolist() == other.types.tolist()
    assert one.arrays().keys() == other.arrays().keys() == set(LABELS)
    for name, values in one.arrays().items():
        assert np.array_equal(values, other.arrays()[name]), name


def test_plain_and_mixed_type_give_the_same_frames(blocks, tmp_path):
    for block in blocks:
        write_system(tmp_path / "plain" / block.system, TYPE_MAP, block)
        (again,) = read_system(tmp_path / "plain" / block.system, TYPE_MAP)
        assert again.system == block.system
        assert_equal(block, again)
    write_mixed(tmp_path / "mixed", TYPE_MAP, blocks)
    folders = split_systems(tmp_path / "mixed")
    found = {block.system: block for folder in folders for block in read_system(folder, TYPE_MAP)}
    assert found.keys() == {"Li2S", "LiCl"}
    for block in blocks:
        assert_equal(block, found[block.system])
        assert found[block.system].trajectories == block.trajectories


def test_types_are_renumbered_to_the_type_map(blocks, tmp_path):
    write_system(tmp_path / "x", TYPE_MAP, blocks[0])
    (again,) = read_system(tmp_path / "x", ["S", "P", "Li"])
    assert [["S", "P", "Li"][k] for k in again.types] == [TYPE_MAP[k] for k in blocks[0].types]
    with pytest.raises(InputError, match=r"element S is not in type_map \[Li, Cl\]"):
        read_system(tmp_path / "x", ["Li", "Cl"])


def test_sets_of_a_system_are_joined_in_order(blocks, tmp_path):
    write_system(tmp_path / "x", TYPE_MAP, blocks[0].select([0, 1]))
    write_system(tmp_path / "y", TYPE_MAP, blocks[0].select([2]))
    (tmp_path / "y/set.000").rename(tmp_path / "x/set.001")
    (again,) = read_system(tmp_path / "x", TYPE_MAP)
    assert_equal(blocks[0], again)


def test_elements(blocks, tmp_path):
    write_system(tmp_path / "x", TYPE_MAP, blocks[0])
    assert elements_of(tmp_path / "x") == ["Li"] * 8 + ["S"] * 4
    write_mixed(tmp_path / "mixed", TYPE_MAP, blocks)
    assert {element for folder in split_systems(tmp_path / "mixed") for element in elements_of(folder)} == set(TYPE_MAP)
    (tmp_path / "x/type_map.raw").write_text("Li\n")
    with pytest.raises(InputError, match=r"type 1 in type\.raw, but type_map\.raw names 1 elements"):
        elements_of(tmp_path / "x")
    (tmp_path / "x/type_map.raw").unlink()
    with pytest.raises(InputError, match="the elements are unknown"):
        elements_of(tmp_path / "x")


def test_a_folder_that_is_no_system(tmp_path):
    with pytest.raises(InputError, match=r"type\.raw is missing"):
        read_system(tmp_path, TYPE_MAP)
    with pytest.raises(InputError, match="data set folder does not exist"):
        split_systems(tmp_path / "none")


def test_type_indices_name_all_elements_outside():
    assert type_indices(["S", "Li"], TYPE_MAP, "x").tolist() == [1, 0]
    with pytest.raises(InputError, match=r"x: elements Br, P are not in type_map \[Li, S, Cl\]"):
        type_indices(["P", "Br", "Li"], TYPE_MAP, "x")


def test_the_listing_of_a_data_set_must_match_its_folders(blocks, tmp_path):
    info = write_dataset(tmp_path, TYPE_MAP, blocks, notes=("a note",))
    assert DatasetInfo.read(tmp_path) == info
    assert info.n_frames == {"train": 5, "validation": 0, "test": 0}
    first = info.systems[0]
    wrong = first.model_copy(update={"frames_per_trajectory": (first.n_frames - 1,)})
    info.model_copy(update={"systems": (wrong, *info.systems[1:])}).write(tmp_path)
    with pytest.raises(InputError, match=r"not the frames that dataset\.json lists"):
        read_dataset(tmp_path)
