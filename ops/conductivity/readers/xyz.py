"""Reader of xyz files: extended xyz, and those of LAMMPS, CP2K (with its cell file) and i-PI."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dpa_sse.ops.conductivity.readers.lines import Lines, usable_cell
from dpa_sse.ops.conductivity.readers.packed import open_text
from dpa_sse.ops.conductivity.readers.species import elements_of
from dpa_sse.ops.conductivity.readers.time_axis import TimeFacts
from dpa_sse.ops.conductivity.readers.trajectory import BROKEN, CUT, Frame, Trajectory, chunked, leave_out
from dpa_sse.ops.conductivity.settings import SourceOptions
from dpa_sse.ops.core.errors import InputError

_PAIR = re.compile(r"([A-Za-z_][\w-]*)\s*=\s*(\"[^\"]*\"|'[^']*'|\{[^}]*\}|[^\s\"']+)")
_NUMBER = r"([-+]?[0-9.]+(?:[EeDd][-+]?\d+)?)"
_CP2K = re.compile(rf"\bi\s*=\s*(\d+)\s*,\s*time\s*=\s*{_NUMBER}")
_LAMMPS = re.compile(r"Timestep:\s*(\d+)")
_IPI = re.compile(r"\bStep:\s*(\d+)")
_IPI_CELL = re.compile(r"CELL\(abcABC\):\s*" + r"\s+".join([_NUMBER] * 6))
_STEP_KEYS = ("step", "timestep", "md_step")
_BOHR_CELL = re.compile(r"(?:positions|cell)\{(?!angstrom)(\w+)\}")


@dataclass
class _Comment:
    """What the comment line of a frame says; ``unit`` belongs to the time."""

    step: float = float("nan")
    time: float = float("nan")
    unit: str = "ps"
    cell: np.ndarray | None = None
    columns: dict[str, tuple[int, int]] = field(default_factory=dict)


class _BadFrameError(Exception):
    """A frame is damaged."""


def read_xyz(path: Path, options: SourceOptions, timestep_fs: float | None) -> Trajectory:
    """Open an xyz file; an incomplete last frame and broken frames are left out and counted.

    CP2K writes ``name-pos-1.xyz`` and ``name-1.cell``. Times come from ``time_ps``, ``time_fs`` or CP2K's ``time``; a
    ``Time`` without a unit needs the time step. Steps come from ``step``, ``Timestep`` and the like.

    Raises
    ------
    InputError
        Not an xyz file, unknown elements, or no cell; later, while chunks are read, other atoms.
    """
    lines = Lines(path)
    facts = TimeFacts(options.timestep_fs or timestep_fs, options.frame_every)
    trajectory = Trajectory([], iter(()), options.wrapped is False, facts)
    frames = _frames(lines, path, trajectory)
    first = next(frames, None)
    if first is None:
        raise InputError(f"{path}: no complete frame in this xyz file")
    comment, labels, _ = first
    facts.unit = comment.unit
    trajectory.symbols = elements_of(labels, options, path, trajectory.notes)
    cells = _cp2k_cells(path) if comment.cell is None else None
    trajectory.chunks = chunked(_with_cells(first, frames, cells, options, path, trajectory))
    return trajectory


_Parsed = tuple[_Comment, list[str], np.ndarray]


def _with_cells(
    first: _Parsed, frames: Iterator[_Parsed], cells: _Cells | None, options: SourceOptions, path: Path,
    trajectory: Trajectory,
) -> Iterator[Frame]:
    """Yield frames with cells; other atoms than in the first frame are refused."""
    labels, parsed, count = first[1], first, 0
    while parsed is not None:
        comment, names, positions = parsed
        if names != labels:
            raise InputError(f"{path}: number or order of the atoms changes at frame {count}")
        if comment.unit != trajectory.facts.unit:
            raise InputError(f"{path}: the unit of time changes at frame {count}")
        cell = comment.cell
        if cell is None and cells is not None:
            cell = cells.at(comment.step)
            if cell is None:
                leave_out(trajectory.left_out, "without a cell in the .cell file")
        if cells is None or cell is not None:
            usable = np.asarray(usable_cell(cell, options, path))
            yield Frame(positions, usable, comment.time, comment.step)
        parsed = next(frames, None)  # type: ignore[assignment]
        count += 1
    if cells is not None and cells.interpolated:
        trajectory.notes.append(f"cells of {cells.interpolated} frames interpolated: they are printed less often")


def _frames(lines: Lines, path: Path, trajectory: Trajectory) -> Iterator[_Parsed]:
    """Yield complete frames: comment, labels, positions; frames are numbered where the first has no step or time."""
    expected, number = 0, 0
    while line := lines.next():
        if not line.strip():
            continue
        count = int(line) if re.fullmatch(r"\s*\d{1,9}\s*", line) else 0
        if count == 0 and not expected:
            found = line.strip()[:40]
            raise InputError(f"{path}: not an xyz file (`{found}` where a number of atoms is expected)")
        rows = lines.take((count or expected) + 1)
        try:
            if count == 0 or not rows:
                raise _BadFrameError
            comment = _read_comment(rows[0])
            labels, positions = _read_rows(rows[1:], count, comment)
        except _BadFrameError:
            if not expected and len(rows) > count:
                raise InputError(f"{path}: the first frame is damaged") from None
            whole = not (count and len(rows) <= count) or any(row.split() == [str(expected)] for row in rows)
            number += 1
            leave_out(trajectory.left_out, BROKEN if whole and expected else CUT)
            lines.back(rows)
            if not _seek(lines, expected):
                break
            continue
        expected = expected or count
        number += 1
        if trajectory.facts.counts or (number == 1 and np.isnan(comment.step) and np.isnan(comment.time)):
            trajectory.facts.counts, comment.step = True, float(number)
        yield comment, labels, positions
    lines.close()


def _seek(lines: Lines, count: int) -> bool:
    """Go to the next line that holds the number of atoms alone; return False at the end."""
    while line := lines.next():
        if count and line.split() == [str(count)]:
            lines.back([line])
            return True
    return False


def _read_rows(rows: list[str], count: int, comment: _Comment) -> tuple[list[str], np.ndarray]:
    """Return labels and positions of a frame."""
    if len(rows) < count or not rows[-1].endswith("\n"):
        missing_end = len(rows) == count and len(rows[-1].split()) == len(rows[0].split())
        if not missing_end or count < 2 or len(rows[-1]) < len(rows[-2]) - 1:
            raise _BadFrameError
    words = [row.split() for row in rows]
    name, place = comment.columns.get("species", (0, 1))[0], comment.columns.get("pos", (1, 3))[0]
    width = len(words[0])
    if any(len(row) != width for row in words) or width < place + 3:
        raise _BadFrameError
    try:
        positions = np.array([row[place : place + 3] for row in words], dtype=np.float64)
        labels = [row[name] for row in words]
        if "id" in comment.columns:
            ids = np.array([int(row[comment.columns["id"][0]]) for row in words])
            order = np.argsort(ids, kind="stable")
            positions, labels = positions[order], [labels[k] for k in order]
    except (ValueError, IndexError) as error:
        raise _BadFrameError from error
    if not np.isfinite(positions).all():
        raise _BadFrameError
    return labels, positions


def _read_comment(text: str) -> _Comment:
    """Return what a comment line says."""
    found = _Comment()
    try:
        if match := _CP2K.search(text):
            found.step, found.time = float(match[1]), float(match[2]) * 1e-3
            return found
        if match := _IPI_CELL.search(text):
            _read_ipi(text, [float(one) for one in match.groups()], found)
            return found
        if (match := _LAMMPS.search(text)) and "Lattice" not in text:
            found.step = float(match[1])
            return found
        _read_pairs({key.lower(): value.strip("\"'{}") for key, value in _PAIR.findall(text)}, found)
    except (ValueError, IndexError) as error:
        raise _BadFrameError from error
    return found


def _read_ipi(text: str, lengths: list[float], found: _Comment) -> None:
    """Read a comment line of i-PI."""
    from ase.cell import Cell

    if _BOHR_CELL.search(text):
        raise InputError("positions of i-PI in another unit than angstrom; write `positions{angstrom}`")
    found.cell = np.array(Cell.fromcellpar(lengths))
    step = _IPI.search(text)
    found.step = float(step[1]) if step else float("nan")


def _read_pairs(pairs: dict[str, str], found: _Comment) -> None:
    """Read the key=value pairs of extended xyz; keys are in lower case."""
    if "lattice" in pairs:
        values = np.array(pairs["lattice"].split(), dtype=float)
        if values.size != 9 or not np.isfinite(values).all():
            raise _BadFrameError
        found.cell = values.reshape(3, 3)
    words = pairs.get("properties", "").split(":")
    place = 0
    for name, width in zip(words[0::3], words[2::3], strict=False):
        found.columns[name.lower()] = (place, int(width))
        place += int(width)
    if words != [""] and not {"species", "pos"} <= set(found.columns):
        raise InputError("the columns of the xyz file have no `species` and `pos`")
    for key in _STEP_KEYS:
        if key in pairs and re.fullmatch(r"\d+(\.0*)?", pairs[key]):
            found.step = float(pairs[key])
            break
    for key, unit, factor in (("time_ps", "ps", 1.0), ("time_fs", "ps", 1e-3), ("time", "", 1.0)):
        if key in pairs and re.fullmatch(_NUMBER, pairs[key]):
            found.time, found.unit = float(pairs[key]) * factor, unit
            break


class _Cells:
    """Cells of a CP2K run by step; between those that are printed they are interpolated, where they change."""

    def __init__(self, steps: np.ndarray, cells: np.ndarray) -> None:
        self.steps, self.cells = steps, cells
        self.constant = bool(np.allclose(cells, cells[0], rtol=0, atol=1e-9))
        self.interpolated = 0

    def at(self, step: float) -> np.ndarray | None:
        """Return the cell at a step, None outside the printed ones."""
        if self.constant:
            return self.cells[0]
        right = int(np.searchsorted(self.steps, step))
        if right < len(self.steps) and self.steps[right] == step:
            return self.cells[right]
        if not 0 < right < len(self.steps):
            return None
        share = (step - self.steps[right - 1]) / (self.steps[right] - self.steps[right - 1])
        self.interpolated += 1
        return (1 - share) * self.cells[right - 1] + share * self.cells[right]


def _cp2k_cells(path: Path) -> _Cells | None:
    """Return the cells of the CP2K cell file that belongs to an xyz file, None without such a file."""
    plain = re.sub(r"\.(gz|bz2|xz|zst)$", "", path.name)
    names = [Path(plain).with_suffix(".cell").name, re.sub(r"-pos(-\d+)\.xyz$", r"\1.cell", plain)]
    for name in (path.with_name(one) for one in names):
        if name.is_file() and name != path:
            rows: dict[int, list[float]] = {}
            with open_text(name) as stream:
                for line in stream:
                    words = line.split("#")[0].split()
                    try:
                        values = [float(word) for word in words]
                    except ValueError:
                        continue
                    if len(values) >= 12:  # a cut last line is left out
                        rows[int(values[0])] = values[2:11]
            if not rows:
                raise InputError(f"{name}: no cell in this CP2K cell file")
            steps = np.array(sorted(rows))
            return _Cells(steps.astype(float), np.array([rows[k] for k in steps]).reshape(-1, 3, 3))
    return None
