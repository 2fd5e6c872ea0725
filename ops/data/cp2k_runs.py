"""Runs of CP2K by other people: single points, and molecular dynamics with its files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.account import NOT_CONVERGED, Account
from dpa_sse.ops.data.cp2k_output import (
    RawEvaluation,
    atoms_of,
    cell_of,
    cp2k_level,
    ensemble,
    project_name,
    raw_evaluations,
    run_type,
)
from dpa_sse.ops.data.level_of_theory import join_levels
from dpa_sse.ops.data.output_frames import LabelledStep, OutputFrames
from dpa_sse.ops.data.plain_text import read_text

SAME_ENERGY_HARTREE = 2e-8  # trajectories print ten decimals
SAME_CELL_A = 1e-3
SINGLE_POINTS = ("ENERGY_FORCE", "WAVEFUNCTION_OPTIMIZATION", "WFN_OPT", "")
_STEP = re.compile(r"\bi\s*=\s*(\d+)")
_ENERGY = re.compile(r"\bE\s*=\s*([+-]?\d+\.\d+)")
_POSITIONS = re.compile(r"(?P<project>.+)-pos-(?P<number>\d+)\.xyz")


def units() -> tuple[float, float, float]:
    """Return hartree in eV, hartree/bohr in eV/A, and GPa in eV/A^3."""
    from dpdata.unit import EnergyConversion, ForceConversion, PressureConversion

    return (
        EnergyConversion("hartree", "eV").value(), ForceConversion("hartree/bohr", "eV/angstrom").value(),
        1 / PressureConversion("eV/angstrom^3", "GPa").value(),
    )


def read_single_point(path: Path) -> OutputFrames:
    """Read the output of a single point.

    Raises
    ------
    InputError
        Another type of run, or atoms, cell, or forces are missing.
    """
    account = Account(path, "cp2k")
    text, cut = read_text(path)
    kind = run_type(text)
    if kind == "ENERGY":
        raise InputError(f"{path}: a CP2K run of type ENERGY computes no forces; labels need RUN_TYPE ENERGY_FORCE")
    if kind.startswith("M") and kind in ("MD", "MOLECULAR_DYNAMICS"):
        raise InputError(f"{path}: the log of a CP2K MD run without its *-pos-*.xyz: the positions are missing")
    if kind not in SINGLE_POINTS:
        raise InputError(
            f"{path}: a CP2K run of type {kind} prints positions to other files; only single points (ENERGY_FORCE) and "
            "molecular dynamics (MD) can be read"
        )
    made, atoms, cell = raw_evaluations(text), atoms_of(text), cell_of(text)
    if atoms is None or cell is None:
        what = "no readable list of atoms" if atoms is None else "no readable cell"
        raise InputError(f"{path}: not readable as cp2k, or truncated: {what}")
    frames = OutputFrames(atoms[0], account, level=cp2k_level(text))
    if len(made) > 1:
        raise InputError(f"{path}: {len(made)} energies for one list of positions: not a single point")
    for one in made:
        _take(frames, one, atoms[1], cell, one.forces)
    if not made and re.search(r"SCF run NOT converged|SCF WAVEFUNCTION OPTIMIZATION", text):
        account.leave_out(NOT_CONVERGED if "SCF run NOT converged" in text else "cut off")
    if cut:
        account.note("the file is truncated")
    return frames


def _take(
    frames: OutputFrames, made: RawEvaluation, positions: NDArray[np.float64], cell: NDArray[np.float64],
    forces: NDArray[np.float64] | None,
) -> None:
    """Take one evaluation, or count why it gives no label."""
    if not made.converged:
        frames.account.leave_out(NOT_CONVERGED)
        return
    if made.unknown_unit:
        frames.account.leave_out(f"{made.unknown_unit}, a unit that is not known")
        return
    if forces is None or forces.shape != (len(frames.elements), 3):
        frames.account.leave_out("without forces (print FORCE_EVAL/PRINT/FORCES)")
        return
    if made.stress_unit:
        frames.account.note(f"the stress is in {made.stress_unit}, which is not known: no virials")
    hartree, force_unit, gpa = units()
    volume = abs(float(np.linalg.det(cell)))
    virial = None if made.stress is None else made.stress * gpa * volume
    frames.add(LabelledStep(positions, cell, made.energy * hartree, forces * force_unit, virial))


@dataclass
class _Log:
    """One output of the run."""

    path: Path
    made: list[RawEvaluation]
    cell: NDArray[np.float64] | None
    elements: list[str] | None
    ensemble: str
    text: str


@dataclass(frozen=True)
class _Frame:
    step: int
    energy: float
    symbols: list[str]
    numbers: NDArray[np.float64]


def read_dynamics(positions: Path, logs: list[Path]) -> OutputFrames:
    """Read one molecular dynamics run: its ``*-pos-*.xyz`` with the outputs in the same folder.

    A step of the trajectory belongs to the evaluation with the same energy; cells come from ``*.cell``, else from the
    output if they do not change.

    Raises
    ------
    InputError
        No output fits the trajectory, or several fit it and contradict each other.
    """
    account = Account(positions, "cp2k-md")
    match = _POSITIONS.fullmatch(positions.name)
    project = match["project"] if match else positions.stem
    found, rest = _xyz_frames(positions)
    if not found:
        raise InputError(f"{positions}: no complete step in it")
    fitting = _fitting_logs(positions, project, [_read_log(log) for log in logs], found)
    elements = next((log.elements for log in fitting if log.elements is not None), None)
    if elements is None or len(elements) != len(found[0].symbols):
        raise InputError(f"{positions}: the output of CP2K has no readable list of the same atoms")
    frames = OutputFrames(elements, account, level=join_levels(cp2k_level(log.text) for log in fitting))
    cells = _cells(positions, project)
    forces = _force_file(positions, project)
    by_energy = sorted(
        ((one.energy, number, log) for log in fitting for number, one in enumerate(log.made)), key=lambda row: row[0]
    )
    energies = np.array([row[0] for row in by_energy])
    seen: set[int] = set()
    for frame in found:
        near = np.flatnonzero(np.abs(energies - frame.energy) < SAME_ENERGY_HARTREE)
        if frame.step in seen:
            account.leave_out("repeated after a restart")
            continue
        if not len(near) or len(frame.symbols) != len(elements):
            account.leave_out("not in the output of CP2K")
            continue
        seen.add(frame.step)
        _, number, log = by_energy[int(near[0])]
        cell = _cell_at(frame, cells, log, account)
        if cell is None:
            account.leave_out("without a cell: it changes, and there is no *.cell file (print MOTION/PRINT/CELL)")
            continue
        made = log.made[number]
        _take(frames, made, frame.numbers, cell, made.forces if made.forces is not None else forces.get(frame.step))
    account.leave_out("cut off or broken", rest)
    return frames


def _read_log(path: Path) -> _Log:
    text, _ = read_text(path)
    atoms = atoms_of(text)
    return _Log(path, raw_evaluations(text), cell_of(text), None if atoms is None else atoms[0], ensemble(text), text)


def _fitting_logs(positions: Path, project: str, logs: list[_Log], found: list[_Frame]) -> list[_Log]:
    """Return the outputs whose energies are those of the trajectory.

    Raises
    ------
    InputError
        There is none, or two contradict each other.
    """
    energies = np.array([frame.energy for frame in found])
    own = [log for log in logs if project_name(log.text) in ("", project)] or logs
    fitting, shared = [], []
    for log in own:
        made = np.array([one.energy for one in log.made])
        hits = (np.abs(energies[:, None] - made[None]) < SAME_ENERGY_HARTREE).any(axis=1)
        if hits.any():
            fitting.append(log)
            shared.append(hits)
    if not fitting:
        raise InputError(f"{positions}: no output of CP2K in the folder has the energies of this trajectory")
    usable = [(log, hits, log.cell) for log, hits in zip(fitting, shared, strict=True) if log.cell is not None]
    if not usable:
        names = ", ".join(log.path.name for log in fitting)
        raise InputError(f"{positions}: the cell in {names} is missing or contradicts itself")
    for (one, hits, cell), (other, more, another) in combinations(usable, 2):
        if (hits & more).sum() > 1 and np.abs(cell - another).max() > SAME_CELL_A:
            raise InputError(
                f"{positions}: {one.path.name} and {other.path.name} both have the energies of this trajectory, but "
                "other cells: keep the output of this run only"
            )
    return [log for log, _, _ in usable]


def _xyz_frames(path: Path) -> tuple[list[_Frame], int]:
    """Return the complete frames of an xyz file of CP2K, and the number of broken ones, the last one included."""
    text, _ = read_text(path)
    lines = text.split("\n")
    frames: list[_Frame] = []
    broken, place = 0, 0
    while place < len(lines) and lines[place].strip():
        frame = _xyz_frame(lines, place)
        if frame is None:
            broken += 1
            place = next((k - 1 for k in range(place + 2, len(lines)) if _STEP.search(lines[k])), len(lines))
            continue
        frames.append(frame)
        place += len(frame.symbols) + 2
    return frames, broken


def _xyz_frame(lines: list[str], place: int) -> _Frame | None:
    """Return the frame that starts at a line; None if it is incomplete or damaged."""
    try:
        count = int(lines[place])
        rows = [line.split() for line in lines[place + 2: place + 2 + count]]
        step, energy = _STEP.search(lines[place + 1]), _ENERGY.search(lines[place + 1])
        if len(rows) < count or place + 2 + count >= len(lines) or step is None or energy is None:
            return None
        numbers = np.array([[float(word) for word in row[1:4]] for row in rows]).reshape(count, 3)
        return _Frame(int(step[1]), float(energy[1]), [row[0] for row in rows], numbers)
    except (ValueError, IndexError):
        return None


def _force_file(positions: Path, project: str) -> dict[int, NDArray[np.float64]]:
    """Return the forces of each step, hartree/bohr, where CP2K wrote them to a file."""
    path = positions.with_name(positions.name.replace("-pos-", "-frc-"))
    return {frame.step: frame.numbers for frame in _xyz_frames(path)[0]} if path.is_file() else {}


def _cells(positions: Path, project: str) -> dict[int, NDArray[np.float64]]:
    """Return the cell of each step from the file of the run."""
    found: dict[int, NDArray[np.float64]] = {}
    for path in sorted(positions.parent.glob("*.cell")):
        if path.name.startswith(f"{project}-"):
            for row in _rows(path):
                found[int(row[0])] = np.array(row[2:11], float).reshape(3, 3)
    return found


def _rows(path: Path) -> Iterator[list[Any]]:
    for line in read_text(path)[0].split("\n")[:-1]:
        words = line.split()
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            continue
        if len(numbers) >= 11:
            yield numbers


def _cell_at(
    frame: _Frame, cells: dict[int, NDArray[np.float64]], log: _Log, account: Account
) -> NDArray[np.float64] | None:
    """Return the cell of a step; None if it is not known."""
    if cells:
        return cells.get(frame.step)
    changes = log.ensemble.upper().startswith(("NPT", "NPE", "MSST", "HYDRO"))
    if changes and log.made and abs(frame.energy - log.made[0].energy) > SAME_ENERGY_HARTREE:
        return None
    account.note("cell from the lengths and angles in the output (six decimals)")
    return log.cell
