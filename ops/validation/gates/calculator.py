"""A potential behind ASE's optimisers and chains of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from dpa_sse.ops.validation.gates.base import Potential

if TYPE_CHECKING:
    from ase import Atoms

STEP_A = 0.1
"""Largest displacement of an atom in a step of a relaxation."""


class NotNumbersError(Exception):
    """A potential gave energies or forces that are not numbers; ``whose`` is its name."""

    def __init__(self, whose: str) -> None:
        super().__init__(f"energy or forces of {whose} are not numbers")
        self.whose = whose


class GateCalculator(Calculator):
    """A potential as a calculator of ASE.

    Parameters
    ----------
    potential : Potential

    Raises
    ------
    NotNumbersError
        While it calculates.
    """

    implemented_properties = ["energy", "forces"]  # noqa: RUF012  (as ASE declares it)

    def __init__(self, potential: Potential) -> None:
        super().__init__()
        self.potential = potential

    def calculate(
        self, atoms: Atoms | None = None, properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Fill in energy and forces."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None  # noqa: S101  (the base class has copied them)
        labels = self.potential.of_atoms([self.atoms])
        if not labels.finite.all():
            raise NotNumbersError(self.potential.name)
        self.results = {"energy": float(labels.energy[0]), "forces": labels.force[0].copy()}


def relaxed(
    potential: Potential, atoms: Atoms, force_eV_A: float, steps: int, *, symmetric: bool = False
) -> tuple[Atoms, float]:
    """Relax the positions in a fixed cell.

    Parameters
    ----------
    potential : Potential
    atoms : Atoms
    force_eV_A : float
        Largest force on an atom at the end.
    steps : int
        At most.
    symmetric : bool
        Keep the symmetry of the cell.

    Returns
    -------
    tuple of Atoms and float
        The cell, and the largest force that is left, eV/A.
    """
    from ase.constraints import FixSymmetry
    from ase.optimize import FIRE

    found = atoms.copy()
    found.calc = GateCalculator(potential)
    if symmetric:
        found.set_constraint(FixSymmetry(found, symprec=1e-3, adjust_positions=False, adjust_cell=False))
    optimizer: Any = FIRE(found, logfile=None, maxstep=STEP_A)
    optimizer.run(fmax=force_eV_A, steps=steps)
    left = float(np.sqrt((found.get_forces() ** 2).sum(axis=1)).max())
    plain = atoms.copy()
    plain.positions[:] = found.positions
    return plain, left
