"""Longer runs: a shorter run of the same inputs is continued from its last restart file, not repeated.

A finished run keeps its restart file and the logs of its parts in ``restart/``, with a hash of everything that it
depends on except its length; an interrupted one has its working folder. A longer run with that hash starts as if it had
been interrupted there, and ends with the same trajectory as an uninterrupted one (bit for bit with one thread).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
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
WORK = "work"
STATE = "state.a"
TRAJECTORY = "traj.lammpstrj"


class Continuation(Result):
    """What a longer run must have in common with a run to continue it.

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
    work, kept = out / WORK, out / KEPT
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


@dataclass(frozen=True)
class Earlier:
    """A shorter run that can be continued.

    Attributes
    ----------
    folder : Path
        Of the run.
    files : Path
        Folder with its restart file and the logs of its parts.
    steps : int
        Steps that it has done.
    """

    folder: Path
    files: Path
    steps: int

    def trajectories(self) -> Iterator[tuple[Path, str]]:
        """Yield its files of frames, with their names in a working folder: one of a finished run, else each part's."""
        if self.files.name == KEPT:
            yield self.folder / TRAJECTORY, parts.part_names(0).trajectory
            return
        for part in range(parts.next_part(self.files)):
            name = parts.part_names(part).trajectory
            if (self.files / name).exists():
                yield self.files / name, name


def find_shorter(out: Path, same: str, steps: int) -> Earlier | None:
    """Return the run of the same inputs with fewer steps that has come furthest, among the folders beside ``out``."""
    found = []
    for path in sorted(out.parent.glob(f"*/{KEPT}/{Continuation.FILE}")):
        folder = path.parents[1]
        with suppress(FatalError):  # of another version of the program
            one, status = Continuation.read(path), TaskStatus.read_if_there(folder)
            if folder == out or one.same != same or one.steps >= steps:
                continue
            if status is None:
                earlier = Earlier(folder, folder / WORK, steps_done(folder / WORK))
            else:
                earlier = Earlier(folder, path.parent, one.steps if status.status == "ok" else 0)
            if earlier.steps > 0 and parts.latest_state(earlier.files) is not None and any(earlier.trajectories()):
                found.append(earlier)
    return max(found, key=lambda one: one.steps, default=None)


def steps_done(work: Path) -> int:
    """Return the last step of the run that the logs in a working folder have; 0 before and in the equilibration."""
    last = parts.next_part(work) - 1
    tables = parts.run_tables(work, last) if last >= 0 and (work / parts.part_names(last).trajectory).exists() else []
    return max((int(row["step"]) for table in tables for row in table), default=0)


def continue_from(earlier: Earlier, out: Path, first_input: str) -> None:
    """Make the working folder of a run as if it had been interrupted at the last restart file of a shorter one.

    Parameters
    ----------
    earlier : Earlier
    out : Path
        Folder of the run; one that has a restart file already is left as it is.
    first_input : str
        LAMMPS input of the first part of the longer run.
    """
    work, fresh = out / WORK, out / f"{WORK}.new"
    state = parts.latest_state(earlier.files)
    if parts.latest_state(work) is not None or state is None:
        return
    for folder in (work, fresh):
        shutil.rmtree(folder, ignore_errors=True)
    fresh.mkdir(parents=True)
    for part in range(parts.next_part(earlier.files)):
        for path in (parts.part_file(earlier.files, part, suffix) for suffix in ("in", "log")):
            if path.exists():
                shutil.copyfile(path, fresh / path.name)
    parts.part_file(fresh, 0, "in").write_text(first_input, encoding="utf-8")
    for source, name in earlier.trajectories():
        try:
            os.link(source, fresh / name)  # it is only read
        except OSError:  # another file system
            shutil.copyfile(source, fresh / name)
    shutil.copyfile(state, fresh / STATE)
    fresh.replace(work)
