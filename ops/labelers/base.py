"""What every labeler offers: single points with a verdict per frame, and a calculator for molecular dynamics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from ops.errors import TransientError
from ops.files import read_json

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

FrameStatus = Literal["ok", "not converged", "failed"]


@dataclass(frozen=True)
class LabelResult:
    """Outcome for one frame: labelled atoms when ``status`` is ok, else the reason."""

    atoms: Atoms | None
    status: FrameStatus = "ok"
    reason: str = ""


class Labeler(Protocol):
    """A source of energies (eV), forces (eV/A) and stresses (eV/A^3, ASE sign)."""

    def label(self, frames: Sequence[Atoms]) -> list[LabelResult]:
        """Return one result per frame, in order; a bad frame does not raise."""
        ...

    def calculator(self) -> Calculator:
        """Return an ASE calculator for molecular dynamics."""
        ...


def with_results(atoms: Atoms, energy: float, forces: np.ndarray, stress: np.ndarray) -> Atoms:
    """Return a copy of ``atoms`` that carries labels.

    Parameters
    ----------
    atoms : Atoms
        Positions, cell and info are copied.
    energy : float
        eV.
    forces : ndarray, shape (n, 3)
        eV/A.
    stress : ndarray, shape (6,) or (3, 3)
        eV/A^3, positive when the cell wants to contract (ASE); the virial is -stress * volume.
    """
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.stress import full_3x3_to_voigt_6_stress

    stress = np.asarray(stress, float)
    labelled = atoms.copy()
    labelled.calc = SinglePointCalculator(
        labelled, energy=float(energy), forces=np.array(forces, float),
        stress=full_3x3_to_voigt_6_stress(stress) if stress.shape == (3, 3) else stress.copy(),
    )
    return labelled


def label_with_calculator(atoms: Atoms, calculator: Calculator) -> LabelResult:
    """Return the single point of one frame; whatever the calculator raises becomes the reason of a failure."""
    work = atoms.copy()
    work.calc = calculator
    try:
        energy, forces, stress = work.get_potential_energy(), work.get_forces(), work.get_stress()
    except TransientError:
        raise
    except Exception as error:  # any calculator, any exception: one bad frame must not lose the others
        return LabelResult(None, "failed", one_line(error))
    if not (np.isfinite(energy) and np.isfinite(forces).all() and np.isfinite(stress).all()):
        return LabelResult(None, "failed", "the calculator returned NaN or infinite numbers")
    return LabelResult(with_results(atoms, energy, forces, stress))


def one_line(error: BaseException) -> str:
    """Return the type and the first line of an error."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def is_finished(out: Path) -> bool:
    """Return whether a task has its result; one that failed as a whole is tried again."""
    path = out / "status.json"
    return path.is_file() and read_json(path)["status"] != "failed"


def status_record(items: Sequence[tuple[FrameStatus, str]]) -> dict[str, Any]:
    """Return the content of ``status.json`` for the items of one task, in order."""
    good = sum(status == "ok" for status, _ in items)
    reasons = sorted({reason or status for status, reason in items if status != "ok"})
    overall = "empty" if not items else "ok" if good == len(items) else "partial" if good else "failed"
    return {
        "status": overall, "reason": "; ".join(reasons),
        "items": [{"index": k, "status": status, "reason": reason} for k, (status, reason) in enumerate(items)],
    }
