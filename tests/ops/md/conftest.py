"""Cells and models for the tests: argon (Lennard-Jones needs no model), and untrained Deep Potentials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

TYPE_MAP = ["Li", "P", "S", "Cl", "Br"]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("DPA_SSE_THREADS", "1")


@pytest.fixture
def argon():
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True).repeat(3)
    atoms.info = {"system": "argon"}
    return atoms


@pytest.fixture
def tilted_argon(argon):
    """The same in a box with tilt factors, where LAMMPS goes to fractional coordinates and back."""
    strain = np.array([[0.01, 0.02, 0.0], [0.01, -0.02, 0.03], [0.02, 0.01, 0.01]])
    argon.set_cell(argon.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return argon


@pytest.fixture
def dummy_model(tmp_path):
    path = tmp_path / "unused.pth"
    path.write_bytes(b"Lennard-Jones needs no model")
    return path


@pytest.fixture(scope="session")
def deep_potentials(tmp_path_factory) -> list[Path]:
    """Two frozen se_e2_a models that differ in their seed; untrained, so their forces are arbitrary but smooth."""
    folder = tmp_path_factory.mktemp("models")
    return [frozen_potential(folder / f"model_{seed}.pth", seed, {
        "type": "se_e2_a", "rcut": 4.0, "rcut_smth": 1.0, "sel": [24] * 5, "neuron": [4, 8], "axis_neuron": 2,
    }) for seed in (1, 2)]


@pytest.fixture(scope="session")
def mixed_committee(tmp_path_factory, deep_potentials) -> list[Path]:
    """Frozen models of different networks, cutoffs 4, 7 and 5 A."""
    folder = tmp_path_factory.mktemp("committee")
    wide = frozen_potential(folder / "wide.pth", 3, {
        "type": "se_e2_a", "rcut": 7.0, "rcut_smth": 6.5, "sel": [80] * 5, "neuron": [4, 8], "axis_neuron": 2,
    })
    attention = frozen_potential(folder / "attention.pth", 4, {
        "type": "dpa1", "rcut": 5.0, "rcut_smth": 1.0, "sel": 120, "neuron": [4, 8], "axis_neuron": 2, "attn_layer": 0,
    })
    return [deep_potentials[0], wide, attention]


def frozen_potential(path: Path, seed: int, descriptor: dict[str, Any]) -> Path:
    """Write an untrained Deep Potential whose forces are arbitrary but smooth."""
    import torch
    from deepmd.pt.model.model import get_model

    torch.manual_seed(seed)
    model = get_model({
        "type_map": TYPE_MAP, "descriptor": {**descriptor, "seed": seed},
        "fitting_net": {"neuron": [8, 8], "seed": seed},
    })
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # an untrained network is nearly flat
            parameter.mul_(1000.0 if "fitting_net" in name and name.endswith("layers.2.matrix") else 3.0)
    torch.jit.save(torch.jit.script(model), str(path))
    return path
