"""What CP2K has written: numbers through cp2kdata, and whether they are labels at all.

cp2kdata's readers of single blocks are used, not its reader of whole runs: that one takes the cell from the output
(three decimals), counts an inner SCF loop as convergence, reads no interrupted run, and ends the process when it does
not find the run type.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOT_CONVERGED = "the SCF has not converged"
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
        eV/A^3, positive when the cell wants to contract (ASE's sign; CP2K prints the opposite one).
    converged : bool
        Whether self-consistency was reached.
    """

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]
    converged: bool


class OutputError(Exception):
    """The output does not hold what it should."""


def read_evaluations(text: str, *, partial: bool = False) -> list[Evaluation]:
    """Return all evaluations in an output, in order.

    Parameters
    ----------
    text : str
        Standard output of CP2K.
    partial : bool
        The run was interrupted: what is missing of its last evaluation is no error.

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
        raise OutputError("the output is incomplete: " + ", ".join(f"{n} times {name}" for name, n in counts.items()))
    n = min(counts.values())
    energies = found["energy"][:n] * EnergyConversion("hartree", "eV").value()
    forces = found["forces"][:n] * ForceConversion("hartree/bohr", "eV/angstrom").value()
    stresses = found["stress"][:n] / PressureConversion("eV/angstrom^3", "GPa").value()
    return [
        Evaluation(float(energy), force, -stress, converged)
        for energy, force, stress, converged in zip(energies, forces, stresses, _converged(text)[:n], strict=True)
    ]


def _without_cut_forces(text: str) -> str:
    """Return the output up to a last table of forces that was cut off: with fewer rows it would fit no other one."""
    start = text.rfind("ATOMIC FORCES in")
    return text[:start] if start >= 0 and "SUM OF ATOMIC FORCES" not in text[start:] else text


def _converged(text: str) -> list[bool]:
    """Return for each energy whether the SCF before it has converged.

    With an outer loop (orbital transformation) inner loops may converge, or not, before the outer one does or does not.
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
    """Return why a run has no result, in one line; empty when the text does not tell."""
    if "SCF run NOT converged" in text:
        return NOT_CONVERGED
    if "outside chemical" in text:
        return "GFN1-xTB: the charges of atoms leave the chemical range; the method is not made for this system"
    message = _abort_message(text)
    return f"CP2K: {message}" if message else ""


def _abort_message(text: str) -> str:
    """Return the text in the box with which CP2K says why it stops, without the figure beside it."""
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
