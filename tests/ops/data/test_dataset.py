"""Data sets: conversion, splits by trajectory, duplicates, merging, subsets, users' own data."""

import json

import numpy as np
import pytest

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.data.collect import assign_splits, collect_trajectories
from dpa_sse.ops.data.convert import block_to_frames, frames_to_blocks
from dpa_sse.ops.data.dataset import read_dataset, write_dataset
from dpa_sse.ops.data.frames import drop_duplicates
from dpa_sse.ops.data.merge import merge_datasets, merge_labelled
from dpa_sse.ops.data.settings import SplitSettings
from dpa_sse.ops.data.subset import limit_frames
from dpa_sse.ops.data.user_data import import_user_dataset, load_user_dataset
from dpa_sse.ops.labelers.mock import mock_energy
from dpa_sse.ops.labelers.registry import make_labeler
from dpa_sse.ops.labelers.settings import MockSettings
from dpa_sse.ops.results.dataset import DatasetInfo
from dpa_sse.ops.structures.extxyz import read_frames, write_frames
from tests.ops.data.mock_frames import labelled

TYPE_MAP = ["Li", "P", "S", "Cl", "Br"]
SPLIT = SplitSettings(test=0.25)


def write_task(folder, frames, status="ok", reason="", items=None):
    folder.mkdir(parents=True, exist_ok=True)
    write_frames(folder / "frames.extxyz", frames)
    items = items if items is not None else [{"index": 0, "status": "ok" if status == "ok" else "failed"}]
    (folder / "status.json").write_text(json.dumps({"status": status, "reason": reason, "items": items}))
    return folder


@pytest.fixture
def tasks(tmp_path):
    folders = [
        write_task(tmp_path / f"task.{k:03d}", labelled("Li2S", 3, f"Li2S.p{k:03d}")) for k in range(4)
    ]
    folders += [write_task(tmp_path / "task.004", labelled("LiCl", 2, "LiCl.p000"))]
    (tmp_path / "task.005").mkdir()
    (tmp_path / "task.005/status.json").write_text('{"status": "empty", "reason": "", "items": []}')
    return [*folders, tmp_path / "task.005"]


def collect(tasks, out, ratio=1.0, split=SPLIT, seed=1):
    return collect_trajectories(tasks, TYPE_MAP, split, seed, ratio, out)


def test_virial_sign_by_finite_strain_through_to_npy(tmp_path):
    frame = labelled("Li2S", 1, "a")[0]
    write_dataset(tmp_path, TYPE_MAP, frames_to_blocks([frame], TYPE_MAP))
    virial = np.load(tmp_path / "train/Li2S/set.000/virial.npy").reshape(3, 3)
    step = 1e-4
    for i, j in [(0, 0), (1, 2)]:
        energies = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[i, j] += sign * step / 2
            strain[j, i] += sign * step / 2
            strained = frame.copy()
            strained.set_cell(frame.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            energies.append(mock_energy(strained)[0])
        assert virial[i, j] == pytest.approx(-(energies[0] - energies[1]) / (2 * step), abs=1e-5)  # W = -dE/d(strain)
    assert np.abs(virial).max() > 0.1


def test_deepmd_reads_what_ase_wrote(tmp_path):
    import dpdata

    frames = labelled("Li2S", 3, "a")
    write_dataset(tmp_path, TYPE_MAP, frames_to_blocks(frames, TYPE_MAP))
    folder = tmp_path / "train/Li2S"
    assert (folder / "type_map.raw").read_text().split() == TYPE_MAP
    system = dpdata.LabeledSystem(str(folder), fmt="deepmd/npy")
    assert system["atom_names"] == TYPE_MAP
    for k, frame in enumerate(frames):
        assert np.array_equal(system["coords"][k], frame.positions)
        assert np.array_equal(system["cells"][k], frame.cell.array)
        assert np.array_equal(system["forces"][k], frame.get_forces())
        assert system["energies"][k] == frame.get_potential_energy()
    assert [TYPE_MAP[t] for t in system["atom_types"]] == frames[0].get_chemical_symbols()


def test_npy_to_extxyz_and_back_keeps_the_last_bit(tmp_path):
    write_dataset(tmp_path / "a", TYPE_MAP, frames_to_blocks(labelled("Li6PS5Cl", 3, "a"), TYPE_MAP))
    _, (block,) = read_dataset(tmp_path / "a")
    write_frames(tmp_path / "a.extxyz", block_to_frames(block, TYPE_MAP))
    (again,) = frames_to_blocks(read_frames(tmp_path / "a.extxyz"), TYPE_MAP)
    for name in ("coord", "box", "energy", "force", "virial"):
        assert np.array_equal(getattr(block, name), getattr(again, name)), name


def test_split_is_by_trajectory(tasks, tmp_path):
    summary = collect(tasks, tmp_path / "data")
    where = {}
    for entry in summary.systems:
        for name in entry.trajectories:
            assert where.setdefault(name, entry.split) == entry.split
    assert sorted(where.values()) == ["test", "train", "train", "train", "train"]
    assert where["LiCl.p000"] == "train"
    assert summary.n_frames == {"train": 11, "validation": 0, "test": 3}
    assert any("LiCl" in note for note in summary.notes)
    assert summary == DatasetInfo.read(tmp_path / "data")


def test_collect_is_reproducible(tasks, tmp_path):
    for name, seed in [("a", 1), ("b", 1)]:
        collect(tasks, tmp_path / name, seed=seed)
    files = [file for file in sorted((tmp_path / "a").rglob("*.*")) if file.is_file()]
    assert len([file for file in files if file.suffix == ".npy"]) == 15  # five arrays of three systems
    for file in files:
        assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()
    chosen = {
        tuple(n for n, s in assign_splits(["a", "b", "c", "d"], SPLIT, seed).items() if s == "test")
        for seed in range(20)
    }
    assert chosen == {("a",), ("b",), ("c",), ("d",)}


@pytest.mark.parametrize(
    ("count", "split", "expected"),
    [
        (1, SplitSettings(test=0.5, validation=0.4), (1, 0, 0)),
        (2, SplitSettings(test=0.1), (1, 0, 1)),
        (2, SplitSettings(test=0.9), (1, 0, 1)),
        (4, SplitSettings(test=0.25, validation=0.1), (3, 0, 1)),
        (4, SplitSettings(test=0.25, validation=0.25), (2, 1, 1)),
        (3, SplitSettings(test=0.6, validation=0.6), (1, 0, 2)),
        (10, SplitSettings(test=0.2, validation=0.1), (7, 1, 2)),
        (5, SplitSettings(test=0.0), (5, 0, 0)),
    ],
)
def test_shares(count, split, expected):
    parts = list(assign_splits([str(k) for k in range(count)], split, 1).values())
    assert tuple(parts.count(part) for part in ("train", "validation", "test")) == expected


def test_failed_tasks_are_listed(tasks, tmp_path):
    (tasks[1] / "status.json").write_text('{"status": "failed", "reason": "node on fire", "items": []}')
    (tasks[1] / "frames.extxyz").unlink()
    (tasks[2] / "status.json").unlink()
    (tasks[2] / "frames.extxyz").unlink()
    with pytest.raises(FatalError, match=r"(?s)3 of 5.*task.001: node on fire.*task.002: .*did not finish"):
        collect(tasks, tmp_path / "data", ratio=0.8)
    summary = collect(tasks, tmp_path / "data", ratio=0.6)
    assert summary.failed[0].reason == "node on fire"
    assert sum(summary.n_frames.values()) == 8


def test_partial_trajectory_is_used(tasks, tmp_path):
    write_task(tasks[0], labelled("Li2S", 1, "Li2S.p000"), "partial", "exploded at step 9")
    summary = collect(tasks, tmp_path / "data", ratio=0.9)
    assert sum(summary.n_frames.values()) == 12
    assert summary.failed[0].reason == "exploded at step 9"


def test_nothing_at_all_is_fatal(tmp_path):
    with pytest.raises(FatalError, match="no labelled frame"):
        collect([], tmp_path / "data")


def test_exact_duplicates_are_dropped_and_the_test_set_keeps_its_frame(tmp_path):
    frames = labelled("Li2S", 4, "a")
    nearly = frames[2].copy()
    nearly.positions += 3e-7
    nearly.calc = frames[2].calc
    other = frames[3].copy()
    other.positions[0, 0] += 1e-4
    other.calc = frames[3].calc
    train = frames_to_blocks([*frames, nearly, other], TYPE_MAP)
    test = frames_to_blocks(frames[:1], TYPE_MAP, "test")
    blocks, dropped, conflicts = drop_duplicates([*train, *test])
    assert not conflicts
    assert dropped == 2
    assert {block.split: len(block) for block in blocks} == {"train": 4, "test": 1}
    kept = next(block for block in blocks if block.split == "train")
    assert np.array_equal(kept.coord[0], frames[1].positions)
    assert np.array_equal(kept.coord[1], frames[2].positions)


def test_other_atom_numbers_and_orders_go_to_folders_of_their_own(tmp_path):
    small = labelled("Li2S", 2, "a")
    reordered = small[0][::-1]
    reordered.info.update(small[0].info)
    reordered = make_labeler(MockSettings()).label([reordered])[0].atoms
    large = make_labeler(MockSettings()).label([small[0].repeat((2, 1, 1))])[0].atoms
    large.info["system"] = "Li2S"
    summary = write_dataset(tmp_path, TYPE_MAP, frames_to_blocks([small[0], reordered, large, small[1]], TYPE_MAP))
    assert [(one.path, one.n_frames, one.n_atoms) for one in summary.systems] == [
        ("train/Li2S", 2, 12), ("train/Li2S.2", 1, 12), ("train/Li2S.3", 1, 24),
    ]
    _, blocks = read_dataset(tmp_path)
    assert [block.system for block in blocks] == ["Li2S"] * 3


def test_merge_adds_to_train_without_duplicates(tasks, tmp_path):
    collect(tasks, tmp_path / "data")
    new = labelled("Li6PS5Cl", 3, "it000.md001")
    known = read_frames(tasks[0] / "frames.extxyz")[:1]
    items = [{"index": k, "status": "ok"} for k in range(4)] + [{"index": 4, "status": "failed", "reason": "NaN"}]
    result = write_task(tmp_path / "label", [*new, *known], "partial", "NaN", items)
    results = [result, tmp_path / "task.005"]
    summary = merge_labelled(tmp_path / "data", results, tmp_path / "more", min_success_ratio=0.8)
    assert (summary.labelled, summary.added, summary.duplicates_dropped) == (4, 3, 1)
    assert summary.n_frames == {"train": 14, "validation": 0, "test": 3}
    assert [(one.task, one.reason) for one in summary.failed] == [(f"{tmp_path.name}/label", "NaN")]
    with pytest.raises(FatalError, match="4 of 5"):
        merge_labelled(tmp_path / "data", [result], tmp_path / "strict", min_success_ratio=0.9)


def test_merge_datasets(tasks, tmp_path):
    collect(tasks[:2], tmp_path / "a")
    collect(tasks[2:], tmp_path / "b")
    summary = merge_datasets([tmp_path / "a", tmp_path / "b", tmp_path / "a"], tmp_path / "all")
    assert sum(summary.n_frames.values()) == 14
    assert summary.duplicates_dropped == 6
    write_dataset(tmp_path / "other", ["S", "Li"], frames_to_blocks(labelled("Li2S", 1, "x"), ["S", "Li"]))
    with pytest.raises(InputError, match="type maps"):
        merge_datasets([tmp_path / "a", tmp_path / "other"], tmp_path / "bad")


def test_interrupted_writing_leaves_nothing_behind(tasks, tmp_path):
    collect(tasks[:3], tmp_path / "data")
    (tmp_path / "data/dataset.json").unlink()
    (tmp_path / "data/train/Li2S/set.000/energy.npy").write_bytes(b"half")
    again = collect(tasks[:2], tmp_path / "data")
    assert sum(again.n_frames.values()) == sum(len(block) for block in read_dataset(tmp_path / "data")[1]) == 6


def test_limit_frames_is_nested_and_leaves_other_splits(tasks, tmp_path):
    collect(tasks, tmp_path / "data")
    chosen = []
    for n in (3, 7):
        summary = limit_frames(tmp_path / "data", "train", n, 5, tmp_path / f"n{n}")
        assert summary.n_frames == {"train": n, "validation": 0, "test": 3}
        blocks = [block for block in read_dataset(tmp_path / f"n{n}")[1] if block.split == "train"]
        chosen.append({coord.tobytes() for block in blocks for coord in block.coord})
    assert chosen[0] < chosen[1]
    assert limit_frames(tmp_path / "data", "train", 99, 5, tmp_path / "all").n_frames["train"] == 11
    with pytest.raises(InputError):
        limit_frames(tmp_path / "data", "training", 3, 5, tmp_path / "bad")


def test_trajectories_survive_reading_and_subsetting(tasks, tmp_path):
    collect(tasks, tmp_path / "data")
    limit_frames(tmp_path / "data", "train", 6, 2, tmp_path / "less")
    known = {
        frame.positions.tobytes(): frame.info["trajectory"]
        for task in tasks[:5] for frame in read_frames(task / "frames.extxyz")
    }
    blocks = read_dataset(tmp_path / "less")[1]
    assert sum(map(len, blocks)) == 9  # 6 of the training set, 3 of the test set
    for block in blocks:
        for coord, name in zip(block.coord, block.trajectories, strict=True):
            assert known[coord.tobytes()] == name


@pytest.fixture
def user_data(tmp_path):
    import dpdata

    frames = labelled("Li2S", 3, "a")
    (block,) = frames_to_blocks(frames, ["S", "Li"])
    data = {
        "atom_names": ["S", "Li"], "atom_numbs": [4, 8], "atom_types": block.types, "orig": np.zeros(3),
        "cells": block.box, "coords": block.coord, "energies": block.energy, "forces": block.force,
        "virials": block.virial,
    }
    dpdata.LabeledSystem(data=data).to("deepmd/npy", str(tmp_path / "mine/sys"), set_size=2, prec=np.float64)
    return tmp_path / "mine", frames


def test_user_data_is_renumbered_to_the_type_map(user_data):
    folder, frames = user_data
    blocks = load_user_dataset(folder, TYPE_MAP)
    assert [len(block) for block in blocks] == [2, 1]
    assert [TYPE_MAP[t] for t in blocks[0].types] == frames[0].get_chemical_symbols()
    assert np.array_equal(blocks[0].force[1], frames[1].get_forces())
    assert np.allclose(blocks[1].virial[0], -frames[2].get_stress(voigt=False) * frames[2].get_volume())


def test_user_data_without_splits_is_split_by_set(user_data, tmp_path):
    summary = import_user_dataset(user_data[0], TYPE_MAP, SPLIT, 1, tmp_path / "out")
    assert sorted((one.split, len(one.trajectories)) for one in summary.systems) == [("test", 1), ("train", 1)]


def test_user_splits_are_kept(user_data, tmp_path):
    folder, _ = user_data
    (folder / "sys").rename(tmp_path / "sys")
    (folder / "valid").mkdir()
    (tmp_path / "sys").rename(folder / "valid/sys")
    summary = import_user_dataset(folder, TYPE_MAP, SPLIT, 1, tmp_path / "out")
    assert summary.n_frames == {"train": 0, "validation": 3, "test": 0}


def test_mixed_type_data(tmp_path):
    import dpdata

    systems = dpdata.MultiSystems()
    frames = [*labelled("Li2S", 2, "a"), *labelled("LiCl", 2, "b")]
    for block in frames_to_blocks(frames, TYPE_MAP):
        systems.append(dpdata.LabeledSystem(data={
            "atom_names": TYPE_MAP, "atom_numbs": np.bincount(block.types, minlength=5).tolist(),
            "atom_types": block.types, "orig": np.zeros(3), "cells": block.box, "coords": block.coord,
            "energies": block.energy, "forces": block.force, "virials": block.virial,
        }))
    systems.to("deepmd/npy/mixed", str(tmp_path / "mixed"))
    blocks = load_user_dataset(tmp_path / "mixed", TYPE_MAP)
    assert sorted((len(block), len(block.types)) for block in blocks) == [(2, 8), (2, 12)]
    energies = np.sort(np.concatenate([block.energy for block in blocks]))
    assert np.allclose(energies, sorted(frame.get_potential_energy() for frame in frames), atol=1e-3)


def corrupt_energy(system):
    np.save(system / "set.000/energy.npy", np.array([np.nan, 0.0]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda s: (s / "type_map.raw").unlink(), "no type_map.raw"),
        (lambda s: (s / "type_map.raw").write_text("S\nNa\n"), "element Na is not in type_map"),
        (lambda s: (s / "type_map.raw").write_text("S\n"), "type_map.raw names 1"),
        (lambda s: (s / "nopbc").write_text(""), "not periodic"),
        (lambda s: (s / "set.000/force.npy").unlink(), "force.npy is missing"),
        (lambda s: (s / "set.000/coord.npy").write_bytes(b"junk"), "unreadable"),
        (lambda s: (s / "type.raw").write_text("0 1 1\n"), "not for the 3 atoms"),
        (corrupt_energy, "energy.npy: contains NaN"),
        (lambda s: np.save(s / "set.000/energy.npy", np.zeros(5)), "but energy.npy has 5"),
        (lambda s: np.save(s / "set.000/box.npy", np.zeros((2, 9))), "without volume"),
        (lambda s: (s / "type.raw").unlink(), "no deepmd/npy system found"),
    ],
)
def test_unsound_user_data_is_refused(user_data, damage, message):
    folder, _ = user_data
    damage(folder / "sys")
    with pytest.raises(InputError, match=message):
        load_user_dataset(folder, TYPE_MAP)


def test_missing_user_data(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        load_user_dataset(tmp_path / "nothing", TYPE_MAP)


def test_element_outside_the_type_map_and_missing_labels():
    frame = labelled("LiI", 1, "a")[0]
    with pytest.raises(InputError, match="element I is not in type_map"):
        frames_to_blocks([frame], TYPE_MAP)
    with pytest.raises(InputError, match=r"elements I, Li are not in type_map \[P, S\]"):
        frames_to_blocks([frame], ["P", "S"])
    frame.calc = None
    with pytest.raises(InputError, match="no energy and forces"):
        frames_to_blocks([frame], [*TYPE_MAP, "I"])
