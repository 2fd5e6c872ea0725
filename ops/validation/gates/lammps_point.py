"""Energies and forces of single frames from LAMMPS, as the production MD gets them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.errors import FatalError, MissingProgramError, PipelineError
from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.core.foreign import printable
from dpa_sse.ops.core.tools import run_tool, tail
from dpa_sse.ops.md.data_file import write_lammps_data
from dpa_sse.ops.md.program import lammps_command
from dpa_sse.ops.validation.gates.base import Array

if TYPE_CHECKING:
    from ase import Atoms

TIMEOUT_S = 300.0


def mpirun() -> str:
    """Return the program that starts MPI ranks: that of this environment first; empty if there is none."""
    own = Path(sys.executable).parent / "mpirun"
    return str(own) if own.is_file() else shutil.which("mpirun") or ""


def lammps_labels(
    model: Path, frames: Sequence[Atoms], type_map: Sequence[str], work: Path, ranks: int = 1
) -> tuple[Array, list[Array]]:
    """Return energies (n,) in eV and forces of frames in the orientation of their cells, from one LAMMPS process.

    Parameters
    ----------
    model : Path
        Frozen model.
    frames : sequence of Atoms
    type_map : sequence of str
        Written out in ``pair_coeff``.
    work : Path
        Folder for input and output; emptied.
    ranks : int
        MPI ranks.

    Raises
    ------
    MissingProgramError
        LAMMPS is not installed, or mpirun could not start it.
    FatalError
        It failed, or was killed; the message is the last line that it wrote.
    """
    argv, environment = lammps_command()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    link = work / f"model{model.suffix}"
    link.symlink_to(model.resolve())
    rotations, lines = [], []
    for k, atoms in enumerate(frames):
        rotations.append(write_lammps_data(work / f"cell.{k}", atoms, type_map))
        lines += [
            "clear", "units metal", "atom_style atomic", "boundary p p p", "atom_modify map array",
            f"read_data cell.{k}", f"pair_style deepmd {link.name}", f"pair_coeff * * {' '.join(type_map)}",
            "thermo_style custom step pe", "thermo_modify norm no format float %.15g",
            f"dump forces all custom 1 forces.{k} id fx fy fz", "dump_modify forces sort id format float %.15g",
            "run 0", "variable energy equal pe", f'print "${{energy}}" file energy.{k}', "undump forces",
        ]
    write_text(work / "in.lammps", "\n".join(lines) + "\n")
    start = [mpirun(), "-n", str(ranks)] if ranks > 1 else []
    command = [*start, *argv, "-in", "in.lammps", "-log", "log.lammps", "-screen", "none", "-nocite"]
    try:
        run_tool(command, work / "output.txt", work, env=environment, timeout_s=TIMEOUT_S)
    except MissingProgramError:
        raise
    except PipelineError as error:
        how = str(error).splitlines()[0].partition("; log:")[0]
        if ranks > 1 and not (work / "log.lammps").is_file():
            raise MissingProgramError(f"mpirun could not start two ranks: {_last_line(work) or how}") from error
        raise FatalError(f"LAMMPS crashed: {_last_line(work) or how}") from error
    energies, forces = [], []
    for k, (atoms, rotation) in enumerate(zip(frames, rotations, strict=True)):
        try:
            energies.append(float((work / f"energy.{k}").read_text(encoding="utf-8")))
            rows = np.loadtxt(work / f"forces.{k}", skiprows=9, ndmin=2)
        except (OSError, ValueError) as error:
            raise FatalError(f"LAMMPS wrote no energy or forces of frame {k}: {_last_line(work)}") from error
        if rows.shape != (len(atoms), 4):
            raise FatalError(f"LAMMPS wrote {len(rows)} of {len(atoms)} forces: {_last_line(work)}")
        forces.append(rows[:, 1:] @ rotation.T)
    return np.array(energies), forces


def _last_line(work: Path) -> str:
    """Return the error that LAMMPS reported last, else the last line that it wrote."""
    lines = [
        line.strip() for name in ("log.lammps", "output.txt") for line in tail(work / name, 200).splitlines()
        if line.strip()
    ]
    reported = [line for line in lines if line.startswith("ERROR")]
    return printable((reported or lines or [""])[-1][:300], keep="")
