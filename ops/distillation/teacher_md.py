"""MD with the teacher in NPT, one task folder for each perturbed cell and temperature."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.distillation.settings import DistillSettings
from dpa_sse.ops.md.lammps import PotentialLines, deepmd_lines
from dpa_sse.ops.md.production import run_with_model
from dpa_sse.ops.md.tasks import CELL, read_cells, write_task
from dpa_sse.ops.results.md import COUPLINGS, MdTask
from dpa_sse.ops.runtime.groups import results

MIN_TEACHER_FRAMES = 10


def prepare_teacher_md(cells: Path, settings: DistillSettings, seed: int, out: Path) -> int:
    """Write the task folders of the teacher runs: each perturbed cell at each temperature, NPT.

    Parameters
    ----------
    cells : Path
        Folder with ``task.000/cell.extxyz`` ... of the perturbing step.
    settings : DistillSettings
    seed : int
    out : Path

    Returns
    -------
    int
        Perturbed cells x temperatures: ``settings.n_teacher_runs(number of systems)``.

    Raises
    ------
    FatalError, InputError
        See :func:`dpa_sse.ops.md.tasks.read_cells`.
    """
    number = 0
    for folder in sorted(cells.glob("task.*")):
        for atoms in read_cells(folder / CELL):
            for temperature in settings.temperatures_K:
                task = MdTask(
                    system=str(atoms.info["system"]),
                    trajectory=f"{atoms.info.get('trajectory', folder.name)}.{temperature:g}K",
                    ensemble="npt",
                    coupling=COUPLINGS[settings.ensemble],
                    temperature_K=temperature,
                    pressure_GPa=settings.pressure_GPa,
                    replica=0,
                    timestep_fs=settings.timestep_fs,
                    equilibration_steps=0,
                    steps=settings.steps,
                    dump_every=settings.sample_every,
                    restart_every=max(settings.sample_every, 100),
                    seed=derive_seed(seed, "teacher md", folder.name, repr(float(temperature))),
                )
                write_task(out, number, atoms, task)
                number += 1
    return number


def write_labelled_cells(cells: Path, settings: DistillSettings, seed: int, out: Path) -> None:
    """Write ``settings.labelled_cells`` perturbed cells of each system of an extxyz file into another one."""
    from dpa_sse.ops.structures.extxyz import read_frames, write_frames
    from dpa_sse.ops.structures.perturb import perturb_copies

    perturb = settings.perturb.model_copy(update={"count": settings.labelled_cells})
    grouped = groupby(read_frames(cells), lambda cell: str(cell.info["system"]))
    write_frames(out, [atoms for _, group in grouped for atoms in perturb_copies(list(group), perturb, seed)])


def run_teacher_md(
    task: Path,
    model: Path,
    type_map: Sequence[str],
    out: Path,
    *,
    min_frames: int = MIN_TEACHER_FRAMES,
    potential: PotentialLines = deepmd_lines,
) -> None:
    """Run one teacher task as :func:`dpa_sse.ops.md.production.run_md` does; in NPT, without equilibration.

    Frames before an explosion or a melt are useful to the student: a run with at least ``min_frames`` of them is
    partial.

    Raises
    ------
    TransientError
        LAMMPS was killed by a signal.
    """
    run_with_model(task, model, type_map, out, min_frames=min_frames, potential=potential)


def teacher_of(groups: list[Path] | None, pretrained: Path | None) -> Path:
    """Return the folder of the teacher: the fine-tuned model, else the pre-trained one.

    Raises
    ------
    InputError
        There is neither.
    """
    if groups:
        return results(groups)[0]
    if pretrained is None:
        raise InputError("nothing to distil: neither a fine-tuned nor a pre-trained model was given")
    return pretrained
