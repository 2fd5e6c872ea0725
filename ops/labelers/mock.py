"""An analytic pair potential for tests: smooth, conservative, deterministic, without physics."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from ops.labelers.base import LabelResult, label_with_calculator
from ops.labelers.settings import MockLabeler
from ops.structures.distances import neighbour_pairs

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

DEPTH_EV = 0.2
STIFFNESS = 1.2  # 1/A
CUTOFF_A = 5.0
SWITCH_A = 1.0  # the potential is switched off over the last Angstrom, with continuous second derivative


def mock_energy(atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
    """Return energy (eV), forces (eV/A, shape (n, 3)) and stress (eV/A^3, shape (3, 3)) of the mock potential.

    Morse pairs, E = D (exp(-2a(r - r0)) - 2 exp(-a(r - r0))) s(r), with r0 = 1.15 times the sum of the
    covalent radii and a quintic switch s; plus -0.1 eV per unit of atomic number, so that compositions differ.
    """
    from ase.data import covalent_radii

    i, j, shift, distance = neighbour_pairs(atoms, CUTOFF_A)
    bond = 1.15 * (covalent_radii[atoms.numbers[i]] + covalent_radii[atoms.numbers[j]])
    decay = np.exp(-STIFFNESS * (distance - bond))
    morse = DEPTH_EV * (decay**2 - 2 * decay)
    slope = 2 * DEPTH_EV * STIFFNESS * (decay - decay**2)
    x = np.clip((distance - CUTOFF_A + SWITCH_A) / SWITCH_A, 0.0, 1.0)
    switch = 1 - x**3 * (10 - 15 * x + 6 * x**2)
    switch_slope = -30 * x**2 * (1 - x) ** 2 / SWITCH_A
    vector = atoms.positions[j] + shift - atoms.positions[i]
    pull = ((slope * switch + morse * switch_slope) / distance)[:, None] * vector  # dE/dr along i -> j
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, i, pull)
    np.subtract.at(forces, j, pull)
    stress = np.einsum("pi,pj->ij", pull, vector) / atoms.get_volume()
    return float((morse * switch).sum() - 0.1 * atoms.numbers.sum()), forces, stress


def mock_calculator(delay_s: float = 0.0, fail_every: int = 0) -> Calculator:
    """Return an ASE calculator of the mock potential; every ``fail_every``-th call raises."""
    from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
    from ase.stress import full_3x3_to_voigt_6_stress

    class MockCalculator(Calculator):
        """The mock potential as an ASE calculator."""

        implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012 - ASE's interface
        calls = 0

        def calculate(
            self, atoms: Atoms | None = None, properties: Sequence[str] = ("energy",),
            system_changes: Sequence[str] = tuple(all_changes),
        ) -> None:
            """Compute everything, or fail as told."""
            super().calculate(atoms, properties, system_changes)
            self.calls += 1
            time.sleep(delay_s)
            if fail_every and self.calls % fail_every == 0:
                raise CalculationFailed(f"the mock labeler fails every {fail_every}th time, as told")
            energy, forces, stress = mock_energy(cast("Atoms", self.atoms))
            self.results = {"energy": energy, "forces": forces, "stress": full_3x3_to_voigt_6_stress(stress)}

    return MockCalculator()


class MockPotential:
    """The labeler of kind ``mock``."""

    batch = 1

    def __init__(self, settings: MockLabeler) -> None:
        self.settings = settings

    def label(self, frames: Sequence[Atoms], work: Path | None = None) -> list[LabelResult]:
        """Label frames; with ``fail_every`` those whose number (``info["frame"]``, else the position) is due fail."""
        results = []
        for position, atoms in enumerate(frames):
            number = int(atoms.info.get("frame", position)) + 1
            if self.settings.fail_every and number % self.settings.fail_every == 0:
                time.sleep(self.settings.delay_s)
                results.append(LabelResult(None, "failed", "the mock labeler fails here, as told"))
            else:
                results.append(label_with_calculator(atoms, mock_calculator(self.settings.delay_s)))
        return results

    def calculator(self) -> Calculator:
        """Return a new calculator, which fails at every ``fail_every``-th call."""
        return mock_calculator(self.settings.delay_s, self.settings.fail_every)
