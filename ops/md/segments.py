"""Joining the parts that an interrupted LAMMPS run leaves behind.

Each start of LAMMPS writes its own files ``part.NNN.*``; a part counts up to the step from which the next one resumed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path

from dpa_sse.ops.core.files import atomic_path, write_csv, write_text
from dpa_sse.ops.md.lammps import THERMO_COLUMNS, WARM_UP, PartNames
from dpa_sse.ops.md.template import OF_THE_PIPELINE
from dpa_sse.ops.md.trajectory import DumpReader, Frame, parse_frame, read_thermo

RESTART_MAGIC = b"LammpS RestartT\x00"  # at the end of every complete restart file
DEVIATION_COLUMNS = ("step", "max_devi_v", "min_devi_v", "avg_devi_v", "max_devi_f", "min_devi_f", "avg_devi_f")
NEVER = float("inf")
OWN = "own"
Row = dict[str, float]


def part_file(work: Path, part: int, suffix: str) -> Path:
    """Return the file of one part: suffix ``in``, ``log`` or ``state``."""
    return work / f"part.{part:03d}.{suffix}"


def part_names(part: int) -> PartNames:
    """Return the file names in the input of one part."""
    tag = f"part.{part:03d}"
    return PartNames(trajectory=f"{tag}.lammpstrj", equilibration=f"{tag}.equilibration", deviation=f"{tag}.devi")


def next_part(work: Path) -> int:
    """Return the number of the next part."""
    part = 0
    while part_file(work, part, "in").exists():
        part += 1
    return part


def latest_state(work: Path) -> Path | None:
    """Return the newer of the two alternating restart files that are complete."""
    complete = []
    for path in work.glob("state.?"):
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - len(RESTART_MAGIC)))
            if stream.read() == RESTART_MAGIC:
                complete.append(path)
    return max(complete, key=lambda path: path.stat().st_mtime_ns, default=None)


class GrowingTrajectory:
    """Frames of earlier parts as far as they count, then those of the running part."""

    def __init__(self, work: Path, part: int) -> None:
        self._work, self._part = work, part
        self._live = DumpReader(work / part_names(part).trajectory)
        self._started = False
        self.ended = False  # set when LAMMPS has ended: there will be no further frames

    def frames(self) -> Iterator[Frame]:
        """Yield complete frames that were not yielded before."""
        for frame in self._live.frames():
            yield from self._earlier(frame.step)
            yield frame
        if self.ended:
            yield from self._earlier(NEVER)

    def _earlier(self, end: float) -> Iterator[Frame]:
        if not self._started:
            self._started = True
            for _, block in joined_blocks(self._work, self._part - 1, end):
                yield parse_frame(block)


def joined_blocks(work: Path, last: int, end: float = NEVER) -> Iterator[tuple[int, bytes]]:
    """Yield step and text of the frames of parts ``0 .. last`` whose step is below ``end``."""
    paths = [work / part_names(part).trajectory for part in range(last + 1)]
    firsts = [next((step for step, _ in DumpReader(path).blocks()), NEVER) for path in paths]
    seen = -1
    for index, path in enumerate(paths):
        stop = min(firsts[index + 1 :], default=NEVER)
        for step, block in DumpReader(path).blocks():
            if step > stop or step >= end:
                break
            if step > seen:  # the frame of the restart step is taken from the part that reached it
                seen = step
                yield step, block


def write_trajectory(out: Path, work: Path, last: int, end: float) -> list[int]:
    """Write ``traj.lammpstrj`` and return the steps of its frames."""
    steps = []
    with atomic_path(out / "traj.lammpstrj") as temporary, temporary.open("wb") as stream:
        for step, block in joined_blocks(work, last, end):
            stream.write(block)
            steps.append(step)
    return steps


def write_thermo(
    out: Path, work: Path, last: int, *, every: int, equilibration_end: float | None, end: float
) -> list[Row]:
    """Write ``thermo.csv`` and, where there is one, ``equilibration.csv``.

    Parameters
    ----------
    out, work : Path
    last : int
        Number of the last part.
    every : int
        Steps between rows; LAMMPS also prints the first step of each part.
    equilibration_end, end : float
        First step of the equilibration (None without equilibration) and of the run that must not be used.

    Returns
    -------
    list of dict
        The rows of the run.
    """
    run: list[list[Row]] = []
    equilibration: list[Row] = []
    for part in range(last + 1):
        tables = run_tables(work, part)
        if part == 0 and equilibration_end is not None and tables:
            equilibration = [row for row in tables.pop(0) if row["step"] < equilibration_end]
        run.append([row for table in tables for row in table])
    columns = list(THERMO_COLUMNS.values())
    if equilibration_end is not None:
        write_csv(out / "equilibration.csv", _plain(equilibration), columns)
    rows = [row for row in join_rows(run, "step") if row["step"] < end and row["step"] % every == 0]
    write_csv(out / "thermo.csv", _plain(rows), columns)
    return rows


def run_tables(work: Path, part: int) -> list[list[Row]]:
    """Return the tables in the log of a part, without those of the warm-up of the model."""
    return read_thermo(part_file(work, part, "log"))[WARM_UP if part else 0 :]


def write_deviations(out: Path, work: Path, last: int, end: float) -> None:
    """Write ``model_devi.csv`` (eV/Angstrom or relative; virial: eV/atom); NaN becomes an empty field."""
    parts = [_read_deviations(work / part_names(part).deviation) for part in range(last + 1)]
    rows = [row for row in join_rows(parts, "step") if row["step"] < end]
    write_csv(out / "model_devi.csv", _plain(rows), DEVIATION_COLUMNS)


def write_logs(out: Path, work: Path, last: int) -> None:
    """Write ``log.lammps`` (all parts), ``in.lammps`` (with the names of the results) and ``cell.data``."""
    text = part_file(work, 0, "in").read_text(encoding="utf-8")
    for name, plain in zip(astuple(part_names(0)), astuple(PartNames()), strict=True):
        text = text.replace(f" {name}", f" {plain}")
    write_text(out / "in.lammps", text)
    with atomic_path(out / "cell.data") as temporary:
        shutil.copyfile(work / "cell.data", temporary)
    with atomic_path(out / "log.lammps") as temporary, temporary.open("wb") as stream:
        for part in range(last + 1):
            path = part_file(work, part, "log")
            stream.write(path.read_bytes() if path.exists() else b"")


def keep_own(out: Path, work: Path) -> None:
    """Keep the files that a template of the user's own has written, in ``own/``."""
    for path in sorted(work.iterdir()):
        if path.is_file() and not path.is_symlink() and not OF_THE_PIPELINE.match(path.name):
            (out / OWN).mkdir(exist_ok=True)
            with atomic_path(out / OWN / path.name) as temporary:
                shutil.copyfile(path, temporary)


def _read_deviations(path: Path) -> list[Row]:
    """Return the rows of a ``model_devi.out`` without incomplete lines; NaN stays NaN."""
    rows: list[Row] = []
    if not path.exists():
        return rows
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        words = line.split()
        if line.endswith("\n") and not line.startswith("#") and len(words) == len(DEVIATION_COLUMNS):
            rows.append(dict(zip(DEVIATION_COLUMNS, map(float, words), strict=True)))
    return rows


def join_rows(parts: Sequence[list[Row]], key: str) -> list[Row]:
    """Join tables of parts: each counts up to and including the first step of the next one that has rows.

    LAMMPS repeats the row of a restart step at the start of the next segment; the first one counts.
    """
    joined: dict[float, Row] = {}
    for rows in parts:
        if rows:
            first = rows[0][key]
            joined = {step: row for step, row in joined.items() if step <= first}
            for row in rows:
                joined.setdefault(row[key], row)
    return list(joined.values())


def _plain(rows: Iterable[Row]) -> Iterator[dict[str, float | None]]:
    """Yield rows with integer steps, and None for NaN and infinity."""
    for row in rows:
        yield {
            name: int(value) if name == "step" else (value if abs(value) < NEVER else None)
            for name, value in row.items()
        }
