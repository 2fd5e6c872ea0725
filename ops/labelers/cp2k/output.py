"""The output of CP2K as labels: evaluations in eV and A, and why a run has none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.data.cp2k_output import RawEvaluation, raw_evaluations

NOT_CONVERGED = "the SCF did not converge"
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
    from dpdata.unit import EnergyConversion, ForceConversion, PressureConversion

    found = raw_evaluations(text)
    if unknown := next((one.unknown_unit for one in found if one.unknown_unit), ""):
        raise OutputError(f"{unknown}, a unit that is not known (the template: FORCE_EVAL/PRINT)")
    if not partial:
        _check_complete(text, found)
    hartree = EnergyConversion("hartree", "eV").value()
    force_unit = ForceConversion("hartree/bohr", "eV/angstrom").value()
    gpa = PressureConversion("eV/angstrom^3", "GPa").value()
    made = []
    for one in found:
        if one.forces is None or one.stress is None:
            break  # the last one of an interrupted run
        made.append(Evaluation(one.energy * hartree, one.forces * force_unit, -one.stress / gpa, one.converged))
    return made


def _check_complete(text: str, found: Sequence[RawEvaluation]) -> None:
    counts = {
        "energy": len(found), "forces": sum(one.forces is not None for one in found),
        "stress": sum(one.stress is not None for one in found),
    }
    for name, count in counts.items():
        if not count:
            units = {one.stress_unit for one in found if one.stress_unit} if name == "stress" else set()
            known = f" in a known unit (it is in {', '.join(sorted(units))})" if units else ""
            raise OutputError(f"no {name} in the output{known}")
    if len(set(counts.values())) > 1:
        raise OutputError("the output is incomplete: " + ", ".join(f"{n} x {name}" for name, n in counts.items()))


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
