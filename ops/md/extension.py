"""Longer runs: a finished run of the same inputs is continued from its last restart file, not repeated.

A finished run keeps its restart file and the logs of its parts in ``restart/``, with a hash of everything that it
depends on except its length. A longer run with that hash starts as if it had been interrupted there, and ends with the
same trajectory as an uninterrupted one (bit for bit with one thread).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.files import sha256_file
from dpa_sse.ops.md import segments as parts
from dpa_sse.ops.md.tasks import CELL
from dpa_sse.ops.results.base import Result
from dpa_sse.ops.results.md import MdTask
from dpa_sse.ops.results.status import TaskStatus

KEPT = "restart"
STATE = "state.a"
TRAJECTORY = "traj.lammpstrj"


class Continuation(Result):
    """A finished run that a longer one can continue.

    Attributes
    ----------
    same : str
        Hash of what the run depends on, without its length.
    steps : int
        Steps of the run, without the equilibration.
    """

    FILE: ClassVar[str] = "continuation.json"

    same: str
    steps: int


def inputs_hash(task: Path, model: Path, type_map: Sequence[str], versions: Mapping[str, str]) -> str:
    """Return the hash of everything that a run depends on except its number of steps.

    Parameters
    ----------
    task : Path
        Task folder, with ``task.json`` and the cell.
    model : Path
        Model file.
    type_map : sequence of str
    versions : mapping
        Of the programs that decide the numbers.
    """
    found = {
        "task": MdTask.read(task).model_dump(mode="json", exclude={"steps"}), "cell": sha256_file(task / CELL),
        "model": sha256_file(model), "type_map": list(type_map), "versions": dict(versions),
    }
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def keep_for_extension(out: Path, continuation: Continuation) -> None:
    """Keep what a longer run needs from the working folder of a finished one; nothing if it has no restart file."""
    work, kept = out / "work", out / KEPT
    state = parts.latest_state(work)
    if state is None:
        return
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    for part in range(parts.next_part(work)):
        for suffix in ("in", "log"):
            path = parts.part_file(work, part, suffix)
            if path.exists():
                shutil.copyfile(path, kept / path.name)
    shutil.copyfile(state, kept / STATE)
    continuation.write(kept)


def find_shorter(out: Path, same: str, steps: int) -> tuple[Path, int] | None:
    """Return the longest finished run of the same inputs that has fewer steps, among the folders beside ``out``.

    Returns
    -------
    tuple of Path and int, or None
        Its folder, and its steps.
    """
    found: list[tuple[int, Path]] = []
    for path in sorted(out.parent.glob(f"*/{KEPT}/{Continuation.FILE}")):
        folder = path.parents[1]
        with suppress(FatalError):  # of another version of the program
            one, status = Continuation.read(path), TaskStatus.read_if_there(folder)
            usable = status is not None and status.status == "ok" and (folder / TRAJECTORY).is_file()
            if one.same == same and one.steps < steps and usable and parts.latest_state(path.parent) is not None:
                found.append((one.steps, folder))
    if not found:
        return None
    longest, folder = max(found, key=lambda pair: pair[0])
    return folder, longest


def continue_from(earlier: Path, out: Path, first_input: str) -> None:
    """Make the working folder of a run as if it had been interrupted at the last restart file of a shorter one.

    Parameters
    ----------
    earlier : Path
        Folder of the shorter run.
    out : Path
        Folder of the run; one that has a restart file already is left as it is.
    first_input : str
        LAMMPS input of the first part of the longer run.
    """
    work, fresh = out / "work", out / "work.new"
    if parts.latest_state(work) is not None:
        return
    for folder in (work, fresh):
        shutil.rmtree(folder, ignore_errors=True)
    fresh.mkdir(parents=True)
    for path in (earlier / KEPT).glob("part.*"):
        shutil.copyfile(path, fresh / path.name)
    parts.part_file(fresh, 0, "in").write_text(first_input, encoding="utf-8")
    trajectory = fresh / parts.part_names(0).trajectory
    try:
        os.link(earlier / TRAJECTORY, trajectory)  # it is only read
    except OSError:  # another file system
        shutil.copyfile(earlier / TRAJECTORY, trajectory)
    shutil.copyfile(earlier / KEPT / STATE, fresh / STATE)
    fresh.replace(work)
