"""Whether a step is self-consistent: one judge for the labelers and for the readers of other people's outputs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

HARD_STOP = "hard stop encountered"
"""VASP's words when STOPCAR (LABORT) ends it inside a self-consistency cycle."""
NOT_REACHED = "EDIFF was not reached"
"""VASP 6's words at the end of a step without self-consistency."""
MANY_EDIFF = 10.0  # the change of the energy in the last cycle of a step that was stopped is larger than this x EDIFF

CP2K_ENERGY_LINE = "ENERGY| Total FORCE_EVAL"
_REST_OF_ENERGY_LINE = re.compile(r" \([^)\n]*\) energy\b")
"""2025 and newer versions may print a gap and a free energy in the same words after the energy."""


def vasp_fault(cycles: int, nelm: int, *, stopped_inside: bool = False) -> str:
    """Return why an ionic step of VASP is not self-consistent; empty if it is.

    Parameters
    ----------
    cycles : int
        Electronic steps that were done.
    nelm : int
        Their limit; a step that reaches it counts as not converged.
    stopped_inside : bool
        STOPCAR ended the cycle.
    """
    if cycles >= nelm:
        return f"no self-consistency after {cycles} electronic steps (NELM)"
    return f"stopped by STOPCAR after {cycles} electronic steps" if stopped_inside else ""


def ends_inside_a_cycle(energies: Sequence[float], ediff: float) -> bool:
    """Return whether the energies (eV) of the electronic steps end before they change by less than EDIFF.

    It tells a stop by LABORT where only vasprun.xml is left, which does not report it.
    """
    return len(energies) > 1 and ediff > 0 and abs(energies[-1] - energies[-2]) > MANY_EDIFF * ediff


def cp2k_converged(text: str) -> list[bool]:
    """Return for each energy in an output of CP2K whether the SCF before it converged.

    With an outer loop (orbital transformation) only its convergence counts, not that of the inner loops.
    """
    verdicts = []
    parts = text.split(CP2K_ENERGY_LINE)
    for part in [part for part, after in pairwise(parts) if _REST_OF_ENERGY_LINE.match(after)]:
        if "outer SCF loop FAILED" in part or "SCF run NOT converged" in part:
            verdicts.append("outer SCF loop converged" in part and "outer SCF loop FAILED" not in part)
        else:
            verdicts.append("outer SCF loop converged" in part or "SCF run converged" in part)
    return verdicts
