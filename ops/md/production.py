"""Production runs: equilibration in NPT, production in NVT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dpa_sse.ops.md.lammps import PotentialLines, deepmd_lines
from dpa_sse.ops.md.tasks import make_job, open_task, run_job
from dpa_sse.ops.results.md import MdTask


def run_md(
    task: Path, model: Path, type_map: Sequence[str], out: Path, *, potential: PotentialLines = deepmd_lines
) -> None:
    """Run one production task and write an MD folder.

    Equilibration in NPT, then production in NVT at the mean volume of the second half of the equilibration. A run that
    explodes, melts or fails does not raise: ``status.json`` and ``run.json`` report it, and the trajectory ends before
    the first frame that must not be used. After a kill the same call resumes from the last restart file and
    yields the same trajectory (bit for bit with one thread).

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

    Raises
    ------
    TransientError
        LAMMPS was killed by a signal.
    """
    run_with_model(task, model, type_map, out, potential=potential)


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
