"""Production runs: equilibration in NPT, production in NVT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dpa_sse.ops.md.extension import KEPT, Continuation, continue_from, find_shorter, inputs_hash, keep_for_extension
from dpa_sse.ops.md.lammps import PotentialLines, deepmd_lines
from dpa_sse.ops.md.simulate import RunOutcome, first_input
from dpa_sse.ops.md.tasks import make_job, open_task, run_job
from dpa_sse.ops.potential.folder import model_file
from dpa_sse.ops.results.md import MdTask


def run_md(
    task: Path,
    model: Path,
    type_map: Sequence[str],
    out: Path,
    *,
    potential: PotentialLines = deepmd_lines,
    versions: Mapping[str, str] | None = None,
) -> Path | None:
    """Run one production task and write an MD folder.

    Equilibration in NPT, then production in NVT at the mean volume of the second half of the equilibration. A run that
    explodes, melts or fails does not raise: ``status.json`` and ``run.json`` report it, and the trajectory ends before
    the first frame that must not be used. After a kill the same call resumes from the last restart file and
    yields the same trajectory (bit for bit with one thread). If a folder beside ``out`` has a run that differs in its
    length only, and is shorter, it is continued: neither its equilibration nor its steps are repeated.

    Parameters
    ----------
    task : Path
        Task folder of :func:`dpa_sse.ops.md.prepare.prepare_md`; a missing folder is an empty task.
    model : Path
        Frozen model (.pth), or a model folder.
    type_map : sequence of str
    out : Path
    potential : callable
        Yields the LAMMPS lines that define the interaction; a Deep Potential by default.
    versions : mapping, optional
        Of the programs that decide the numbers: only a run with the same ones is continued.

    Returns
    -------
    Path or None
        Folder of the run that was continued.

    Raises
    ------
    TransientError
        LAMMPS was killed by a signal.
    """
    found = open_task(task, MdTask, out)
    if found is None:
        return None
    atoms, numbers = found
    job = make_job(atoms, numbers, [model], type_map, melt=True, potential=potential)
    same = inputs_hash(task, model_file(model), type_map, versions or {})
    own = Continuation(same=same, steps=numbers.steps)
    shorter = find_shorter(out, same, numbers.steps)
    if shorter is not None:
        continue_from(shorter, out, first_input(job, out))
    (out / KEPT).mkdir(exist_ok=True)
    own.write(out / KEPT)

    def keep(outcome: RunOutcome) -> None:
        if outcome.status == "ok":
            keep_for_extension(out, own)

    run_job(
        job, numbers, out, usable=lambda _: False, continued_from=shorter.steps if shorter else None, keep=keep
    )
    return shorter.folder if shorter else None


def run_with_model(
    task: Path,
    model: Path,
    type_map: Sequence[str],
    out: Path,
    *,
    min_frames: int | None = None,
    potential: PotentialLines = deepmd_lines,
) -> None:
    """Run one task with one model, as :func:`run_md`.

    With ``min_frames``, a run that broke off after at least that many frames is partial; without, it has failed.
    """
    found = open_task(task, MdTask, out)
    if found is None:
        return
    atoms, numbers = found
    job = make_job(atoms, numbers, [model], type_map, melt=True, potential=potential)
    run_job(
        job, numbers, out, usable=lambda outcome: min_frames is not None and outcome.n_frames >= min_frames
    )
