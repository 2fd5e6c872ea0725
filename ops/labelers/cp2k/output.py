"""The output of CP2K: numbers read with cp2kdata, and whether they are valid labels.

Only the readers of cp2kdata for single blocks are used. Its reader of whole runs takes the cell from the output (three
decimals), counts an inner SCF loop as convergence, cannot read interrupted runs, and ends the process if it does not
find the run type.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOT_CONVERGED = "the SCF did not converge"
ENERGY_LINE = "ENERGY| Total FORCE_EVAL"
_BOX = re.compile(r"^ \*(?P<text>.*)\*$")
_ART = re.compile(r"^\s*(\[ABORT\]|\\___/|___|/\s+\\|\||O/\||/\| \||/ \\)\s*")
_PLACE = re.compile(r"(^|\s)\s*[\w/]+\.F:\d+\s*$")


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of energy and forces.

    Attributes
    ----------
    energy : float
        eV.
    forces : ndarray, shape (n, 3)
        eV/A.
    stress : ndarray, shape (3, 3)
        eV/A^3, positive when the cell tends to contract (ASE's sign; CP2K prints the opposite one).
    converged : bool
        Whether self-consistency was reached.
    """

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]
    converged: bool


class OutputError(Exception):
    """The output is incomplete."""


def read_evaluations(text: str, *, partial: bool = False) -> list[Evaluation]:
    """Return all evaluations in an output, in order.

    Parameters
    ----------
    text : str
        Standard output of CP2K.
    partial : bool
        The run was interrupted: an incomplete last evaluation is not an error.

    Raises
    ------
    OutputError
        Energy, forces or stress are missing.
    """
    logging.getLogger("cp2kdata").setLevel(logging.ERROR)
    from cp2kdata.block_parser.energies import parse_energies_list
    from cp2kdata.block_parser.forces import parse_atomic_forces_list
    from cp2kdata.block_parser.stress import parse_stress_tensor_list
    from dpdata.unit import EnergyConversion, ForceConversion, PressureConversion

    if partial:
        text = _without_cut_forces(text)
    found = {
        "energy": parse_energies_list(text), "forces": parse_atomic_forces_list(text),
        "stress": parse_stress_tensor_list(text),
    }
    if partial:
        found = {name: np.empty(0) if values is None else values for name, values in found.items()}
    for name, values in found.items():
        if values is None:
            raise OutputError(f"no {name} in the output")
    counts = {name: len(values) for name, values in found.items()}
    if len(set(counts.values())) > 1 and not partial:
        raise OutputError("the output is incomplete: " + ", ".join(f"{n} x {name}" for name, n in counts.items()))
    n = min(counts.values())
    energies = found["energy"][:n] * EnergyConversion("hartree", "eV").value()
    forces = found["forces"][:n] * ForceConversion("hartree/bohr", "eV/angstrom").value()
    stresses = found["stress"][:n] / PressureConversion("eV/angstrom^3", "GPa").value()
    return [
        Evaluation(float(energy), force, -stress, converged)
        for energy, force, stress, converged in zip(energies, forces, stresses, _converged(text)[:n], strict=True)
    ]


def _without_cut_forces(text: str) -> str:
    """Return the output without a truncated last table of forces, which would not match the others in length."""
    start = text.rfind("ATOMIC FORCES in")
    return text[:start] if start >= 0 and "SUM OF ATOMIC FORCES" not in text[start:] else text


def _converged(text: str) -> list[bool]:
    """Return for each energy whether the SCF before it converged.

    With an outer loop (orbital transformation) only its convergence counts, not that of the inner loops.
    """
    verdicts = []
    for part in text.split(ENERGY_LINE)[:-1]:
        if "outer SCF loop converged" in part:
            verdicts.append(True)
        elif "outer SCF loop FAILED" in part or "SCF run NOT converged" in part:
            verdicts.append(False)
        else:
            verdicts.append("SCF run converged" in part)
    return verdicts


def has_ended(text: str) -> bool:
    """Return whether CP2K came to its regular end."""
    return "PROGRAM ENDED AT" in text[-4000:]


def why_it_stopped(text: str) -> str:
    """Return why a run has no result, in one line; empty if the output does not say."""
    if "SCF run NOT converged" in text:
        return NOT_CONVERGED
    if "outside chemical" in text:
        return "GFN1-xTB: atomic charges are outside the chemical range; the method is not suitable for this system"
    message = _abort_message(text)
    return f"CP2K: {message}" if message else ""


def _abort_message(text: str) -> str:
    """Return the text of the box in which CP2K reports why it stops, without the drawing next to it."""
    position = text.rfind("[ABORT]")
    if position < 0:
        return ""
    words = []
    for line in text[text.rfind("\n", 0, position) + 1:].splitlines():
        box = _BOX.match(line)
        if not box or set(box["text"].strip()) == {"*"}:
            break
        words.append(_PLACE.sub("", _ART.sub("", box["text"])).strip())
    return " ".join(" ".join(words).split())
