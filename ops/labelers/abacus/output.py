"""The output of ABACUS (running_scf.log) as a label, read by dpdata; and why there is none."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.labelers.program_labeler import SinglePoint
from dpa_sse.ops.labelers.programs import NotConvergedError, RunError

NOT_CONVERGED = "the SCF did not converge"
_CONVERGED = re.compile(r"charge density convergence is achieved|#\s*SCF IS CONVERGED\s*#", re.IGNORECASE)
_UNCONVERGED = re.compile(r"convergence has not been achieved|SCF IS NOT CONVERGED", re.IGNORECASE)
_FORCE_TITLE = re.compile(r"TOTAL-FORCE\s*\(([^)]*)\)")
_STRESS_TITLE = re.compile(r"TOTAL-STRESS\s*\(([^)]*)\)")
_LABEL = re.compile(r"\s*([A-Z][a-z]?)([1-9]\d*)\s+[-+]?\d")
_ENDED = re.compile(r"finish\s+time|time\s+statistics", re.IGNORECASE)


def why_it_stopped(text: str) -> str:
    """Return why a run has no result, in one line; empty if the output does not say."""
    if _UNCONVERGED.search(text):
        return NOT_CONVERGED
    lines = [line.strip(" *!|-\t") for line in text.splitlines()]
    for number, line in enumerate(lines):
        if line == "NOTICE" or re.fullmatch(r"ERROR!?", line):
            words = next((one for one in lines[number + 1:] if one and not set(one) <= set("-!*")), "")
            return f"ABACUS: {words}" if words else ""
    return ""


def read_single_point(text: str, symbols: Sequence[str], order: NDArray[np.int_]) -> SinglePoint:
    """Return energy, forces and stress of a finished run, atoms in the order of the frame.

    The energy is the one that ABACUS minimizes, with the entropy of the smearing. ABACUS prints the stress with the
    sign of a pressure: positive when the cell tends to expand.

    Parameters
    ----------
    text : str
        ``running_scf.log``.
    symbols : sequence of str
        Elements of the frame.
    order : ndarray of int, shape (n,)
        The atoms of the frame in the order of STRU.

    Raises
    ------
    NotConvergedError
        Self-consistency was not reached.
    RunError
        The output is incomplete, or belongs to something else.
    """
    from dpdata.formats.abacus.scf import get_energy, get_force, get_stress

    if _UNCONVERGED.search(text):  # newer versions print energy, forces and stress all the same
        raise NotConvergedError(NOT_CONVERGED)
    if not _ENDED.search(text):
        raise RunError(why_it_stopped(text) or "the output of ABACUS is truncated")
    if not _CONVERGED.search(text):
        raise RunError("the output of ABACUS does not state that the SCF converged")
    lines = text.split("\n")
    _check_units(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            energy, _ = get_energy(lines)
            forces, stress = get_force(lines, len(symbols)), get_stress(lines)
    except Exception as error:  # broken output makes the parser raise anything
        raise RunError(f"the output of ABACUS cannot be read ({type(error).__name__})") from error
    for name, value in (("energy", energy), ("forces", forces), ("stress", stress)):
        if value is None:
            raise RunError(f"no {name} in the output of ABACUS")
    if forces.shape != (len(symbols), 3) or stress.shape != (3, 3):
        raise RunError("the output of ABACUS is truncated: forces or stress are incomplete")
    if _labels(lines, len(symbols)) != [symbols[k] for k in order]:
        raise RunError("ABACUS computed other atoms than those of the frame")
    ordered = np.empty_like(forces)
    ordered[order] = forces
    return SinglePoint(float(energy), ordered, -stress)


def _check_units(text: str) -> None:
    """Make sure that the last tables are in the units that dpdata takes them for."""
    for name, title, wanted in (("forces", _FORCE_TITLE, "ev/angstrom"), ("stress", _STRESS_TITLE, "kbar")):
        units = title.findall(text)
        if units and units[-1].strip().lower() != wanted:
            raise RunError(f"the {name} in the output of ABACUS are in {units[-1].strip()}, not in {wanted}")


def _labels(lines: Sequence[str], count: int) -> list[str]:
    """Return the elements in the last table of forces."""
    last = max(number for number, line in enumerate(lines) if "TOTAL-FORCE" in line)
    found = [match[1] for line in lines[last: last + count + 12] if (match := _LABEL.match(line))]
    return found[:count]
