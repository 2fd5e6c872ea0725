"""Short molecular dynamics with the labeler, from one perturbed cell."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpa_sse.ops.core.errors import PipelineError, TransientError
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.labelers.base import (
    AimdRun,
    CalculatorLabeler,
    NativeAimd,
    level_of,
    one_line,
)
from dpa_sse.ops.labelers.dynamics import LARGEST_FORCE_EV_A, ExplodedError, run_dynamics
from dpa_sse.ops.labelers.registry import make_labeler
from dpa_sse.ops.labelers.settings import AimdSettings, LabelerSettings
from dpa_sse.ops.results.status import EMPTY, DroppedStep, TaskStatus, TrajectoryRecord, is_finished
from dpa_sse.ops.structures.extxyz import read_frames, write_frames

if TYPE_CHECKING:
    from ase import Atoms

RECORD = ".answers"


def run_aimd(task: Path, labeler: LabelerSettings, settings: AimdSettings, seed: int, out: Path) -> None:
    """Run molecular dynamics and keep every ``sample_every``-th frame with its labels.

    Parameters
    ----------
    task : Path
        Folder with ``cell.extxyz`` (one perturbed cell); when it does not exist nothing is done.
    labeler : LabelerSettings
        Source of energies and forces; it runs the dynamics itself, or gives ASE its calculator.
    settings : AimdSettings
        Perturbed cell i of a system runs at temperature i modulo their number.
    seed : int
        Seed of the project; velocities and thermostat derive theirs from the name of the trajectory.
    out : Path
        Receives ``frames.extxyz`` (the perturbed cell itself is frame 0) and ``status.json``; files of the labeler
        lie in a folder named after its kind. A finished run is not repeated; an interrupted one goes on: a
        dynamics of ASE repeats its first steps with the forces that are known.
    """
    out.mkdir(parents=True, exist_ok=True)
    if is_finished(out):
        return
    if not (task / "cell.extxyz").is_file():
        EMPTY.write(out)
        return
    atoms = read_frames(task / "cell.extxyz")[0]
    start, end = settings.temperatures_of(int(atoms.info.get("perturbation", 0)))
    atoms.info["temperature_K"] = start
    run = AimdRun(atoms, settings, start, end, derive_seed(seed, "aimd", str(atoms.info.get("trajectory", ""))))
    maker = make_labeler(labeler)
    if isinstance(maker, NativeAimd):
        record = _run_native(run, maker, out, out / labeler.kind)
    elif isinstance(maker, CalculatorLabeler):
        record = _run_with_calculator(run, maker, out)
    else:
        raise TypeError(f"the labeler {labeler.kind} offers no molecular dynamics")
    record.write(out)


def _run_with_calculator(run: AimdRun, maker: CalculatorLabeler, out: Path) -> TaskStatus:
    """Let ASE drive the dynamics; return how it ended."""
    from dpa_sse.ops.labelers.recording_calculator import RecordedCalculator

    atoms = run.atoms.copy()
    reason = ""
    written = [0]
    partial, record = out / "frames.extxyz.partial", out / RECORD
    with partial.open("w", encoding="utf-8") as stream:
        try:
            with closing(RecordedCalculator(maker.calculator(), record)) as atoms.calc:
                run_dynamics(run, atoms, stream, written)
        except TransientError:
            raise
        except Exception as error:  # any calculator, any exception: the frames so far are kept
            reason = str(error) if isinstance(error, ExplodedError) else one_line(error)
    partial.replace(out / "frames.extxyz")
    record.unlink(missing_ok=True)
    return _status(run, written[0], reason)


def _run_native(run: AimdRun, maker: NativeAimd, out: Path, work: Path) -> TaskStatus:
    """Let the labeler drive the dynamics; return how it ended."""
    try:
        result = maker.aimd(run, work)
    except PipelineError:  # the task may end here for good: the frames so far count
        if hasattr(maker, "frames_so_far"):
            write_frames(out / "frames.extxyz", _before_explosion(maker.frames_so_far(run, work))[0])
        raise
    frames, reason = _before_explosion(result.frames)
    write_frames(out / "frames.extxyz", frames)
    status = _status(run, len(frames), reason or result.reason, level_of(maker, frames))
    if not result.dropped:
        return status
    remark = f"{len(result.dropped)} of {len(result.dropped) + len(result.frames)} frames without label"
    dropped = tuple(DroppedStep(step=step, status=why, reason=reason) for step, why, reason in result.dropped)
    return status.model_copy(update={
        "status": "partial" if frames else "failed", "dropped": dropped,
        "reason": "; ".join(part for part in (status.reason, remark) if part),
    })


def _before_explosion(frames: list[Atoms]) -> tuple[list[Atoms], str]:
    """Return the frames up to the first unphysical one, and what is wrong with that."""
    for number, frame in enumerate(frames):
        largest = float(np.linalg.norm(frame.get_forces(), axis=1).max())
        if not largest <= LARGEST_FORCE_EV_A:
            return frames[:number], f"exploded at step {frame.info['step']}: largest force {largest:.1f} eV/A"
    return frames, ""


def _status(run: AimdRun, frames: int, reason: str, level: dict[str, Any] | None = None) -> TaskStatus:
    """Return how a run ended: one that broke off late is of use."""
    info = run.atoms.info
    record = TrajectoryRecord(
        system=str(info.get("system", "")), trajectory=str(info.get("trajectory", "")), frames=frames,
        temperature_K=run.temperature_K, end_temperature_K=run.end_temperature_K, steps=run.settings.steps,
    )
    status = TaskStatus.of_items([("failed", reason) if reason else ("ok", "")], level=level, run=record)
    return status.model_copy(update={"status": "partial"}) if reason and frames else status
