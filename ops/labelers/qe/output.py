"""The output of pw.x as a label, read by ASE; and why a run has none."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.labelers.program_labeler import SinglePoint, check_cell
from dpa_sse.ops.labelers.programs import NotConvergedError, RunError

if TYPE_CHECKING:
    from ase import Atoms

NOT_CONVERGED = "the SCF did not converge"
_ERROR = re.compile(r"Error in routine\s+(\S+)\s+\(-?\d+\):\s*\n\s*(.+)")
_FUNCTIONAL = re.compile(r"^\s*Exchange-correlation\s*=\s*(.+?)\s*(?:\(.*)?$", re.MULTILINE)


def why_it_stopped(text: str) -> str:
    """Return why a run has no result, in one line; empty if the output does not say."""
    if "convergence NOT achieved" in text:
        return NOT_CONVERGED
    found = _ERROR.search(text)
    if found:
        return f"pw.x: {found[2].strip()} ({found[1]})"
    return "pw.x was stopped from outside (max_seconds, or a file EXIT)" if "Maximum CPU time exceeded" in text else ""


def read_single_point(text: str, atoms: Atoms, functional: str) -> SinglePoint:
    """Return energy, forces and stress of a finished run.

    The energy is pw.x's total energy; with smearing that is the free energy F = E - TS, whose derivatives the forces
    and the stress are.

    Parameters
    ----------
    text : str
        The output.
    atoms : Atoms
        The frame that it must belong to.
    functional : str
        PBEsol or PBE, as it was asked for.

    Raises
    ------
    NotConvergedError
        Self-consistency was not reached.
    RunError
        The output is incomplete, or belongs to something else.
    """
    if "convergence NOT achieved" in text:
        raise NotConvergedError(NOT_CONVERGED)
    if "JOB DONE" not in text[-4000:]:
        raise RunError(why_it_stopped(text) or "the output of pw.x is truncated")
    if "convergence has been achieved" not in text:
        raise RunError(why_it_stopped(text) or "pw.x ended before self-consistency")
    used = _FUNCTIONAL.findall(text)
    if not used or used[-1].split()[0].upper() != functional.upper():
        raise RunError(f"pw.x used the functional {used[-1] if used else 'that it does not name'}, not {functional}")
    from ase.io.espresso import read_espresso_out

    try:
        (made,) = read_espresso_out(io.StringIO(text), index=slice(None))
        results = made.calc.results
    except Exception as error:  # broken output makes the parser raise anything
        raise RunError(f"the output of pw.x cannot be read ({type(error).__name__})") from error
    for name, key in (("energy", "free_energy"), ("forces", "forces"), ("stress", "stress")):
        if results.get(key) is None:
            raise RunError(f"no {name} in the output of pw.x")
    check_cell(atoms, made.get_chemical_symbols(), made.positions, made.cell.array, "pw.x")
    return SinglePoint(float(results["free_energy"]), np.array(results["forces"]), np.array(results["stress"]))
