"""Several data sets become one: nothing is lost, doubled, mixed or leaked into the test set silently."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.convert import frames_to_blocks
from dpa_sse.ops.data.exchange import split_data
from dpa_sse.ops.data.merge_sources import merge_data
from dpa_sse.ops.data.reading import read_data
from dpa_sse.ops.data.settings import SplitSettings
from dpa_sse.ops.data.writing import write_data
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.ops.structures.extxyz import write_frames
from tests.ops.data.mock_frames import labelled


def level(code: str) -> LevelOfTheory:
    return LevelOfTheory(code=code, settings={})


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    """Return an extxyz file of Li2S, deepmd/npy of LiCl with other numbers of the elements, and an extxyz of Li2S."""
    write_frames(tmp_path / "a.extxyz", labelled("Li2S", 4, "t0"))
    write_data(tmp_path / "b", "npy", ["Cl", "Li"], frames_to_blocks(labelled("LiCl", 3, "t0"), ["Cl", "Li"], "train"))
    write_frames(tmp_path / "c.extxyz", labelled("Li2S", 5, "t0", seed=1))
    return [tmp_path / "a.extxyz", tmp_path / "b", tmp_path / "c.extxyz"]


@pytest.mark.parametrize("name", ["all", "all.h5", "all.extxyz"])
def test_every_frame_of_every_format_is_there(name: str, inputs: list[Path], tmp_path: Path) -> None:
    done = merge_data(inputs, tmp_path / name)
    assert list(done.read.values()) == [4, 3, 5]
    assert (sum(done.n_frames.values()), done.duplicates_dropped, done.near_copies_dropped) == (12, 0, 0)
    found = read_data(tmp_path / name, type_map=list(done.type_map))
    energies = sorted(value for block in found.blocks for value in block.energy)
    expected = sorted(value for path in inputs for block in read_data(path).blocks for value in block.energy)
    assert energies == expected  # bit for bit
    for block in found.blocks:
        elements = {done.type_map[kind] for kind in block.types}
        assert elements == {"Li", "S" if block.system == "Li2S" else "Cl"}


def test_trajectories_of_the_same_name_stay_apart(inputs: list[Path], tmp_path: Path) -> None:
    merge_data(inputs, tmp_path / "all")
    blocks = read_data(tmp_path / "all").blocks
    names = {(block.system, name) for block in blocks for name in block.trajectories}
    assert len(names) == 3
    parts = split_data(tmp_path / "all", tmp_path / "parts", SplitSettings(test=0.5), 1)
    assert parts.n_frames["test"] in (4, 5)  # one of the two runs of Li2S as a whole


def test_duplicates_are_dropped_and_counted(tmp_path: Path) -> None:
    frames = labelled("Li2S", 6, "t0")
    write_frames(tmp_path / "a.extxyz", frames[:4])
    write_frames(tmp_path / "b.extxyz", frames[2:])
    done = merge_data([tmp_path / "a.extxyz", tmp_path / "b.extxyz"], tmp_path / "all")
    assert (sum(done.n_frames.values()), done.duplicates_dropped) == (6, 2)


def test_a_held_out_frame_that_another_input_trains_on(tmp_path: Path) -> None:
    frames = labelled("Li2S", 6, "t0")
    (held,) = frames_to_blocks(frames[:3], ["Li", "S"], "train")
    write_data(tmp_path / "a", "npy", ["Li", "S"], [replace(held, split="test")])
    (near,) = frames_to_blocks(frames[2:], ["Li", "S"], "train")
    shifted = near.coord + np.random.default_rng(1).normal(size=near.coord.shape) * 0.005
    write_data(tmp_path / "b", "npy", ["Li", "S"], [replace(near, coord=shifted)])
    done = merge_data([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    assert done.n_frames == {"train": 4, "validation": 0, "test": 2}
    assert done.near_copies_dropped == 1


def test_levels_are_not_mixed_unasked(inputs: list[Path], tmp_path: Path) -> None:
    for name, code in (("v", "vasp"), ("c", "chgnet")):
        blocks = frames_to_blocks(labelled("Li2S", 3, name), ["Li", "S"], "train")
        write_data(tmp_path / name, "npy", ["Li", "S"], blocks, level=level(code))
    two = [tmp_path / "v", tmp_path / "c"]
    with pytest.raises(InputError, match=r"--mix-levels mixes them anyway"):
        merge_data(two, tmp_path / "all")
    assert not (tmp_path / "all").exists()
    assert any("mixed on request" in note for note in merge_data(two, tmp_path / "all", mix_levels=True).notes)
    done = merge_data([tmp_path / "v", inputs[0]], tmp_path / "more")
    assert any("1 of 2 inputs do not state their level of theory" in note for note in done.notes)
    assert done.level is not None
    assert done.level.incomplete


@pytest.mark.parametrize(("names", "message"), [
    (["a.extxyz"], "at least two inputs"), (["a.extxyz", "a.extxyz"], "given twice"),
    (["a.extxyz", "."], "is inside"), (["a.extxyz", "none"], "none"),
    (["a.extxyz", "all"], "must not contain each other"),
])
def test_what_is_refused(names: list[str], message: str, inputs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "all" if "all" in names else tmp_path.parent / f"{tmp_path.name}-out"
    with pytest.raises(InputError, match=message):
        merge_data([tmp_path / name for name in names], out)
    assert not out.exists()


def test_the_type_map_that_is_asked_for(inputs: list[Path], tmp_path: Path) -> None:
    assert merge_data(inputs, tmp_path / "all", type_map=["S", "P", "Cl", "Li"]).type_map == ("S", "P", "Cl", "Li")
    with pytest.raises(InputError, match="Cl"):
        merge_data(inputs, tmp_path / "less", type_map=["Li", "S"])
