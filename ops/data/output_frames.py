"""The labelled steps of one calculation, as the readers of VASP and CP2K return them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.data.account import Account
from dpa_sse.ops.data.frames import SystemData, type_indices
from dpa_sse.ops.results.dataset import SPLITS
from dpa_sse.ops.results.level import LevelOfTheory


@dataclass
class LabelledStep:
    """One valid label: positions and cell in A, energy in eV, forces in eV/A, virial in eV (None: not printed)."""

    coord: NDArray[np.float64]
    box: NDArray[np.float64]
    energy: float
    force: NDArray[np.float64]
    virial: NDArray[np.float64] | None


@dataclass
class OutputFrames:
    """The valid labels of one calculation, its account and its level of theory."""

    elements: list[str]
    account: Account
    steps: list[LabelledStep] = field(default_factory=list)
    level: LevelOfTheory | None = None

    def add(self, step: LabelledStep) -> None:
        """Take a step, or leave it out if its numbers are not finite or its cell has no volume."""
        arrays = [step.coord, step.box, step.force, np.array(step.energy)]
        if step.virial is not None:
            arrays.append(step.virial)
        if not all(np.isfinite(values).all() for values in arrays):
            self.account.leave_out("with numbers that are not finite")
        elif abs(np.linalg.det(step.box)) < 1e-3:
            self.account.leave_out("with a cell without volume")
        else:
            if np.linalg.det(step.box) < 0:
                step.box = step.box[[1, 0, 2]]
                self.account.note("the cell is left-handed: two of its vectors were exchanged")
            self.steps.append(step)
            self.account.taken += 1

    def blocks(self, type_map: list[str], trajectory: str) -> list[SystemData]:
        """Return the steps as blocks: with and without virial apart."""
        types = type_indices(self.elements, type_map, str(self.account.path))
        blocks = []
        for has in (True, False):
            own = [step for step in self.steps if (step.virial is not None) == has]
            if own:
                blocks.append(SystemData(
                    empirical_name(self.elements), SPLITS[0], types, np.array([one.coord for one in own]),
                    np.array([one.box for one in own]), np.array([one.energy for one in own]),
                    np.array([one.force for one in own]),
                    np.array([one.virial for one in own]) if has else None, [trajectory] * len(own),
                ))
        return blocks


def empirical_name(elements: list[str]) -> str:
    """Return the reduced formula, metals first."""
    from ase.formula import Formula

    counts: dict[str, int] = {}
    for one in elements:
        counts[one] = counts.get(one, 0) + 1
    return str(Formula.from_dict(counts).reduce()[0].format("metal"))
