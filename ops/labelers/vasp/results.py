"""The results of VASP: one verdict per ionic step, read from vasprun.xml with pymatgen."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.data.convergence import HARD_STOP, vasp_fault
from dpa_sse.ops.data.convert import with_results
from dpa_sse.ops.data.incar import LABEL_TAGS, Value, read_incar, same_value, tag_number, value_text
from dpa_sse.ops.labelers.base import LabelResult
from dpa_sse.ops.results.status import ItemStatus

if TYPE_CHECKING:
    from ase import Atoms

KB_IN_EV_A3 = 6.241509074e-4  # 1 kB = 0.1 GPa
MOVED_A = 1e-3
INCAR_USED, KPOINTS_ASKED, KPOINTS_USED = "INCAR.used", "KPOINTS.asked", "KPOINTS.used"
"""Copies made when VASP starts: custodian corrects INCAR and KPOINTS in place."""


@dataclass(frozen=True)
class IonicStep:
    """One ionic step, atoms in the order of the POSCAR.

    Attributes
    ----------
    cell : ndarray, shape (3, 3)
    fractional : ndarray, shape (n, 3)
    energy : float
        Free energy, eV: the quantity whose derivatives the forces are, also with smearing.
    forces : ndarray, shape (n, 3)
        eV/A.
    stress : ndarray, shape (3, 3)
        eV/A^3 in ASE's sign, the opposite of VASP's.
    status, reason
        Verdict.
    """

    cell: NDArray[np.float64]
    fractional: NDArray[np.float64]
    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]
    status: ItemStatus = "ok"
    reason: str = ""


@dataclass(frozen=True)
class Reading:
    """The complete ionic steps of a vasprun.xml.

    Attributes
    ----------
    problem : str
        What is wrong with the file as a whole (missing, truncated, other settings); empty if it is complete.
    usable : bool
        Whether the steps may be used anyway.
    other_settings : bool
        The settings are not those that were requested; another attempt would not help.
    """

    steps: list[IonicStep] = field(default_factory=list)
    problem: str = ""
    usable: bool = True
    other_settings: bool = False


def read_steps(folder: Path, symbols: Sequence[str], tags: Mapping[str, Value]) -> Reading:
    """Read ``vasprun.xml`` of a calculation.

    Parameters
    ----------
    folder : Path
        Folder of the calculation.
    symbols : sequence of str
        Elements in the order of the POSCAR.
    tags : mapping
        The requested INCAR.
    """
    path = folder / "vasprun.xml"
    path = path if path.is_file() else path.with_name("vasprun.xml.gz")
    if not path.is_file() or not path.stat().st_size:
        return Reading(problem="VASP wrote no vasprun.xml", usable=False)
    run, complete, problem = _parse(path)
    if run is None:
        return Reading(problem=problem, usable=False)
    if list(run.atomic_symbols) != list(symbols):
        return Reading(problem="vasprun.xml belongs to another cell", usable=False)
    encut = tag_number(tags, "ENCUT", 0.0)
    if abs(float(run.parameters.get("ENMAX", encut)) - encut) > 0.01:
        used = f"VASP used ENCUT = {run.parameters['ENMAX']:g} eV, not {encut:g} eV"
        return Reading(problem=used, usable=False, other_settings=True)
    echo = {name: value for name, value in run.incar.items() if isinstance(value, (bool, int, float, str))}
    given = {tag.name: tag.value for tag in read_incar(_text(folder / INCAR_USED))}
    changed = changed_tag(tags, given) or changed_tag(tags, echo, both=True)
    if not changed and _text(folder / KPOINTS_ASKED) != _text(folder / KPOINTS_USED):
        changed = "the k-mesh was changed: not comparable to the other labels"
    if changed:
        return Reading(problem=changed, usable=False, other_settings=True)
    nelm = int(run.parameters.get("NELM", 60))
    stopped_inside = HARD_STOP in _text(folder / "OUTCAR")
    steps = []
    for number, data in enumerate(run.ionic_steps):
        last = number == len(run.ionic_steps) - 1
        steps.append(_step(data, len(symbols), nelm, stopped_inside=stopped_inside and last))
    return Reading(steps, "" if complete else "vasprun.xml is truncated")


def _parse(path: Path) -> tuple[Any, bool, str]:
    """Return pymatgen's view of the file, whether it is complete, and what is wrong with it."""
    from pymatgen.io.vasp.outputs import Vasprun

    reason = "vasprun.xml cannot be read"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for strict in (True, False):
            try:
                run = Vasprun(
                    path, parse_dos=False, parse_eigen=False, parse_potcar_file=False, exception_on_bad_xml=strict,
                )
            except Exception as error:  # broken output makes the parser raise anything
                reason = f"vasprun.xml cannot be read ({type(error).__name__})"
            else:
                return run, strict, ""
    if not _text(path, compressed=True).rstrip().endswith("</modeling>"):
        reason = "vasprun.xml is truncated"
    return None, False, reason


def changed_tag(tags: Mapping[str, Value], used: Mapping[str, Value], *, both: bool = False) -> str:
    """Return how a calculation differs from the requested one (empty: it does not).

    Parameters
    ----------
    tags : mapping
        The requested INCAR.
    used : mapping
        The tags that were used: the INCAR after corrections, or the echo in vasprun.xml.
    both : bool
        Compare only tags that are in both.
    """
    for name in LABEL_TAGS:
        before, after = tags.get(name), used.get(name)
        missing = (before is None) + (after is None)
        if missing == 2 or (missing and both):
            continue
        if before is None or after is None or not same_value(name, before, after):
            words = ["unset" if value is None else value_text(value) for value in (before, after)]
            return f"{name} was changed from {words[0]} to {words[1]}: not comparable to the other labels"
    return ""


def _step(data: Mapping[str, Any], count: int, nelm: int, *, stopped_inside: bool) -> IonicStep:
    """Return one ionic step with its verdict."""
    structure = data.get("structure")
    empty = np.full((count, 3), np.nan)
    cell = np.array(structure.lattice.matrix) if structure is not None else np.full((3, 3), np.nan)
    fractional = np.array(structure.frac_coords) if structure is not None else empty
    energy = float(data.get("e_fr_energy", np.nan))
    forces, kilobar = _array(data, "forces", (count, 3)), _array(data, "stress", (3, 3))
    cycles = len(data.get("electronic_steps", []))
    status: ItemStatus = "ok"
    reason = ""
    if fault := vasp_fault(cycles, nelm, stopped_inside=stopped_inside):
        status, reason = "not converged", fault
    elif structure is None or forces is None:
        status, reason = "failed", "vasprun.xml has no forces"
    elif kilobar is None:
        status, reason = "failed", "vasprun.xml has no stress (ISIF)"
    elif not (np.isfinite(energy) and np.isfinite(forces).all() and np.isfinite(kilobar).all()):
        status, reason = "failed", "energy, forces or stress are not finite numbers"
    return IonicStep(
        cell, fractional, energy, empty if forces is None else forces,
        np.full((3, 3), np.nan) if kilobar is None else -kilobar * KB_IN_EV_A3, status, reason,
    )


def _array(data: Mapping[str, Any], name: str, shape: tuple[int, int]) -> NDArray[np.float64] | None:
    values = np.array(data.get(name, []), float)
    return values if values.shape == shape else None


def _text(path: Path, *, compressed: bool = False) -> str:
    if compressed and path.suffix == ".gz":
        return gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def label_of(atoms: Atoms, order: NDArray[np.int_], step: IonicStep) -> LabelResult:
    """Return the label of a frame; the positions are those of the frame, to the last bit.

    Parameters
    ----------
    atoms : Atoms
        The frame.
    order : ndarray of int, shape (n,)
        Order of its atoms in the POSCAR.
    step : IonicStep
        The result of VASP.
    """
    if step.status != "ok":
        return LabelResult(None, step.status, step.reason)
    shift = step.fractional - atoms.get_scaled_positions(wrap=False)[order]
    moved = np.linalg.norm((shift - np.round(shift)) @ step.cell, axis=1).max()
    if moved > MOVED_A or np.abs(step.cell - atoms.cell.array).max() > MOVED_A:
        return LabelResult(None, "failed", f"VASP computed another cell (atoms differ by {moved:.3f} A)")
    forces = np.empty_like(step.forces)
    forces[order] = step.forces
    return LabelResult(with_results(atoms, step.energy, forces, step.stress))
