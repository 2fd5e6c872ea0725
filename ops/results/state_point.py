"""The state point of a simulation: what a number from it holds for."""

from __future__ import annotations

from dpa_sse.ops.results.base import ResultPart
from dpa_sse.ops.results.md import Ensemble, MdRun


class StatePoint(ResultPart):
    """Conditions of a molecular dynamics run, next to its temperature.

    Attributes
    ----------
    pressure_GPa : float
        Of the equilibration; the run itself may be at constant volume.
    ensemble : {"npt", "nvt", "nve"}
    n_atoms : int
    width_A : float or None
        Smallest distance between opposite faces of the cell.
    """

    pressure_GPa: float
    ensemble: Ensemble
    n_atoms: int
    width_A: float | None

    @classmethod
    def of(cls, run: MdRun) -> StatePoint:
        """Return the state point of a run."""
        return cls(
            pressure_GPa=run.pressure_GPa, ensemble=run.ensemble, n_atoms=run.n_atoms, width_A=run.width_A
        )

    @property
    def text(self) -> str:
        """In words: ``0 GPa, NVT, 52 atoms, 9.9 A wide``."""
        parts = [f"{self.pressure_GPa:g} GPa", self.ensemble.upper(), f"{self.n_atoms} atoms"]
        return ", ".join([*parts, *([f"{self.width_A:.1f} Å wide"] if self.width_A else [])])
