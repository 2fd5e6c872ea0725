"""Two potentials for the tests: Lennard-Jones argon (starts at once), and untrained Deep Potentials."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

TYPE_MAP = ["Li", "P", "S", "Cl", "Br"]
PATCH = textwrap.dedent("""
    from dpa_sse.ops.md import lammps

    def lennard_jones(type_map, models, every, names):
        return [
            *(f"mass {i} {m}" for i, m in enumerate(lammps.atomic_masses(type_map), 1)),
            "pair_style lj/cut 7.0", "pair_coeff * * 0.0104 3.405", "pair_modify shift yes",
            "neighbor 1.0 bin", "neigh_modify every 1 delay 0 check yes",
        ]

    lammps._potential_lines = lennard_jones
""")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("DPA_SSE_THREADS", "1")


@pytest.fixture
def lennard_jones(monkeypatch):
    """Replace the Deep Potential in LAMMPS inputs by Lennard-Jones; returns the code that does so in a child."""
    from dpa_sse.ops.md import lammps

    monkeypatch.setattr(lammps, "_potential_lines", lammps._potential_lines)  # put back afterwards
    exec(PATCH, {})  # noqa: S102
    return PATCH


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
    import torch
    from deepmd.pt.model.model import get_model

    folder = tmp_path_factory.mktemp("models")
    paths = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = get_model({
            "type_map": TYPE_MAP,
            "descriptor": {
                "type": "se_e2_a", "rcut": 4.0, "rcut_smth": 1.0, "sel": [24] * 5, "neuron": [4, 8], "axis_neuron": 2,
                "seed": seed,
            },
            "fitting_net": {"neuron": [8, 8], "seed": seed},
        })
        with torch.no_grad():
            for name, parameter in model.named_parameters():  # an untrained network is nearly flat
                parameter.mul_(1000.0 if "fitting_net" in name and name.endswith("layers.2.matrix") else 3.0)
        paths.append(folder / f"model_{seed}.pth")
        torch.jit.save(torch.jit.script(model), str(paths[-1]))
    return paths
