"""Readers of LAMMPS output: frames of a dump that may still be growing, and the numbers in a log."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.md.lammps import THERMO_COLUMNS

if TYPE_CHECKING:
    from ase import Atoms

_MARK = b"ITEM: TIMESTEP\n"


@dataclass(frozen=True)
class Frame:
    """One frame of a dump with the columns ``id element xu yu zu`` sorted by id.

    Attributes
    ----------
    step : int
    cell : ndarray, shape (3, 3)
        Rows are the cell vectors, Angstrom.
    symbols : list of str
    positions : ndarray, shape (n_atoms, 3)
        Unwrapped, Angstrom.
    """

    step: int
    cell: np.ndarray
    symbols: list[str]
    positions: np.ndarray

    def atoms(self) -> Atoms:
        """Return the frame as ``ase.Atoms``, positions wrapped into the cell."""
        from ase import Atoms

        atoms = Atoms(self.symbols, positions=self.positions, cell=self.cell, pbc=True)
        atoms.wrap()
        return atoms


class DumpReader:
    """Reads complete frames of a dump that may still be growing, as raw text or parsed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """Yield step and text of each complete frame that was not yielded before."""
        if not self.path.exists():
            return
        with self.path.open("rb") as stream:
            stream.seek(self._offset)
            while (block := _next_block(stream)) is not None:
                self._offset += len(block)
                yield int(block[len(_MARK) : block.index(b"\n", len(_MARK))]), block

    def frames(self) -> Iterator[Frame]:
        """Yield each complete frame that was not yielded before."""
        for _, block in self.blocks():
            yield parse_frame(block)


def _next_block(stream: BinaryIO) -> bytes | None:
    """Return the text of the next frame, or None if the rest of the file is not a complete frame."""
    head = _lines(stream, 9)
    if head is None:
        return None
    if head[0] != _MARK or (not head[3].isdigit() and not head[3].strip().isdigit()):
        raise FatalError(f"not a LAMMPS dump: found {head[0][:40]!r} where a frame should start")
    body = _lines(stream, int(head[3]))
    return None if body is None else b"".join(head + body)


def _lines(stream: BinaryIO, count: int) -> list[bytes] | None:
    """Return the next lines, or None at the first incomplete one.

    LAMMPS keeps writing: a line that is cut off (or missing) may be followed by complete ones a moment later.
    """
    lines = []
    for _ in range(count):
        line = stream.readline()
        if not line.endswith(b"\n"):
            return None
        lines.append(line)
    return lines


def parse_frame(block: bytes) -> Frame:
    """Return the frame in the text of one dump snapshot."""
    head = block.split(b"\n", 9)
    step, count = int(head[1]), int(head[3])
    bounds = np.array([line.split() for line in head[5:8]], dtype=float)
    columns = head[8].split()[2:]
    if columns != [b"id", b"element", b"xu", b"yu", b"zu"]:
        raise FatalError(f"dump columns are {b' '.join(columns).decode()!r}, expected 'id element xu yu zu'")
    table = np.array(head[9].split(), dtype="S32").reshape(count, 5)
    cell, origin = _cell(bounds)
    positions = table[:, 2:].astype(float) - origin
    return Frame(step, cell, [name.decode() for name in table[:, 1]], positions)


def _cell(bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return cell vectors and origin from the bounds of a dump (they enclose a tilted box)."""
    xy, xz, yz = bounds[:, 2] if bounds.shape[1] == 3 else (0.0, 0.0, 0.0)
    low = bounds[:, 0] - [min(0.0, xy, xz, xy + xz), min(0.0, yz), 0.0]
    high = bounds[:, 1] - [max(0.0, xy, xz, xy + xz), max(0.0, yz), 0.0]
    lx, ly, lz = high - low
    return np.array([[lx, 0.0, 0.0], [xy, ly, 0.0], [xz, yz, lz]]), low


def read_dump(path: Path) -> Iterator[Frame]:
    """Yield the frames of a finished dump.

    Raises
    ------
    FatalError
        The file is missing or is not a dump of this pipeline.
    """
    if not path.exists():
        raise FatalError(f"trajectory not found: {path}")
    yield from DumpReader(path).frames()


def read_thermo(log: Path) -> list[list[dict[str, float]]]:
    """Return the thermo tables of a LAMMPS log, one list of rows for each run in it.

    Lines cut off by a kill are skipped. Numbers that are not finite are kept: they indicate an explosion.
    """
    tables: list[list[dict[str, float]]] = []
    inside = False
    if not log.exists():
        return tables
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        words = line.split()
        if words[:3] == ["Step", "Time", "Temp"]:
            tables.append([])
            inside = True
        elif line.startswith("Loop time"):
            inside = False
        elif inside and line.endswith("\n") and len(words) == len(THERMO_COLUMNS) and words[0].isdigit():
            try:
                values = [float(word) for word in words]
            except ValueError:
                continue
            tables[-1].append(dict(zip(THERMO_COLUMNS.values(), values, strict=True)))
    return tables


def last_error(log: Path) -> str:
    """Return the first error line of a LAMMPS log, with the command that it is about; or an empty text."""
    if not log.exists():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    for before, line in itertools.pairwise(["", *lines]):
        if match := re.match(r"ERROR(?: on proc \d+)?: (.*)$", line):
            is_command = re.match(r"(fix|compute|variable|dump|group|region)\w* ", before)
            return match.group(1).strip() + (f" in `{before.strip()}`" if is_command else "")
    return ""


def loop_speed(log: Path, *, skip: int = 0) -> float | None:
    """Return the steps per second of the segments in a LAMMPS log, or None if none of them ended.

    Parameters
    ----------
    log : Path
    skip : int
        Segments at the start of the log that do not count (the equilibration).
    """
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    found = re.findall(r"^Loop time of ([0-9.eE+-]+) on \d+ procs for (\d+) steps", text, re.M)[skip:]
    seconds = sum(float(time) for time, _ in found)
    return sum(int(steps) for _, steps in found) / seconds if seconds > 0 else None
