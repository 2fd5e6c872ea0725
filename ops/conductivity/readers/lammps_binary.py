"""Reader of LAMMPS binary dumps (``dump custom ... file.lmpbin`` or ``.bin``, format revision 2, LAMMPS since 2020)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dpa_sse.ops.conductivity.readers.lammps_header import box_cell, scales
from dpa_sse.ops.conductivity.readers.lammps_text import FrameStack, Stream, find_columns
from dpa_sse.ops.conductivity.readers.species import map_types
from dpa_sse.ops.conductivity.readers.time_axis import TimeFacts
from dpa_sse.ops.conductivity.readers.trajectory import CUT, Chunk, Trajectory, leave_out
from dpa_sse.ops.conductivity.settings import SourceOptions
from dpa_sse.ops.core.errors import InputError


class _ShortError(Exception):
    """The window ends before the frame does."""


@dataclass
class _Frame:
    step: int
    time: float
    units: str
    cell: np.ndarray
    origin: np.ndarray
    names: list[str]
    values: np.ndarray
    end: int


class _Cursor:
    """Reads plain values from a window of bytes."""

    def __init__(self, stream: Stream, path: Path) -> None:
        self.path, self.limit = path, path.stat().st_size
        self.buffer, self.position, self.end = stream.buffer, stream.start, stream.end

    def take(self, layout: str) -> tuple:
        size = struct.calcsize(layout)
        if self.position + size > self.end:
            raise _ShortError
        values = struct.unpack_from(layout, self.buffer, self.position)
        self.position += size
        return values

    def count(self) -> int:
        """Return a length that is stored; one beyond the file shows damage."""
        value = self.take("<i")[0]
        if not 0 <= value <= self.limit:
            raise InputError(f"{self.path}: a length of {value}: the file is damaged")
        return value

    def text(self, length: int) -> str:
        return self.take(f"<{length}s")[0].decode("ascii", "replace") if length else ""


def _parse(stream: Stream, names: list[str], path: Path) -> _Frame:
    """Return the frame at the start of the window; long column names are in the first frame only."""
    cursor = _Cursor(stream, path)
    length = cursor.take("<q")[0]
    if not -32 <= length < 0 or not cursor.text(-length).startswith("DUMP"):
        raise InputError(f"{path}: not a LAMMPS binary dump, or written by a LAMMPS older than 2020")
    endian, revision = cursor.take("<2i")
    if endian != 1 or revision < 2:
        raise InputError(f"{path}: binary dump of revision {revision} without column names; write a text dump")
    step, n_atoms, triclinic = cursor.take("<2qi")
    if triclinic not in {0, 1}:
        raise InputError(f"{path}: general triclinic box in a binary dump is not supported; write a text dump")
    cursor.take("<6i")
    bounds = np.array(cursor.take("<6d")).reshape(3, 2)
    tilts = cursor.take("<3d") if triclinic else (0.0, 0.0, 0.0)
    width = cursor.take("<i")[0]
    units = cursor.text(cursor.count()).strip("\0 ")
    time = cursor.take("<d")[0] if cursor.take("<c")[0] != b"\0" else float("nan")
    columns = cursor.text(cursor.count()).split()
    if not 0 < width < 1000 or not 0 < n_atoms * width * 8 <= cursor.limit:
        raise InputError(f"{path}: {n_atoms} atoms at step {step}: the file is damaged")
    values = np.empty((n_atoms, width))
    filled = 0
    for _ in range(cursor.count()):
        count = cursor.count()
        if count % width or filled + count // width > n_atoms:
            raise InputError(f"{path}: damaged at step {step}")
        if cursor.position + 8 * count > cursor.end:
            raise _ShortError
        part = np.frombuffer(cursor.buffer, "<f8", count, cursor.position).reshape(-1, width)
        values[filled : filled + len(part)] = part
        filled += len(part)
        cursor.position += 8 * count
    if filled != n_atoms:
        raise InputError(f"{path}: {filled} of {n_atoms} atoms at step {step}: the file is damaged")
    cell, origin = box_cell(bounds, tilts)
    if not np.isfinite(values).all() or not np.isfinite(cell).all():
        raise InputError(f"{path}: values that are not numbers at step {step}: the file is damaged")
    return _Frame(step, time, units, cell, origin, columns or names, values, cursor.position)


def _frames(path: Path, left_out: dict[str, int]) -> Iterator[_Frame]:
    """Yield all complete frames of a file."""
    stream = Stream(path)
    names: list[str] = []
    with stream.file:
        while True:
            try:
                frame = _parse(stream, names, path)
            except _ShortError:
                if stream.refill():
                    continue
                if stream.end > stream.start:
                    leave_out(left_out, CUT)
                return
            names = frame.names
            stream.start = frame.end
            yield frame


def read_lammps_binary(path: Path, options: SourceOptions, timestep_fs: float | None) -> Trajectory:
    """Open a LAMMPS binary dump; elements come from the ``elements`` option (binary dumps hold numbers only).

    Raises
    ------
    InputError
        Not such a file, no complete frame, no ids or types, or unknown elements.
    """
    left_out: dict[str, int] = {}
    frames = _frames(path, left_out)
    first = next(frames, None)
    if first is None:
        raise InputError(f"{path}: no complete frame in this binary dump")
    columns = find_columns(first.names, path)
    if "type" not in first.names:
        raise InputError(f"{path}: no `type` column")
    ids = first.values[:, first.names.index("id")]
    types = first.values[np.argsort(ids, kind="stable"), first.names.index("type")].astype(int)
    length_A, time_ps = scales(first.units, path)
    stack = FrameStack(columns, ids, path, length_A)
    hint = path.stat().st_size // max(1, first.values.nbytes) + 1
    chunks = _chunks(first, frames, stack, time_ps if np.isfinite(time_ps) else 1.0)
    facts = TimeFacts(timestep_fs, options.frame_every, unit="ps" if first.units else "")
    symbols = map_types(types.tolist(), options, path)
    return Trajectory(symbols, chunks, columns.unwrapped, facts, hint, left_out=left_out)


def _chunks(
    first: _Frame, frames: Iterator[_Frame], stack: FrameStack, time_scale: float
) -> Iterator[Chunk]:
    """Yield chunks of the wanted columns."""
    order = [first.names.index(name) for name in stack.columns.wanted()]
    frame: _Frame | None = first
    while frame is not None:
        if frame.names != first.names or len(frame.values) != len(stack.ids):
            raise InputError(f"{stack.path}: atoms or columns change at step {frame.step}")
        stack.add(frame.values[:, order], frame.cell, frame.origin, frame.time * time_scale, frame.step)
        if stack.full:
            yield stack.take()
        frame = next(frames, None)
    if stack.times:
        yield stack.take()
