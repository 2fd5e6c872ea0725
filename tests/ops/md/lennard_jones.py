"""Lennard-Jones argon instead of a Deep Potential: LAMMPS starts at once, without a model."""

from __future__ import annotations

from collections.abc import Sequence

from dpa_sse.ops.md.data_file import atomic_masses
from dpa_sse.ops.md.lammps import PartNames


def lennard_jones(type_map: Sequence[str], models: Sequence[str], deviation_every: int, names: PartNames) -> list[str]:
    """Return the lines that define the interaction."""
    return [
        *(f"mass {number} {mass}" for number, mass in enumerate(atomic_masses(type_map), 1)),
        "pair_style lj/cut 7.0", "pair_coeff * * 0.0104 3.405", "pair_modify shift yes",
        "neighbor 1.0 bin", "neigh_modify every 1 delay 0 check yes",
    ]
