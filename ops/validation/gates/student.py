"""The gates inside a workflow: the student against its teacher, before the production MD."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.errors import REFUSAL, SUSPENSION, RefusedError
from dpa_sse.ops.core.files import sha256_file
from dpa_sse.ops.data.dataset import read_dataset
from dpa_sse.ops.results.gates import Approvals, Gates, Tier
from dpa_sse.ops.structures.extxyz import read_frames
from dpa_sse.ops.validation.gates.base import GateSettings, Reference
from dpa_sse.ops.validation.gates.inputs import MOST_STRUCTURES, find_model, open_found
from dpa_sse.ops.validation.gates.potentials import DeepPotential
from dpa_sse.ops.validation.gates.registry import load_thresholds
from dpa_sse.ops.validation.gates.run import Candidate, run_gates

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class Distilled:
    """A student and what it was made from.

    Attributes
    ----------
    student : Path
        Model folder.
    teacher : Path
        Frozen model.
    data : Path
        Data set with the teacher's labels; its test frames are held out.
    training : Path
        Data set that the student was trained on.
    cells : Path
        Cells of the materials (extxyz).
    """

    student: Path
    teacher: Path
    data: Path
    training: Path
    cells: Path


def judge_student(
    distilled: Distilled, *, tier: Tier, temperature_K: float, timestep_fs: float, mobile: Sequence[str], seed: int,
    stop: bool, out: Path,
) -> Gates:
    """Run the gates on a student and write ``gates.json``.

    Raises
    ------
    RefusedError
        The student failed, and ``stop`` is true.
    """
    if (done := Gates.read_if_there(out)) is None:
        done = _judge(distilled, tier, temperature_K, timestep_fs, tuple(mobile), seed, out)
    if stop and done.verdict == "FAIL":
        raise RefusedError(
            f"{REFUSAL}the student failed: {done.reasons[0]}; see gates.json in {out.name}. `validate.on_fail: warn` "
            "runs the production MD all the same"
        )
    return done


def is_doubtful(found: Gates) -> bool:
    """Return whether a person should look at a verdict before the production: it is not PASS."""
    return found.verdict != "PASS"


def ask_person(gates: Path, run: Path | None) -> Gates:
    """Return a verdict that passed, or with which a person has let the run continue.

    Parameters
    ----------
    gates : Path
        Result of the gates.
    run : Path or None
        Run folder, with the approvals.

    Raises
    ------
    RefusedError
        Nobody has; the message says how to continue.
    """
    found = Gates.read(gates)
    approved = Approvals.read_if_there(run)
    if is_doubtful(found) and (approved is None or sha256_file(Gates.path_in(gates)) not in approved.gates):
        reason = found.reasons[0] if found.reasons else found.verdict
        raise RefusedError(
            f"{SUSPENSION}the verdict on the student is {found.verdict}: {reason}. `dpa-sse resume RUN` runs the "
            "production MD with it, `validate.on_warn: continue` does so without asking"
        )
    return found


def approve(gates: Path, run: Path) -> None:
    """Record that a person lets a run continue with a verdict."""
    before = Approvals.read_if_there(run)
    own = sha256_file(Gates.path_in(gates))
    Approvals(gates=tuple(dict.fromkeys([*(before.gates if before else ()), own]))).write(run)


def _judge(
    distilled: Distilled, tier: Tier, temperature_K: float, timestep_fs: float, mobile: tuple[str, ...], seed: int,
    out: Path,
) -> Gates:
    found = find_model(distilled.student)
    type_map, blocks = read_dataset(distilled.data)
    teacher = DeepPotential(distilled.teacher)
    training_type_map, training = read_dataset(distilled.training)
    reference = Reference(
        "teacher", teacher, [one for one in blocks if one.split == "test" and len(one)], type_map,
        [one for one in training if one.split == "train" and len(one)], training_type_map,
    )
    work = out / ".gates"
    settings = GateSettings(
        tier=tier, temperature_K=temperature_K, timestep_fs=timestep_fs, seed=seed, mobile=mobile, files=found.files,
        work=work,
    )
    cells = some_of(read_frames(distilled.cells))
    candidate = Candidate(open_found(found), reference, cells, settings, sha256_file(found.path))
    result = run_gates(candidate, load_thresholds(), out)
    shutil.rmtree(work, ignore_errors=True)
    return result


def some_of(cells: Sequence[Atoms]) -> list[Atoms]:
    """Return a few cells, evenly over all of them."""
    if len(cells) <= MOST_STRUCTURES:
        return list(cells)
    return [cells[int((k + 0.5) * len(cells) / MOST_STRUCTURES)] for k in range(MOST_STRUCTURES)]
