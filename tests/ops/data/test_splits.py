"""Test sets that mean something: all temperatures, no near copies of training frames."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from dpa_sse.ops.audit.run import audit_data
from dpa_sse.ops.data.collect import assign_splits, collect_trajectories
from dpa_sse.ops.data.convert import with_results
from dpa_sse.ops.data.dataset import read_dataset
from dpa_sse.ops.data.merge import merge_labelled
from dpa_sse.ops.data.settings import SplitSettings
from dpa_sse.ops.results.dataset import DatasetInfo
from dpa_sse.ops.results.status import TaskStatus
from dpa_sse.ops.structures.extxyz import write_frames

TEMPERATURES = [300.0, 600.0, 1000.0, 2000.0]
CELL = bulk("LiCl", "rocksalt", a=5.1, cubic=True)


def labelled(atoms: Atoms, **info: object) -> Atoms:
    frame = with_results(atoms, float((atoms.positions**2).sum()), -atoms.positions, np.zeros((3, 3)))
    frame.info.update({"system": "LiCl", **info})
    return frame


def task(folder: Path, frames: list[Atoms]) -> Path:
    folder.mkdir(parents=True)
    write_frames(folder / "frames.extxyz", frames)
    TaskStatus(status="ok").write(folder)
    return folder


def trajectories(
    root: Path, rng: np.random.Generator, count: int, move: float, cell: Atoms = CELL, system: str = "LiCl"
) -> list[Path]:
    """Write trajectories of five frames, the temperatures in turn; consecutive frames differ by a tenth of ``move``."""
    found = []
    for number in range(count):
        start = cell.positions + rng.normal(0, move, cell.positions.shape)
        frames = []
        for _ in range(5):
            atoms = cell.copy()
            start = start + rng.normal(0, move / 10, start.shape)
            atoms.positions = start
            frames.append(labelled(
                atoms, system=system, trajectory=f"{system}.p{number:03d}",
                temperature_K=TEMPERATURES[number % len(TEMPERATURES)],
            ))
        found.append(task(root / f"task.{number:03d}", frames))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_the_only_run_at_a_temperature_is_trained_on(seed: int) -> None:
    names = [f"p{k:03d}" for k in range(6)]
    own = [TEMPERATURES[k % 4] for k in range(6)]  # 300 and 600 K twice
    found = assign_splits(names, SplitSettings(test=0.25), seed, own)
    tested = sorted(t for name, t in zip(names, own, strict=True) if found[name] == "test")
    assert tested == [300.0, 600.0]


@pytest.mark.parametrize("seed", range(20))
def test_the_test_set_covers_the_temperatures(seed: int) -> None:
    names = [f"p{k:03d}" for k in range(8)]
    own = [TEMPERATURES[k % 4] for k in range(8)]
    found = assign_splits(names, SplitSettings(test=0.5), seed, own)
    for part in ("test", "train"):
        assert sorted(t for name, t in zip(names, own, strict=True) if found[name] == part) == TEMPERATURES


def test_which_trajectories_are_tested_depends_on_the_seed() -> None:
    names, own = [f"p{k:03d}" for k in range(8)], [TEMPERATURES[k % 4] for k in range(8)]
    chosen = Counter(
        tuple(sorted(name for name, part in assign_splits(names, SplitSettings(test=0.5), seed, own).items()
                     if part == "test"))
        for seed in range(50)
    )
    assert len(chosen) > 5


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("count", "split", "parts"), [
    (2, SplitSettings(test=0.5), "train test"),
    (2, SplitSettings(test=0.25), "train test"),
    (4, SplitSettings(test=0.25, validation=0.25), "test train train validation"),
    (4, SplitSettings(test=0.0), "train train train train"),
])
def test_whole_arrangements_are_held_out(count: int, split: SplitSettings, parts: str, seed: int) -> None:
    names = [f"LiCl.a{k // 4}.p{k:03d}" for k in range(4 * count)]
    found = assign_splits(names, split, seed, [TEMPERATURES[k % 4] for k in range(4 * count)])
    of_each = [{found[name] for name in names if f".a{k}." in name} for k in range(count)]
    assert all(len(one) == 1 for one in of_each)
    assert sorted(part for one in of_each for part in one) == sorted(parts.split())
    assert of_each[0] == {"train"}  # production starts from it


def near_pairs(dataset: Path) -> int:
    _, blocks = read_dataset(dataset)
    parts = {part: [x for b in blocks if b.split == part for x in b.coord] for part in ("train", "test")}
    return sum(
        np.linalg.norm((one - other) - (one - other).mean(axis=0), axis=1).max() < 0.1
        for one in parts["test"] for other in parts["train"]
    )


@pytest.mark.parametrize("seed", range(20))
def test_no_test_frame_is_a_near_copy_of_a_training_frame(seed: int, tmp_path: Path) -> None:
    """Also after frames like them were labelled in concurrent learning; checked by own lines, and by the audit."""
    rng = np.random.default_rng(seed)
    folders = trajectories(tmp_path / "md", rng, 6, 0.12)
    copies = [labelled(CELL.copy(), trajectory="LiCl.p000", temperature_K=300.0)]
    for folder in folders:  # one more trajectory, which crosses all others
        from dpa_sse.ops.structures.extxyz import read_frames

        moved = read_frames(folder / "frames.extxyz")[2].copy()
        moved.positions += rng.normal(0, 0.01, moved.positions.shape)
        copies.append(labelled(moved, trajectory="LiCl.p006", temperature_K=300.0))
    folders.append(task(tmp_path / "md" / "task.006", copies[1:]))
    collect_trajectories(folders, ["Li", "Cl"], SplitSettings(test=0.3), seed, 1.0, tmp_path / "seed")
    assert DatasetInfo.read(tmp_path / "seed").n_frames["test"] >= 1
    assert near_pairs(tmp_path / "seed") == 0
    explored = [
        labelled(atoms, trajectory="explored", temperature_K=300.0)
        for folder in folders for atoms in _jittered(folder, rng)
    ]
    merge_labelled(tmp_path / "seed", [task(tmp_path / "label" / "task.000", explored)], tmp_path / "merged")
    assert near_pairs(tmp_path / "merged") == 0
    assert any("left out" in note for note in DatasetInfo.read(tmp_path / "merged").notes)
    assert audit_data([tmp_path / "merged"]).data_sets[0].duplicates.near_across_splits == 0


def _jittered(folder: Path, rng: np.random.Generator) -> list[Atoms]:
    from dpa_sse.ops.structures.extxyz import read_frames

    found = []
    for atoms in read_frames(folder / "frames.extxyz"):
        moved = atoms.copy()
        moved.positions += rng.normal(0, 0.01, moved.positions.shape)
        found.append(moved)
    return found


def test_a_test_set_of_near_copies_only_is_kept_and_said(tmp_path: Path) -> None:
    folders = trajectories(tmp_path / "md", np.random.default_rng(1), 2, 0.005)
    info = collect_trajectories(folders, ["Li", "Cl"], SplitSettings(test=0.5), 1, 1.0, tmp_path / "out")
    assert info.n_frames["test"] == 5
    assert any("say little" in note for note in info.notes)


def test_one_of_two_systems_does_not_lose_its_test_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    folders = trajectories(tmp_path / "near", rng, 2, 0.005)
    folders += trajectories(tmp_path / "far", rng, 2, 1.0, CELL.repeat((1, 1, 2)), "long")
    info = collect_trajectories(folders, ["Li", "Cl"], SplitSettings(test=0.5), 1, 1.0, tmp_path / "out")
    _, blocks = read_dataset(tmp_path / "out")
    assert {block.system: len(block) for block in blocks if block.split == "test"} == {"LiCl": 5, "long": 5}
    assert any("all 5 held-out frames of LiCl are" in note for note in info.notes)
