"""A production of MD folders, labels and models whose errors are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk

from dpa_sse.ops.data.convert import frames_to_blocks, with_results
from dpa_sse.ops.data.dataset import write_dataset
from dpa_sse.ops.data.results import GatheredFrames
from dpa_sse.ops.exploration.tasks import FRAMES
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.ops.results.self_check import SelfCheck
from dpa_sse.ops.structures.extxyz import read_frames
from dpa_sse.ops.validation.choose import choose_frames
from dpa_sse.ops.validation.judge import Evidence, self_check
from dpa_sse.ops.validation.settings import ValidateSettings
from tests.md_folders import write_run, write_trajectory

TYPE_MAP = ["Li", "Cl"]
SYSTEM = "LiCl"
TEMPERATURES = (500.0, 600.0, 700.0, 800.0)
EV_A3_IN_GPA = 160.21766208


class Model:
    """Energies, forces and virials of atoms on springs, with additions: what DeepPot's ``eval`` returns.

    Parameters
    ----------
    energy_eV_atom, pressure_GPa : float
        Added to every frame.
    type_map : sequence of str
    """

    def __init__(
        self, energy_eV_atom: float = 0.0, pressure_GPa: float = 0.0, type_map: Sequence[str] = TYPE_MAP
    ) -> None:
        self.energy_eV_atom, self.pressure_GPa, self.type_map = energy_eV_atom, pressure_GPa, list(type_map)

    def get_type_map(self) -> list[str]:
        return list(self.type_map)

    def eval(self, coord: np.ndarray, box: np.ndarray, types: np.ndarray) -> tuple[np.ndarray, ...]:
        n = len(types)
        x, cell = np.asarray(coord).reshape(-1, n, 3), np.asarray(box).reshape(-1, 3, 3)
        energy = 0.01 * (x**2).sum(axis=(1, 2)) / n + self.energy_eV_atom * n
        volume = np.abs(np.linalg.det(cell))
        virial = np.eye(3)[None] * (self.pressure_GPa / EV_A3_IN_GPA * volume)[:, None, None]
        return energy, -0.02 * x / n, virial


def labels(
    frames: Sequence[Atoms], rng: np.random.Generator, energy: float = 0.0, force: float = 0.0, pressure: float = 0.0
) -> list[Atoms]:
    """Return frames labelled by the springs, with normal noise: meV/atom, meV/A, GPa (standard deviations)."""
    found = []
    for atoms in frames:
        e, f, _ = Model().eval(atoms.positions, atoms.cell.array, atoms.numbers)
        stress = -np.eye(3) * rng.normal(0, pressure) / EV_A3_IN_GPA if pressure else np.zeros((3, 3))
        found.append(with_results(
            atoms, float(e[0]) + len(atoms) * rng.normal(0, energy) / 1000,
            f[0] + rng.normal(0, force, f[0].shape) / 1000, stress,
        ))
    return found


def production(root: Path, *, frames: int = 30, replicas: int = 1, system: str = SYSTEM) -> list[Path]:
    """Write MD folders: each replica of four temperatures."""
    folders, cell = [], bulk("LiCl", "rocksalt", a=5.1, cubic=True)
    for k, temperature in enumerate(TEMPERATURES):
        for replica in range(replicas):
            rng = np.random.default_rng(100 * k + replica)
            moved = []
            for _ in range(frames):
                moved.append(cell.copy())
                moved[-1].positions += rng.normal(0, 0.2, cell.positions.shape)
            folder = root / f"{system}.{k}.{replica}"
            folder.mkdir(parents=True)
            write_trajectory(folder / "traj.lammpstrj", moved)
            write_run(
                folder, cell, system=system, temperature_K=temperature, replica=replica, n_frames=frames,
                steps=10 * (frames - 1),
            )
            folders.append(folder)
    return folders


def chosen(folders: Sequence[Path], root: Path, count: int = 12) -> list[Atoms]:
    """Return the frames that the self-check would label."""
    choose_frames(folders, count, root)
    return [read_frames(path / FRAMES)[0] for path in sorted(root.glob("task.*"))]


def data(root: Path, rng: np.random.Generator, **noise: float) -> Path:
    """Write labelled training and test frames of the same compound."""
    cell, blocks = bulk("LiCl", "rocksalt", a=5.1, cubic=True), []
    for split, count in (("train", 20), ("test", 20)):
        frames = []
        for number in range(count):
            atoms = cell.copy()
            atoms.positions += rng.normal(0, 0.2, cell.positions.shape)
            atoms.info.update(system=SYSTEM, trajectory=f"{split}{number // 5}")
            frames.append(atoms)
        blocks += frames_to_blocks(labels(frames, rng, **noise), TYPE_MAP, split)
    write_dataset(root, TYPE_MAP, blocks)
    return root


def check(
    model: Any, labelled: Sequence[Atoms], folders: Sequence[Path], datasets: Sequence[Path], *, teacher: Any = None,
    iteration: int = 0, earlier: SelfCheck | None = None, **settings: Any,
) -> SelfCheck:
    """Return the self-check of a model."""
    gathered = GatheredFrames(list(labelled), (), LevelOfTheory(code="springs"))
    evidence = Evidence(model, teacher or model, gathered, datasets, TYPE_MAP)
    return self_check(evidence, folders, ValidateSettings(**settings), iteration, earlier)
