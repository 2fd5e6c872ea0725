"""The teacher is an analytic potential here; the call into deepmd is tested with the training."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.data.dataset import level_of, read_dataset
from dpa_sse.ops.distillation.label import label_with_teacher
from dpa_sse.ops.distillation.settings import DistillSettings
from dpa_sse.ops.distillation.teacher_md import write_labelled_cells
from dpa_sse.ops.results.distillation import TeacherFilter
from dpa_sse.ops.structures.extxyz import write_frames
from tests.md_folders import write_run

TYPE_MAP = ["Li", "P", "S"]
SYMBOLS = ["S", "Li", "Li", "S"]
EDGE = 5.0
SITES = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])


class HarmonicTeacher:
    """Pulls every atom to the origin of space: E = k sum r^2 / 2, so that forces are known from positions."""

    k = 0.1

    def get_type_map(self) -> list[str]:
        return ["S", "Li"]  # another order than the project's

    def eval(self, coords: Any, cells: Any, types: Any) -> tuple[Any, Any, Any]:
        assert types.tolist() == [["S", "Li"].index(symbol) for symbol in SYMBOLS]
        positions = coords.reshape(len(coords), -1, 3)
        virial = -self.k * np.einsum("fai,faj->fij", positions, positions)
        return self.k * (positions**2).sum(axis=(1, 2)) / 2, -self.k * positions, virial


@pytest.fixture(autouse=True)
def teacher_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the teacher: its hash is the level of theory of the labels."""
    (tmp_path / "t.pth").write_bytes(b"teacher")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpa_sse.ops.potential.inference.open_model", lambda _path: HarmonicTeacher())


def md_folder(folder: Path, name: str, steps: int = 100, every: int = 5, far: tuple[int, ...] = ()) -> Path:
    """Write a short trajectory; at the steps ``far`` the atoms are moved far out (large forces)."""
    folder.mkdir(parents=True)
    lines = []
    for step in range(0, steps + 1, every):
        lines += ["ITEM: TIMESTEP", str(step), "ITEM: NUMBER OF ATOMS", "4", "ITEM: BOX BOUNDS pp pp pp"]
        edge = 300.0 if step in far else EDGE
        lines += [f"0 {edge}"] * 3 + ["ITEM: ATOMS id element xu yu zu"]
        for k, (symbol, site) in enumerate(zip(SYMBOLS, SITES, strict=True)):
            x, y, z = site * edge + 0.001 * step
            lines.append(f"{k + 1} {symbol} {x:.9g} {y:.9g} {z:.9g}")
    (folder / "traj.lammpstrj").write_text("\n".join(lines) + "\n")
    atoms = Atoms(SYMBOLS, SITES * EDGE, cell=[EDGE] * 3, pbc=True)
    return write_run(folder, atoms, system="Li2S", trajectory=name, temperature_K=900.0, steps=steps, dump_every=every)


def settings(**values: Any) -> DistillSettings:
    return DistillSettings(**{"sample_every": 10, "steps": 100, "frame_strain": 0.01, **values})


def test_labels_are_the_teachers(tmp_path: Path) -> None:
    runs = [md_folder(tmp_path / f"task.{k:03d}", f"Li2S.p{k:03d}") for k in range(3)]
    found = label_with_teacher(Path("t.pth"), runs, TYPE_MAP, settings(test=0.3), 1, tmp_path / "out")
    type_map, blocks = read_dataset(tmp_path / "out" / "dataset")
    level = level_of(tmp_path / "out" / "dataset")
    assert level is not None and level.settings["model_sha256"] == hashlib.sha256(b"teacher").hexdigest()
    assert type_map == TYPE_MAP
    assert (found.n_frames, found.n_kept, found.n_dropped) == (33, 33, 0)  # steps 0, 10 ... 100
    assert (found.n_train, found.n_test) == (22, 11)
    for block in blocks:
        assert [TYPE_MAP[k] for k in block.types] == SYMBOLS
        assert np.allclose(block.force, -HarmonicTeacher.k * block.coord)
        assert np.allclose(block.energy, HarmonicTeacher.k * (block.coord**2).sum(axis=(1, 2)) / 2)
        assert block.virial is not None
    held_out = {name for block in blocks if block.split == "test" for name in block.trajectories}
    trained = {name for block in blocks if block.split == "train" for name in block.trajectories}
    assert len(held_out) == 1 and not held_out & trained


def test_frames_are_perturbed_within_the_limits(tmp_path: Path) -> None:
    run = md_folder(tmp_path / "task.000", "Li2S.p000")
    label_with_teacher(Path("t.pth"), [run], TYPE_MAP, settings(), 1, tmp_path / "out")
    _, blocks = read_dataset(tmp_path / "out" / "dataset")
    strains = np.concatenate([np.abs(block.box / EDGE - np.eye(3)).max(axis=(1, 2)) for block in blocks])
    assert strains.min() > 0
    assert strains.max() <= 0.01 + 1e-9
    first = blocks[0].coord[0] @ np.linalg.inv(blocks[0].box[0]) * EDGE
    moved = np.linalg.norm((first - SITES * EDGE + EDGE / 2) % EDGE - EDGE / 2, axis=1)
    assert 0 < moved.max() <= 0.05 * 1.02


def test_how_the_teacher_runs_ended_is_kept(tmp_path: Path) -> None:
    runs = [md_folder(tmp_path / f"task.{k:03d}", f"Li2S.p{k:03d}") for k in range(2)]
    atoms = Atoms(SYMBOLS, SITES * EDGE, cell=[EDGE] * 3, pbc=True)
    write_run(
        runs[1], atoms, system="Li2S", trajectory="Li2S.p001", temperature_K=900.0, status="melted", partial=True,
        reason="step 60: only 70 % of the polyhedra", steps=100, dump_every=5,
    )
    found = label_with_teacher(Path("t.pth"), runs, TYPE_MAP, settings(), 1, tmp_path / "out")
    assert [(run.status, run.reason) for run in found.trajectories] == [
        ("ok", ""), ("melted", "step 60: only 70 % of the polyhedra"),
    ]


def test_large_forces_are_dropped_and_counted(tmp_path: Path) -> None:
    run = md_folder(tmp_path / "task.000", "Li2S.p000", far=(20, 50))
    found = label_with_teacher(Path("t.pth"), [run], TYPE_MAP, settings(), 1, tmp_path / "out")
    record = found.trajectories[0]
    assert (record.n_frames, record.n_kept, record.n_dropped) == (11, 9, 2)
    assert record.max_force_kept_eV_A < 10 < record.max_force_dropped_eV_A
    assert TeacherFilter.read(tmp_path / "out") == found


def test_nothing_left_is_fatal(tmp_path: Path) -> None:
    run = md_folder(tmp_path / "task.000", "Li2S.p000")
    with pytest.raises(FatalError, match="stable at 900 K"):
        label_with_teacher(Path("t.pth"), [run], TYPE_MAP, settings(max_force_eV_A=1e-6), 1, tmp_path / "out")
    assert not (tmp_path / "out" / "filter.json").exists()


def test_single_trajectory_is_split_by_time_with_a_gap(tmp_path: Path) -> None:
    run = md_folder(tmp_path / "task.000", "Li2S.p000", steps=400, every=10)
    found = label_with_teacher(Path("t.pth"), [run], TYPE_MAP, settings(test=0.25), 1, tmp_path / "out")
    assert "by time" in found.split
    assert (found.n_kept, found.n_train, found.n_test) == (41, 29, 10)  # 2 frames between
    blocks = {block.split: block for block in read_dataset(tmp_path / "out" / "dataset")[1]}
    # atom 0 drifts along with the steps of the trajectory, much further than it is displaced
    drift = {split: block.coord[:, 0].mean(axis=1) for split, block in blocks.items()}
    assert drift["train"].max() < drift["test"].min() + 0.1


def test_repeated_and_second_call_agree(tmp_path: Path) -> None:
    runs = [md_folder(tmp_path / f"task.{k:03d}", f"Li2S.p{k:03d}") for k in range(2)]
    for name in ("a", "b"):
        label_with_teacher(Path("t.pth"), runs, TYPE_MAP, settings(), 5, tmp_path / name)
    label_with_teacher(Path("t.pth"), runs, TYPE_MAP, settings(), 6, tmp_path / "c")
    names = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.npy"))
    assert len(names) == 10
    assert all((tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names)
    coords = [n for n in names if n.name == "coord.npy"]
    assert any((tmp_path / "a" / n).read_bytes() != (tmp_path / "c" / n).read_bytes() for n in coords)
    before = (tmp_path / "a" / "filter.json").stat().st_mtime_ns
    label_with_teacher(Path("t.pth"), runs, TYPE_MAP, settings(), 5, tmp_path / "a")
    assert (tmp_path / "a" / "filter.json").stat().st_mtime_ns == before


def test_wrong_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one"):
        label_with_teacher(Path("t.pth"), [], TYPE_MAP, settings(), 1, tmp_path / "out")
    run = md_folder(tmp_path / "task.000", "Li2S.p000")
    with pytest.raises(InputError, match="S is not in the type map"):
        label_with_teacher(Path("t.pth"), [run], ["Li", "P"], settings(), 1, tmp_path / "out")


def test_perturbed_cells_are_labelled_and_only_trained_on(tmp_path: Path) -> None:
    """As in the paper: the teacher labels perturbed cells besides the frames of its trajectories."""
    atoms = Atoms(SYMBOLS, SITES * EDGE, cell=[EDGE] * 3, pbc=True, info={"system": "Li2S"})
    write_frames(tmp_path / "base.extxyz", [atoms])
    wanted = settings(test=0.3, labelled_cells=12, perturb={"strain": 0.02, "displacement_A": 0.1})
    write_labelled_cells(tmp_path / "base.extxyz", wanted, 1, tmp_path / "cells.extxyz")
    runs = [md_folder(tmp_path / f"task.{k:03d}", f"Li2S.p{k:03d}") for k in range(3)]
    found = label_with_teacher(
        Path("t.pth"), runs, TYPE_MAP, wanted, 1, tmp_path / "out", cells=tmp_path / "cells.extxyz"
    )
    assert (found.n_train, found.n_test) == (22 + 12, 11)
    assert found.split.endswith("12 perturbed cells, for training only")
    _, blocks = read_dataset(tmp_path / "out" / "dataset")
    own = [block for block in blocks if "Li2S.perturbed" in block.trajectories]
    assert {block.split for block in own} == {"train"}
    coord, box = (np.concatenate([getattr(block, key) for block in own]) for key in ("coord", "box"))
    assert np.allclose(np.concatenate([block.force for block in own]), -HarmonicTeacher.k * coord)
    means = np.trace(box, axis1=1, axis2=2) / (3 * EDGE) - 1
    assert len(np.unique(np.floor((means + 0.02) / 0.04 * 12))) == 12  # strains over the whole range
    assert np.abs(box / EDGE - np.eye(3)).max() <= 0.02 + 1e-9
