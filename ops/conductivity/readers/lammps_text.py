"""Fast reader of LAMMPS text dumps (also compressed), and what it shares with that of binary dumps.

Both return atoms sorted by id, in any order in the file. Columns: ``id``, ``element`` or ``type``, and positions as
``xu yu zu``, ``x y z`` (with ``ix iy iz`` where present), ``xs ys zs`` or ``xsu ysu zsu``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dpa_sse.ops.conductivity.readers.lammps_header import (
    DamagedHeaderError,
    Header,
    next_frame,
    parse_header,
    scales,
)
from dpa_sse.ops.conductivity.readers.packed import Unpacked
from dpa_sse.ops.conductivity.readers.species import elements_of, map_types
from dpa_sse.ops.conductivity.readers.time_axis import TimeFacts
from dpa_sse.ops.conductivity.readers.trajectory import BROKEN, CHUNK_FRAMES, CUT, Chunk, Trajectory, leave_out
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


class FrameStack:
    """Collects frames into chunks: sorts by id, applies image flags, converts reduced coordinates."""

    def __init__(self, columns: Columns, ids: np.ndarray, path: Path, length_A: float = 1.0) -> None:
        self.columns, self.path, self.length_A = columns, path, length_A
        self.ids = np.sort(ids)
        if (np.diff(self.ids) == 0).any():
            raise InputError(f"{path}: duplicate atom id in a frame")
        self.positions = np.empty((CHUNK_FRAMES, len(self.ids), 3))
        self.clear()

    def clear(self) -> None:
        """Start a new chunk in the same memory."""
        self.cells, self.origins, self.times, self.steps = [], [], [], []  # type: ignore[var-annotated]

    def add(self, values: np.ndarray, cell: np.ndarray, origin: np.ndarray, time: float, step: float) -> None:
        """Add one frame of (N, 4 or 7) values: id, position, image flags."""
        if not np.array_equal(values[:, 0], self.ids):
            values = values[np.argsort(values[:, 0], kind="stable")]
            if not np.array_equal(values[:, 0], self.ids):
                raise InputError(f"{self.path}: the atom ids at step {step:g} differ from the first frame")
        frame = self.positions[len(self.times)]
        frame[:] = values[:, 1:4]
        if self.length_A != 1.0:
            cell, origin = cell * self.length_A, origin * self.length_A
            if not self.columns.scaled:
                frame *= self.length_A
        if self.columns.scaled:
            frame[:] = frame @ cell + origin
        if self.columns.images:
            frame += values[:, 4:7] @ cell
        self.cells.append(cell)
        self.origins.append(origin)
        self.times.append(time)
        self.steps.append(step)

    @property
    def full(self) -> bool:
        """True if the chunk is complete."""
        return len(self.times) == CHUNK_FRAMES

    def take(self) -> Chunk:
        """Return the chunk and start a new one."""
        count = len(self.times)
        chunk = Chunk(
            self.positions[:count], np.array(self.cells), np.array(self.origins), np.array(self.times, dtype=float),
            np.array(self.steps, dtype=float),
        )
        self.clear()
        return chunk


def _elements(
    rows: Sequence[Sequence[str]], names: list[str], options: SourceOptions, path: Path, notes: list[str]
) -> list[str]:
    """Return the element of each row of the first frame.

    LAMMPS calls every atom C where no elements were set: types with the ``elements`` option then say more.
    """
    labels = {
        name: [row[names.index(name)] for row in rows] for name in ("element", "typelabel", "type") if name in names
    }
    if not labels:
        raise InputError(f"{path}: the dump has neither an `element` nor a `type` column")
    if options.elements and "type" in labels and all(label.isdigit() for label in labels["type"]):
        mapped = map_types([int(label) for label in labels["type"]], options, path)
        stated = next((labels[name] for name in ("element", "typelabel") if name in labels), None)
        if stated is not None and set(stated) != {"C"}:
            found = elements_of(stated, options, path, notes)
            if found != mapped:
                raise InputError(f"{path}: --elements contradicts the elements in the file; leave it out")
        return mapped
    name = next(iter(labels))
    if set(labels[name]) == {"C"} and "type" in labels:
        notes.append("every atom is called C, as LAMMPS does without elements; give them with --elements")
    return elements_of(labels[name], options, path, notes)


class Stream:
    """A window over a (possibly compressed) file that can be refilled."""

    def __init__(self, path: Path) -> None:
        self.file = Unpacked(path)
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
        count = self.file.readinto(memoryview(self.buffer)[kept:])
        self.end += count
        self.eof = not count
        return bool(count)


def read_lammps_text(path: Path, options: SourceOptions, timestep_fs: float | None) -> Trajectory:
    """Open a LAMMPS text dump, plain or compressed; a cut or broken frame is left out and counted.

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
        Not a dump, no ids, unknown elements or units; later, while chunks are read, changing atoms or columns.
    """
    stream = Stream(path)
    header, rows = _first_frame(stream, path)
    columns = find_columns(header.names, path)
    try:
        ids = np.array([int(row[header.names.index("id")]) for row in rows])
        notes: list[str] = []
        symbols = _elements(rows, header.names, options, path, notes)
    except (ValueError, IndexError):
        raise InputError(f"{path}: the first frame is damaged") from None
    symbols = [symbols[k] for k in np.argsort(ids, kind="stable")]
    length_A, time_ps = scales(header.units, path)
    stack = FrameStack(columns, ids, path, length_A)
    size = header.body + sum(len(row) + sum(map(len, row)) for row in rows)
    hint = int(1.1 * path.stat().st_size / size) + 1 if not stream.file.packed else None
    facts = TimeFacts(timestep_fs, options.frame_every, unit="ps" if header.units else "")
    trajectory = Trajectory(symbols, iter(()), columns.unwrapped, facts, hint, notes)
    trajectory.chunks = _Reading(stream, stack, path, trajectory, time_ps).chunks()
    return trajectory


def _first_frame(stream: Stream, path: Path) -> tuple[Header, list[list[str]]]:
    """Return the header of the first frame and its split atom lines; the stream stays at its start."""
    header = rows = None
    while rows is None:
        try:
            header = parse_header(stream.buffer, stream.start, stream.end)
        except DamagedHeaderError:
            near = bytes(stream.buffer[stream.start : stream.start + 40]).decode("ascii", "replace").split("\n")[0]
            raise InputError(f"{path}: not a LAMMPS text dump, or damaged (near `{near}`)") from None
        rows = _first_rows(stream, header) if header else None
        if rows is None and not stream.refill():
            raise InputError(f"{path}: no complete frame in this LAMMPS dump")
    if header is None or any(len(row) < len(header.names) for row in rows):
        raise InputError(f"{path}: the first frame is damaged")
    return header, rows


def _first_rows(stream: Stream, header: Header) -> list[list[str]] | None:
    """Return the split atom lines of the frame at the start of the window, None if some are missing."""
    rows: list[list[str]] = []
    position = header.body
    while len(rows) < header.n_atoms:
        stop = stream.buffer.find(b"\n", position, stream.end)
        if stop < 0:
            return None
        line = bytes(stream.buffer[position:stop]).decode("ascii", "replace")
        if line.strip() and not line.startswith("#"):
            rows.append(line.split())
        position = stop + 1
    return rows


class _Reading:
    """The pass over the frames of a text dump."""

    def __init__(self, stream: Stream, stack: FrameStack, path: Path, trajectory: Trajectory, time_ps: float) -> None:
        self.stream, self.stack, self.path, self.trajectory = stream, stack, path, trajectory
        self.time_scale = time_ps if np.isfinite(time_ps) else 1.0
        wanted = stack.columns.wanted()
        names = stack.columns.names
        self.roles = np.array([wanted.index(name) if name in wanted else -1 for name in names], dtype=np.int64)
        self.values = np.empty((len(stack.ids), len(wanted)))

    def chunks(self) -> Iterator[Chunk]:
        """Yield chunks until the file ends."""
        stream, stack = self.stream, self.stack
        with stream.file:
            while True:
                position, header, after = -1, None, stream.start
                try:
                    header = parse_header(stream.buffer, stream.start, stream.end)
                except DamagedHeaderError:
                    position = -2
                    found = stream.buffer.find(b"ITEM: TIMESTEP", stream.start, stream.end)
                    after = max(found, stream.start) + 1  # never back to a frame that was read
                if header is not None:
                    position, after = self._parse(header), header.body
                if position == -2:
                    position = self._skip(header, after)
                    header = header if position == self.repaired else None
                if position == -1:
                    if stream.refill():
                        continue
                    if bytes(stream.buffer[stream.start : stream.end]).strip():
                        leave_out(self.trajectory.left_out, CUT)
                    break
                stream.start = position
                if header is not None:
                    time = header.time * self.time_scale
                    stack.add(self.values, header.cell, header.origin, time, header.step)
                if stack.full:
                    yield stack.take()
        if stack.times:
            yield stack.take()

    def _parse(self, header: Header) -> int:
        """Parse the atom lines of a frame; return the position after it, -1 if it is incomplete, -2 if damaged."""
        from dpa_sse.ops.conductivity.readers.atom_lines import parse_atoms

        if header.names != self.stack.columns.names:
            raise InputError(f"{self.path}: the columns change at step {header.step}")
        if header.n_atoms != len(self.stack.ids):
            raise InputError(f"{self.path}: {header.n_atoms} atoms at step {header.step}, {len(self.stack.ids)} before")
        view = np.frombuffer(self.stream.buffer, dtype=np.uint8)
        position = parse_atoms(view, header.body, self.stream.end, header.n_atoms, self.roles, self.values)
        if position > 0 and not np.isfinite(self.values.sum()):
            return -2
        return position

    repaired = -3

    def _skip(self, header: Header | None, after: int) -> int:
        """Return where the frame after a damaged one starts, -1 to read more of the file first.

        A frame with comments among its lines is read without them.
        """
        from dpa_sse.ops.conductivity.readers.atom_lines import parse_atoms

        stream = self.stream
        stop = next_frame(stream.buffer, after, stream.end)
        if stop < 0 and not stream.eof:
            return -1
        stop = stream.end if stop < 0 else stop
        self.repaired = -3
        if header is not None:
            lines = bytes(stream.buffer[header.body : stop]).split(b"\n")
            kept = [line for line in lines if line.strip() and not line.lstrip().startswith(b"#")]
            if len(kept) == header.n_atoms < len([line for line in lines if line.strip()]):
                block = np.frombuffer(b"\n".join(kept) + b"\n", dtype=np.uint8)
                done = parse_atoms(block, 0, len(block), header.n_atoms, self.roles, self.values)
                if done > 0 and np.isfinite(self.values.sum()):
                    self.repaired = stop
                    return stop
        leave_out(self.trajectory.left_out, BROKEN if stop < stream.end else CUT)
        return stop
