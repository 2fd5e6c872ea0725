"""Fast reader of LAMMPS text dumps (also gzip), and what it shares with that of binary dumps.

Both return atoms sorted by id, in any order in the file. Columns: ``id``, ``element`` or ``type``, and positions as
``xu yu zu``, ``x y z`` (with ``ix iy iz`` where present), ``xs ys zs`` or ``xsu ysu zsu``.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dpa_sse.ops.conductivity.readers.trajectory import CHUNK_FRAMES, Chunk, Trajectory
from dpa_sse.ops.conductivity.settings import SourceOptions
from dpa_sse.ops.core.errors import InputError

_BUFFER = 1 << 23
_FORMS = (("xu", "yu", "zu"), ("x", "y", "z"), ("xsu", "ysu", "zsu"), ("xs", "ys", "zs"))


@dataclass
class Columns:
    """Meaning of the columns of a dump."""

    names: list[str]
    positions: tuple[str, str, str]
    images: bool

    @property
    def unwrapped(self) -> bool:
        """True if positions include the periodic image."""
        return self.images or self.positions[0] in {"xu", "xsu"}

    @property
    def scaled(self) -> bool:
        """True for reduced coordinates."""
        return self.positions[0] in {"xs", "xsu"}

    def wanted(self) -> list[str]:
        """Return the numeric columns to read, id first."""
        return ["id", *self.positions, *(("ix", "iy", "iz") if self.images else ())]


def find_columns(names: list[str], path: Path) -> Columns:
    """Return which columns hold what.

    Raises
    ------
    InputError
        There is no ``id`` or no complete set of positions.
    """
    if "id" not in names:
        raise InputError(f"{path}: no `id` column to follow atoms by; write `dump ... id element xu yu zu`")
    for form in _FORMS:
        if all(name in names for name in form):
            wrapped = form[0] in {"x", "xs"}
            return Columns(names, form, wrapped and all(name in names for name in ("ix", "iy", "iz")))
    raise InputError(f"{path}: no position columns (xu yu zu, x y z, xs ys zs or xsu ysu zsu) among {' '.join(names)}")


def box_cell(bounds: Any, tilts: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return (cell rows, origin) from LAMMPS bounds (3, 2) and tilts (xy, xz, yz), both as written in a dump.

    The bounds of a triclinic box in a dump are those of the bounding box, so the tilts are subtracted first.
    """
    (xlo, xhi), (ylo, yhi), (zlo, zhi) = bounds
    xy, xz, yz = tilts
    xlo, xhi = xlo - min(0.0, xy, xz, xy + xz), xhi - max(0.0, xy, xz, xy + xz)
    ylo, yhi = ylo - min(0.0, yz), yhi - max(0.0, yz)
    cell = np.array([[xhi - xlo, 0.0, 0.0], [xy, yhi - ylo, 0.0], [xz, yz, zhi - zlo]])
    return cell, np.array([xlo, ylo, zlo])


class FrameStack:
    """Collects frames into chunks: sorts by id, applies image flags, converts reduced coordinates."""

    def __init__(self, columns: Columns, ids: np.ndarray, path: Path) -> None:
        self.columns, self.path = columns, path
        self.ids = np.sort(ids)
        if (np.diff(self.ids) == 0).any():
            raise InputError(f"{path}: duplicate atom id in a frame")
        self.positions = np.empty((CHUNK_FRAMES, len(self.ids), 3))
        self.clear()

    def clear(self) -> None:
        """Start a new chunk in the same memory."""
        self.cells, self.origins, self.times = [], [], []  # type: ignore[var-annotated]

    def add(self, values: np.ndarray, cell: np.ndarray, origin: np.ndarray, time_ps: float) -> None:
        """Add one frame of (N, 4 or 7) values: id, position, image flags."""
        if not np.array_equal(values[:, 0], self.ids):
            values = values[np.argsort(values[:, 0], kind="stable")]
            if not np.array_equal(values[:, 0], self.ids):
                raise InputError(f"{self.path}: the atom ids of frame at {time_ps:g} ps differ from the first frame")
        frame = self.positions[len(self.times)]
        frame[:] = values[:, 1:4]
        if self.columns.scaled:
            frame[:] = frame @ cell + origin
        if self.columns.images:
            frame += values[:, 4:7] @ cell
        self.cells.append(cell)
        self.origins.append(origin)
        self.times.append(time_ps)

    @property
    def full(self) -> bool:
        """True if the chunk is complete."""
        return len(self.times) == CHUNK_FRAMES

    def take(self) -> Chunk:
        """Return the chunk and start a new one."""
        count = len(self.times)
        chunk = Chunk(self.positions[:count], np.array(self.cells), np.array(self.origins), np.array(self.times))
        self.clear()
        return chunk


@dataclass
class _Frame:
    step: int
    n_atoms: int
    cell: np.ndarray
    origin: np.ndarray
    names: list[str]
    body: int


def _parse_header(buffer: bytearray, start: int, end: int, path: Path) -> _Frame | None:
    """Return the header of the frame that starts at ``start``, None if it is incomplete."""
    atoms = buffer.find(b"ITEM: ATOMS", start, end)
    stop = buffer.find(b"\n", atoms, end) if atoms >= 0 else -1
    if stop < 0:
        return None
    lines = bytes(buffer[start:stop]).decode("ascii", "replace").splitlines()
    items = {line: k for k, line in enumerate(lines) if line.startswith("ITEM:")}
    try:
        step = int(lines[items["ITEM: TIMESTEP"] + 1])
        n_atoms = int(lines[items["ITEM: NUMBER OF ATOMS"] + 1])
        first = next(k for line, k in items.items() if line.startswith("ITEM: BOX BOUNDS"))
        rows = [[float(word) for word in line.split()] for line in lines[first + 1 : first + 4]]
        if "abc origin" in lines[first]:
            cell, origin = np.array([row[:3] for row in rows]), np.array([row[3] for row in rows])
        else:
            tilts = [row[2] if len(row) > 2 else 0.0 for row in rows]
            cell, origin = box_cell([row[:2] for row in rows], tilts)
    except (KeyError, IndexError, ValueError, StopIteration) as error:
        near = lines[0][:40]
        raise InputError(f"{path}: not a LAMMPS text dump, or damaged (near `{near}`)") from error
    return _Frame(step, n_atoms, cell, origin, lines[-1].split()[2:], stop + 1)


def _elements(rows: Sequence[Sequence[str]], names: list[str], options: SourceOptions, path: Path) -> list[str]:
    """Return the element of each row of the first frame."""
    if "element" in names:
        column = names.index("element")
        return [row[column] for row in rows]
    if "type" not in names:
        raise InputError(f"{path}: the dump has neither an `element` nor a `type` column")
    column = names.index("type")
    types = [int(row[column]) for row in rows]
    return map_types(types, options, path)


def map_types(types: Sequence[int], options: SourceOptions, path: Path) -> list[str]:
    """Return elements of atom types by the ``elements`` option."""
    elements = options.elements or []
    if not elements:
        raise InputError(f"{path}: atom types without elements; give them, e.g. --elements Li,P,S")
    if min(types) < 1 or max(types) > len(elements):
        raise InputError(f"{path}: atom type {max(types)}, but only {len(elements)} elements are given")
    return [elements[kind - 1] for kind in types]


class Stream:
    """A window over a (possibly compressed) file that can be refilled."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as probe:
            self.zipped = probe.read(2) == b"\x1f\x8b"
        self.file: BinaryIO | io.BufferedIOBase = (
            gzip.open(path) if self.zipped else path.open("rb", buffering=0)  # noqa: SIM115  (closed by the reader)
        )
        self.buffer = bytearray(_BUFFER)
        self.start, self.end, self.eof = 0, 0, False

    def refill(self) -> bool:
        """Keep the unread part and read more; False at the end of the file."""
        if self.eof:
            return False
        kept = self.end - self.start
        if kept * 2 > len(self.buffer):
            self.buffer = self.buffer[self.start : self.end] + bytearray(len(self.buffer) * 2)
        else:
            self.buffer[:kept] = self.buffer[self.start : self.end]
        self.start, self.end = 0, kept
        count = self._read(memoryview(self.buffer)[kept:])
        self.end += count
        self.eof = not count
        return bool(count)

    def _read(self, view: memoryview) -> int:
        """Fill a view with the next bytes; return how many there were."""
        if not self.zipped:
            return self.file.readinto(view) or 0  # type: ignore[union-attr]
        try:
            data = self.file.read1(min(len(view), 1 << 18))  # type: ignore[union-attr]
        except (EOFError, zlib.error):  # a truncated compressed file
            return 0
        view[: len(data)] = data
        return len(data)


def read_lammps_text(path: Path, options: SourceOptions, timestep_fs: float | None) -> Trajectory:
    """Open a LAMMPS text dump (plain or gzip).

    Parameters
    ----------
    path : Path
    options : SourceOptions
        ``elements`` for files with types.
    timestep_fs : float, optional
        Turns step numbers into time.

    Returns
    -------
    Trajectory

    Raises
    ------
    InputError
        Not a dump, no ids, unknown elements; later, while chunks are read, damaged lines or changing atoms.
    """
    stream = Stream(path)
    frame = None
    while frame is None:
        frame = _parse_header(stream.buffer, stream.start, stream.end, path)
        if frame is None and not stream.refill():
            raise InputError(f"{path}: no complete frame in this LAMMPS dump")
    columns = find_columns(frame.names, path)
    while (rows := _first_rows(stream, frame)) is None:
        if not stream.refill():
            raise InputError(f"{path}: the first frame is incomplete")
        frame = _parse_header(stream.buffer, stream.start, stream.end, path) or frame
    ids = np.array([int(row[frame.names.index("id")]) for row in rows])
    symbols = _elements(rows, frame.names, options, path)
    symbols = [symbols[k] for k in np.argsort(ids, kind="stable")]
    stack = FrameStack(columns, ids, path)
    size = frame.body + sum(len(row) + sum(map(len, row)) for row in rows)
    hint = int(1.1 * path.stat().st_size / size) + 1 if not stream.zipped else None
    trajectory = Trajectory(symbols, iter(()), columns.unwrapped, None, hint)
    trajectory.chunks = _text_chunks(stream, stack, path, timestep_fs, trajectory.notes)
    return trajectory


def _first_rows(stream: Stream, frame: _Frame) -> list[list[str]] | None:
    """Return the split atom lines of the frame at the start of the window, None if some are missing."""
    lines = bytes(stream.buffer[frame.body : stream.end]).split(b"\n", frame.n_atoms)
    if len(lines) <= frame.n_atoms:
        return None
    return [line.decode("ascii", "replace").split() for line in lines[: frame.n_atoms]]


def _text_chunks(
    stream: Stream, stack: FrameStack, path: Path, timestep_fs: float | None, notes: list[str]
) -> Iterator[Chunk]:
    """Yield chunks until the file ends; an incomplete last frame is dropped and noted."""
    from dpa_sse.ops.conductivity.readers.atom_lines import parse_atoms

    wanted = stack.columns.wanted()
    roles = np.array([wanted.index(name) if name in wanted else -1 for name in stack.columns.names], dtype=np.int64)
    values = np.empty((len(stack.ids), len(wanted)))
    scale = timestep_fs * 1e-3 if timestep_fs else float("nan")
    with stream.file:
        while True:
            frame = _parse_header(stream.buffer, stream.start, stream.end, path)
            position = -1
            if frame is not None:
                if frame.n_atoms != len(stack.ids):
                    raise InputError(f"{path}: {frame.n_atoms} atoms at step {frame.step}, {len(stack.ids)} before")
                if frame.names != stack.columns.names:
                    raise InputError(f"{path}: the columns change at step {frame.step}")
                view = np.frombuffer(stream.buffer, dtype=np.uint8)
                position = parse_atoms(view, frame.body, stream.end, frame.n_atoms, roles, values)
                del view
            if position == -2:
                raise InputError(f"{path}: a line of step {frame.step if frame else 0} has too few columns")
            if position == -1 or frame is None:
                if stream.refill():
                    continue
                if bytes(stream.buffer[stream.start : stream.end]).strip():
                    notes.append("the last frame is incomplete and was dropped")
                break
            stream.start = position
            stack.add(values, frame.cell, frame.origin, frame.step * scale)
            if stack.full:
                yield stack.take()
    if stack.times:
        yield stack.take()
