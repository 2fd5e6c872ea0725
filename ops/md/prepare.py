"""Task folders of production runs."""

from __future__ import annotations

from pathlib import Path

from dpa_sse.ops.md.settings import MdSettings
from dpa_sse.ops.md.tasks import read_cells, write_task


def prepare_md(cell_file: Path, settings: MdSettings, seed: int, out: Path) -> int:
    """Write the task folders of all production runs and return their number.

    Parameters
    ----------
    cell_file : Path
        extxyz file with the unit cell of each system.
    settings : MdSettings
    seed : int
        Seed of the project.
    out : Path
        Receives ``task.000`` ...: ``cell.extxyz`` (supercell) and ``task.json``; for each system all temperatures,
        for each temperature all replicas.

    Returns
    -------
    int
        ``settings.n_runs(number of systems)``.

    Raises
    ------
    FatalError, InputError
        See :func:`dpa_sse.ops.md.tasks.read_cells`.
    """
    number = 0
    for atoms in read_cells(cell_file):
        system = str(atoms.info["system"])
        cell = atoms.repeat(settings.supercell)
        cell.info = {"system": system}
        for task in settings.tasks(system, seed):
            write_task(out, number, cell, task)
            number += 1
    return number
