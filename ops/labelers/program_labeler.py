"""Labelers whose program computes one cell per run; ASE integrates the equations of motion."""

from __future__ import annotations

import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.labelers.base import LabelResult, SettingsT, finite_label
from dpa_sse.ops.labelers.dynamics import CalculatorLabeler
from dpa_sse.ops.labelers.programs import NotConvergedError, RunError

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

SAME_PLACE_A = 1e-3


@dataclass(frozen=True)
class SinglePoint:
    """What a program printed for one cell, atoms in the order of the frame.

    Attributes
    ----------
    energy : float
        eV; the quantity whose derivatives the forces are (with smearing: the free energy).
    forces : ndarray, shape (n, 3)
        eV/A.
    stress : ndarray, shape (6,) or (3, 3)
        eV/A^3, ASE's sign.
    """

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]


class ProgramLabeler(CalculatorLabeler[SettingsT]):
    """A labeler that writes input files, runs a program, and reads its output, for one cell at a time.

    Class attributes
    ----------------
    program : str
        Name of the program, for messages.
    """

    program: ClassVar[str]

    @abstractmethod
    def prepare(self) -> None:
        """Look for the program and its data, once per process.

        Raises
        ------
        InputError
            Something is missing.
        """

    @abstractmethod
    def single_point(self, atoms: Atoms, folder: Path) -> SinglePoint:
        """Compute one cell in a new folder.

        Raises
        ------
        RunError
            There is no result for this cell (:class:`NotConvergedError`: self-consistency was not reached).
        TransientError, FatalError
            As for :meth:`Labeler.label`.
        InputError
            The cell has an element without potential.
        """

    def label(self, frames: Sequence[Atoms], work: Path) -> list[LabelResult]:
        """Label frames one after the other; inputs and outputs stay in ``work/frame.<number>``."""
        self._check()
        return [
            self._label(atoms, work / f"frame.{int(atoms.info.get('frame', position)):05d}")
            for position, atoms in enumerate(frames)
        ]

    def calculator(self, work: Path | None = None) -> Calculator:
        """Return a calculator that runs the program in ``work/md`` for each step, where the last one stays."""
        from ase.calculators.calculator import Calculator, all_changes
        from ase.stress import full_3x3_to_voigt_6_stress

        self._check()
        labeler = self

        class ProgramCalculator(Calculator):
            """One run of the program per call."""

            implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012 - ASE's interface
            temporary = tempfile.TemporaryDirectory() if work is None else None
            folder = Path(temporary.name if temporary else work or "") / "md"

            def calculate(
                self, atoms: Atoms | None = None, properties: Sequence[str] = ("energy",),
                system_changes: Sequence[str] = tuple(all_changes),
            ) -> None:
                """Fill ``results``."""
                super().calculate(atoms, properties, system_changes)
                assert self.atoms is not None  # noqa: S101 - for the type checker
                made = labeler.fresh(self.atoms, self.folder)
                stress = np.asarray(made.stress)
                self.results = {
                    "energy": made.energy, "forces": made.forces,
                    "stress": full_3x3_to_voigt_6_stress(stress) if stress.shape == (3, 3) else stress,
                }

        return ProgramCalculator()

    def fresh(self, atoms: Atoms, folder: Path) -> SinglePoint:
        """Compute one cell in a folder that is emptied first."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return self.single_point(atoms, folder)

    def _check(self) -> None:
        try:
            self.prepare()
        except InputError as error:
            raise FatalError(f"labeler {self.settings.kind}: {error}") from error

    def _label(self, atoms: Atoms, folder: Path) -> LabelResult:
        try:
            made = self.fresh(atoms, folder)
        except NotConvergedError as error:
            return LabelResult(None, "not converged", str(error))
        except (RunError, InputError) as error:
            return LabelResult(None, "failed", str(error))
        return finite_label(atoms, made.energy, made.forces, made.stress, self.program)


def check_cell(atoms: Atoms, symbols: Sequence[str], positions: ArrayLike, cell: ArrayLike, program: str) -> None:
    """Make sure that an output belongs to a frame.

    Parameters
    ----------
    atoms : Atoms
        The frame.
    symbols : sequence of str
        Elements in the output.
    positions, cell : array_like
        A; positions may differ by lattice vectors.
    program : str
        For the message.

    Raises
    ------
    RunError
        It does not.
    """
    if list(symbols) != atoms.get_chemical_symbols():
        raise RunError(f"{program} computed other atoms than those of the frame")
    lattice, shift = atoms.cell.array, np.asarray(positions, float) - atoms.positions
    steps = shift @ np.linalg.inv(lattice)
    moved = float(np.linalg.norm((steps - np.round(steps)) @ lattice, axis=1).max())
    if not moved < SAME_PLACE_A or not np.abs(np.asarray(cell, float) - lattice).max() < SAME_PLACE_A:
        raise RunError(f"{program} computed another cell than that of the frame")
