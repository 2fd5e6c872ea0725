"""A small data set labelled by a cheap analytic potential, and one tiny model trained on it for all tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpa_sse.ops.core.files import write_json

TYPE_MAP = ["Li", "S", "Br"]


def write_system(
    folder: Path, symbols: list[str], n_frames: int, seed: int, edge: float = 5.7, type_map: list[str] = TYPE_MAP
) -> Path:
    """Write rattled rock salt cells with Lennard-Jones labels in deepmd/npy format."""
    from ase import Atoms
    from ase.calculators.lj import LennardJones

    rng = np.random.default_rng(seed)
    basis = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    sites = np.concatenate([basis, basis + np.array([0.5, 0, 0])]) % 1.0
    order = np.argsort([type_map.index(s) for s in symbols], kind="stable")
    symbols, sites = [symbols[k] for k in order], sites[order]
    arrays: dict[str, list[np.ndarray]] = {name: [] for name in ("coord", "box", "energy", "force", "virial")}
    for _ in range(n_frames):
        cell = np.eye(3) * edge * rng.uniform(0.97, 1.03) + rng.uniform(-0.1, 0.1, (3, 3))
        atoms = Atoms(symbols, cell=cell, pbc=True)
        atoms.set_scaled_positions(sites)
        atoms.rattle(0.1, rng=rng)
        atoms.calc = LennardJones(sigma=2.4, epsilon=0.2, rc=5.0, smooth=True)
        arrays["coord"].append(atoms.positions.ravel())
        arrays["box"].append(cell.ravel())
        arrays["energy"].append(np.array(atoms.get_potential_energy()))
        arrays["force"].append(atoms.get_forces().ravel())
        arrays["virial"].append((-atoms.get_stress(voigt=False) * atoms.get_volume()).ravel())
    (folder / "set.000").mkdir(parents=True)
    for name, values in arrays.items():
        np.save(folder / "set.000" / f"{name}.npy", np.array(values))
    (folder / "type.raw").write_text("".join(f"{type_map.index(s)}\n" for s in symbols))
    (folder / "type_map.raw").write_text("".join(f"{name}\n" for name in type_map))
    return folder


def describe(root: Path, entries: list[tuple[str, str, int]]) -> None:
    """Write dataset.json for (split, system, number of frames)."""
    systems = [
        {"split": split, "system": system, "path": f"{split}/{system}", "n_frames": n, "n_atoms": 8,
         "trajectories": [f"{system}.0"], "frames_per_trajectory": [n]}
        for split, system, n in entries
    ]
    write_json(root / "dataset.json", {"type_map": TYPE_MAP, "systems": systems})


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of Li4S4 with 10 training and 5 test frames."""
    root = tmp_path_factory.mktemp("data") / "base"
    write_system(root / "train" / "LiS", ["Li"] * 4 + ["S"] * 4, 10, 1)
    write_system(root / "test" / "LiS", ["Li"] * 4 + ["S"] * 4, 5, 2)
    describe(root, [("train", "LiS", 10), ("test", "LiS", 5)])
    return root


@pytest.fixture(scope="session")
def new_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of another compound with an element that the first one lacks; its energies are shifted."""
    root = tmp_path_factory.mktemp("data") / "new"
    for split, n, seed in (("train", 6, 3), ("test", 4, 4)):
        folder = write_system(root / split / "LiBr", ["Li"] * 4 + ["Br"] * 4, n, seed, edge=5.9)
        energy = folder / "set.000" / "energy.npy"
        np.save(energy, np.load(energy) + 8 * 2.0)
    describe(root, [("train", "LiBr", 6), ("test", "LiBr", 4)])
    return root


@pytest.fixture(scope="session")
def make_system() -> Callable[..., Path]:
    """Return the function that writes one system."""
    return write_system


@pytest.fixture(scope="session")
def tiny_overrides() -> dict[str, Any]:
    """Return overrides that make a network of a few hundred parameters."""
    return {
        "model.descriptor.rcut": 4.0, "model.descriptor.neuron": [4, 8], "model.descriptor.axis_neuron": 2,
        "model.fitting_net.neuron": [8, 8], "training.disp_freq": 2, "training.save_freq": 4,
    }


@pytest.fixture(scope="session")
def dpa2_overrides() -> dict[str, Any]:
    """Return overrides that make the smallest useful DPA-2."""
    return {
        "model.descriptor.repinit.rcut": 4.0, "model.descriptor.repinit.neuron": [4, 8],
        "model.descriptor.repinit.axis_neuron": 2, "model.descriptor.repinit.tebd_dim": 4,
        "model.descriptor.repformer.rcut": 3.5, "model.descriptor.repformer.nlayers": 1,
        "model.descriptor.repformer.g1_dim": 8, "model.descriptor.repformer.g2_dim": 4,
        "model.descriptor.repformer.attn2_hidden": 4, "model.descriptor.repformer.attn1_hidden": 8,
        "model.fitting_net.neuron": [8, 8], "training.disp_freq": 2, "training.save_freq": 2,
    }
