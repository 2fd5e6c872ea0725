"""An analytic pair potential for tests: smooth, conservative, deterministic and unphysical."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.labelers.base import LabelResult, label_with_calculator
from dpa_sse.ops.labelers.dynamics import CalculatorLabeler
from dpa_sse.ops.labelers.settings import MockSettings
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.ops.structures.neighbour_list import neighbour_pairs

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
    covalent radii and a quintic switch s; plus -0.1 eV per unit of atomic number, to make compositions differ.
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


def fail(failure: str) -> None:
    """Fail in one of the ways that say nothing about the frame."""
    from ase.calculators.calculator import CalculationFailed

    if failure == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if failure == "hang":
        while True:
            time.sleep(60)
    raise CalculationFailed(f"the mock labeler fails here ({failure}), as requested")


def mock_calculator(delay_s: float = 0.0, fail_every: int = 0, failure: str = "error") -> Calculator:
    """Return an ASE calculator of the mock potential; every ``fail_every``-th call fails."""
    from ase.calculators.calculator import Calculator, all_changes
    from ase.stress import full_3x3_to_voigt_6_stress

    class MockCalculator(Calculator):
        """The mock potential as an ASE calculator."""

        implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012 - ASE's interface
        calls = 0

        def calculate(
            self, atoms: Atoms | None = None, properties: Sequence[str] = ("energy",),
            system_changes: Sequence[str] = tuple(all_changes),
        ) -> None:
            """Compute everything, or fail as requested."""
            super().calculate(atoms, properties, system_changes)
            self.calls += 1
            time.sleep(delay_s)
            due = fail_every and self.calls % fail_every == 0
            if due and failure != "nan":
                fail(failure)
            energy, forces, stress = mock_energy(cast("Atoms", self.atoms))
            factor = np.nan if due else 1.0
            self.results = {
                "energy": energy, "forces": forces * factor, "stress": full_3x3_to_voigt_6_stress(stress),
            }

    return MockCalculator()


class MockLabeler(CalculatorLabeler[MockSettings]):
    """The labeler of kind ``mock``."""

    settings_class = MockSettings
    code = "mock"
    example = "{kind: mock}"

    def label(self, frames: Sequence[Atoms], work: Path | None = None) -> list[LabelResult]:
        """Label frames; with ``fail_every`` every n-th one fails, counted by ``info["frame"]``, else by position."""
        return [
            self._label(atoms, int(atoms.info.get("frame", position)), work) for position, atoms in enumerate(frames)
        ]

    def level(self, frames: Sequence[Atoms]) -> LevelOfTheory:
        """Return the name of the potential and the numbers that define it."""
        return LevelOfTheory(code="mock", settings={
            "depth_eV": f"{DEPTH_EV:g}", "stiffness_per_A": f"{STIFFNESS:g}", "cutoff_A": f"{CUTOFF_A:g}",
        })

    def calculator(self, work: Path | None = None) -> Calculator:
        """Return a new calculator, which fails at every ``fail_every``-th call."""
        return mock_calculator(self.settings.delay_s, self.settings.fail_every, self.settings.failure)

    def _label(self, atoms: Atoms, number: int, work: Path | None) -> LabelResult:
        every, failure = self.settings.fail_every, self.settings.failure
        if not every or (number + 1) % every:
            return label_with_calculator(atoms, mock_calculator(self.settings.delay_s))
        if failure in ("crash", "hang"):
            mark = (work or Path()) / f"frame.{number:05d}.{failure}"
            if mark.is_file():  # like a lost node: the second attempt succeeds
                return label_with_calculator(atoms, mock_calculator(self.settings.delay_s))
            write_text(mark, "")
        if failure == "not converged":
            time.sleep(self.settings.delay_s)
            return LabelResult(None, "not converged", "the mock labeler does not converge here, as requested")
        return label_with_calculator(atoms, mock_calculator(self.settings.delay_s, 1, failure))
