"""Molecular dynamics by CP2K, in parts: a new one after each interruption.

Every part has its own folder. CP2K writes positions and cell of each step to files, and energy, forces and stress to
its output; a step counts if it is in all of them.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.data.convert import with_results
from dpa_sse.ops.labelers.base import AimdResult, AimdRun
from dpa_sse.ops.labelers.cp2k.inputs import PROJECT, dynamics_input
from dpa_sse.ops.labelers.cp2k.output import NOT_CONVERGED, Evaluation, OutputError, has_ended, read_evaluations
from dpa_sse.ops.labelers.cp2k.program import run_cp2k
from dpa_sse.ops.labelers.cp2k.sections import parse
from dpa_sse.ops.labelers.programs import RunError
from dpa_sse.ops.labelers.settings import Cp2kSettings
from dpa_sse.ops.results.status import DroppedStep

if TYPE_CHECKING:
    from ase import Atoms

RESTARTED = "RESTART INFORMATION"
_STARTED = re.compile(r"STEP_START_VAL\s+(\d+)")
_NUMBER = re.compile(r"\s*i =\s+(\d+)")


@dataclass(frozen=True)
class TrajectoryStep:
    """One step of the trajectory: positions and cell in A, and their evaluation."""

    number: int
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    evaluation: Evaluation


def continue_dynamics(settings: Cp2kSettings, run: AimdRun, work: Path, data: Path) -> AimdResult:
    """Run molecular dynamics from its start, or from the last restart file below ``work``.

    Raises
    ------
    TransientError
        CP2K was killed; another call resumes the run.
    """
    parts = sorted(work.glob("part.*"))
    steps: dict[int, TrajectoryStep] = {}
    done, restart = 0, None
    for part in parts:
        steps |= {step.number: step for step in _read_part(part, len(run.atoms), partial=True)}
        found = _last_restart(part)
        if found and (restart is None or found[0] >= done):
            done, restart = found
    reason = ""
    if restart is None or done < run.settings.steps:
        folder = work / f"part.{len(parts):03d}"
        name = None
        if restart is not None:
            name = "from.restart"
            write_text(folder / name, restart.read_text(encoding="utf-8"))
        write_text(folder / "run.inp", dynamics_input(settings, run, data, done=done, restart=name))
        try:
            run_cp2k(settings, folder, data)
        except RunError as error:
            reason = str(error)
        finally:
            for path in folder.glob(f"{PROJECT}-RESTART*"):
                path.unlink()
        steps |= {step.number: step for step in _read_part(folder, len(run.atoms), partial=bool(reason))}
    return _result(run, steps, reason)


def _result(run: AimdRun, steps: dict[int, TrajectoryStep], reason: str) -> AimdResult:
    """Pick the sampled steps; those without a converged SCF are dropped."""
    frames: list[Atoms] = []
    dropped: list[DroppedStep] = []
    last = max(steps, default=-1)
    if not reason and last < run.settings.steps:
        reason = f"CP2K stopped after step {last} of {run.settings.steps}"
    for number in range(0, last + 1, run.settings.sample_every):
        step = steps.get(number)
        if step is None:
            dropped.append(DroppedStep(step=number, status="failed", reason="the step is missing in CP2K's files"))
            continue
        made = step.evaluation
        if not made.converged:
            dropped.append(DroppedStep(step=number, status="not converged", reason=NOT_CONVERGED))
        elif not (np.isfinite(made.energy) and np.isfinite(made.forces).all() and np.isfinite(made.stress).all()):
            dropped.append(DroppedStep(step=number, status="failed", reason="CP2K returned NaN or infinite numbers"))
        else:
            atoms = run.atoms.copy()
            atoms.set_cell(step.cell)
            atoms.positions = step.positions
            atoms.info["step"] = number
            frames.append(with_results(atoms, made.energy, made.forces, made.stress))
    return AimdResult(frames, reason, tuple(dropped))


def _read_part(folder: Path, n_atoms: int, *, partial: bool) -> list[TrajectoryStep]:
    """Return the steps of one part.

    A part that resumes from a restart file evaluates the forces of the previous step again, without writing that step.
    """
    output = folder / "run.out"
    text = output.read_text(encoding="utf-8", errors="replace") if output.is_file() else ""
    positions = _read_positions(folder / f"{PROJECT}-pos-1.xyz", n_atoms)
    cells = _read_cells(folder / f"{PROJECT}-1.cell")
    if not positions:
        return []
    try:
        made = read_evaluations(text, partial=partial or not has_ended(text))
    except OutputError as error:
        raise FatalError(f"labeler cp2k: {error}") from error
    first = min(positions) - 1 if RESTARTED in text else min(positions)
    return [
        TrajectoryStep(number, positions[number], cells[number], evaluation)
        for number, evaluation in enumerate(made, start=first) if number in positions and number in cells
    ]


def _read_positions(path: Path, n_atoms: int) -> dict[int, NDArray[np.float64]]:
    """Return the positions of each step, A, without a truncated last frame."""
    from cp2kdata.block_parser.md_xyz import parse_pos_xyz

    lines = _whole_lines(path)
    complete = lines[: len(lines) - len(lines) % (n_atoms + 2)]
    if not complete:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.xyz"
        whole.write_text("\n".join(complete) + "\n", encoding="utf-8")
        found, _, _ = parse_pos_xyz(str(whole))
    numbers = [int(match[1]) for match in map(_NUMBER.match, complete[1 :: n_atoms + 2]) if match]
    return dict(zip(numbers, found, strict=True))


def _read_cells(path: Path) -> dict[int, NDArray[np.float64]]:
    """Return the cell vectors of each step, A."""
    rows = [line.split() for line in _whole_lines(path) if not line.startswith("#")]
    return {int(row[0]): np.array(row[2:11], float).reshape(3, 3) for row in rows}


def _whole_lines(path: Path) -> list[str]:
    """Return the complete lines of a file that may be truncated."""
    return path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []


def _last_restart(part: Path) -> tuple[int, Path] | None:
    """Return the step from which a part can be resumed, and its restart file."""
    for name in (f"{PROJECT}-1.restart", f"{PROJECT}-1.restart.bak-1"):
        path = part / name
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            match = _STARTED.search(text)
            try:
                parse(text)
            except InputError:  # killed while it was written
                continue
            if match:
                return int(match[1]), path
    return None
