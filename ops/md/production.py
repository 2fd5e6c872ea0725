"""Production runs (equilibrate in NPT, produce in NVT) and teacher runs (NPT), one task folder each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dpa_sse.ops.md.simulate import finish, simulate
from dpa_sse.ops.md.tasks import finished, make_job, read_task, run_record, write_empty


def run_md(task: Path, model: Path, type_map: Sequence[str], out: Path) -> None:
    """Run one production task and write the MD folder of the contract into ``out``.

    Equilibration in NPT, production in NVT at the mean volume of the second half of the equilibration. A run that
    explodes, melts or fails does not raise: ``status.json`` and ``run.json`` say so, and the trajectory ends before
    the first frame that must not be used. After a kill the same call goes on from the last restart file and
    gives the same trajectory (bit for bit with one thread).

    Parameters
    ----------
    task : Path
        Task folder of :func:`prepare_md`; a folder that does not exist is an empty task.
    model : Path
        Frozen model (.pth), or a model folder.
    type_map : sequence of str
    out : Path
    """
    run_task(task, model, type_map, out, min_frames=None)


def run_task(task: Path, model: Path, type_map: Sequence[str], out: Path, *, min_frames: int | None) -> None:
    """Run one task; with ``min_frames`` a run that broke off after so many frames is partial, else it has failed."""
    if finished(out):
        return
    found = read_task(task)
    if found is None:
        write_empty(out)
        return
    atoms, settings = found
    outcome = simulate(make_job(atoms, settings, [model], type_map, melt=True), out)
    partial = min_frames is not None and outcome.n_frames >= min_frames
    finish(out, outcome, run_record(atoms, settings), partial=partial)
