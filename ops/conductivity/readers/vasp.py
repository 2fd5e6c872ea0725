"""Readers of VASP's XDATCAR and vasprun.xml, and of the INCAR next to an XDATCAR."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.conductivity.readers.lines import Lines, usable_cell
from dpa_sse.ops.conductivity.readers.packed import Unpacked, open_text
from dpa_sse.ops.conductivity.readers.species import elements_of
from dpa_sse.ops.conductivity.readers.time_axis import TimeFacts
from dpa_sse.ops.conductivity.readers.trajectory import BROKEN, CUT, Frame, Trajectory, chunked, leave_out
from dpa_sse.ops.conductivity.settings import SourceOptions
from dpa_sse.ops.core.errors import InputError

_MARK = re.compile(r"\s*(?:Direct|Cartesian)?\s*(?:configuration|Konfig)\s*=\s*(\S*)", re.IGNORECASE)
_FIXED = re.compile(r"[-+]?\d*\.\d{8}")
_HINT = "VASP may write every NBLOCK-th step and yet number the frames 1, 2, 3"


@dataclass
class Incar:
    """Settings of an MD run; ``None`` where they are not stated."""

    timestep_fs: float | None = None
    every: int | None = None
    first_K: float | None = None
    last_K: float | None = None

    @property
    def targets(self) -> tuple[float, float] | None:
        """First and last target temperature."""
        if self.first_K is None:
            return None
        return self.first_K, self.first_K if self.last_K is None else self.last_K


def read_incar(path: Path) -> Incar:
    """Return POTIM, NBLOCK, TEBEG and TEEND of an INCAR; NBLOCK is one where it is not set."""
    with open_text(path) as stream:
        text = re.sub(r"[#!].*", "", stream.read(1 << 20))
    values: dict[str, float] = {}
    for name, value in re.findall(r"(?:^|[\n;])\s*([A-Z_]+)\s*=\s*([-+\d.]+)", text.upper()):
        try:
            values[name] = float(value)
        except ValueError:
            continue
    if values.get("IBRION", 0) != 0 or "POTIM" not in values:
        return Incar(first_K=values.get("TEBEG"), last_K=values.get("TEEND"))
    every = int(values.get("NBLOCK", 1)) if "ML_OUTBLOCK" not in values else None
    return Incar(values["POTIM"], every, values.get("TEBEG"), values.get("TEEND"))


def incar_of(path: Path) -> Incar | None:
    """Return the INCAR of the run that wrote an XDATCAR; None where the file was renamed or there is none."""
    incar = path.with_name("INCAR")
    plain = re.fullmatch(r"XDATCAR(\.(gz|bz2|xz|zst))?", path.name)
    return read_incar(incar) if plain and incar.is_file() else None


class _BadFrameError(Exception):
    """A frame is damaged."""


@dataclass
class _Header:
    cell: np.ndarray
    labels: list[str]


def read_xdatcar(path: Path, options: SourceOptions, timestep_fs: float | None) -> Trajectory:
    """Open an XDATCAR, old or new, with or without a header for each frame.

    Configuration numbers 50, 100, ... are MD steps; 1, 2, 3, ... may be frames, see :class:`TimeFacts`.

    Raises
    ------
    InputError
        Not an XDATCAR, no species, or no complete frame.
    """
    incar = incar_of(path) or Incar()
    facts = TimeFacts(timestep_fs, options.frame_every, incar.timestep_fs, incar.every, counts=True, hint=_HINT)
    trajectory = Trajectory([], iter(()), options.wrapped is False, facts, temperature_K=incar.targets)
    lines = Lines(path)
    try:
        header = _read_header(lines, options, path, trajectory.notes)
    except _BadFrameError:
        raise InputError(f"{path}: not an XDATCAR, or its first lines are damaged") from None
    trajectory.symbols = header.labels
    trajectory.chunks = chunked(_xdatcar_frames(lines, header, options, path, trajectory))
    return trajectory


def _read_header(lines: Lines, options: SourceOptions, path: Path, notes: list[str]) -> _Header:
    """Read comment, scale, cell, species and counts."""
    rows = lines.take(7)
    try:
        scale = float(rows[1].split()[0])
        cell = np.array([[float(word) for word in row.split()[:3]] for row in rows[2:5]]).reshape(3, 3)
        names, counts = rows[5].split(), rows[6].split()
    except (IndexError, ValueError) as error:
        lines.back(rows)
        raise _BadFrameError from error
    volume = abs(np.linalg.det(cell))
    if volume < 1e-6 or not np.isfinite(cell).all() or scale == 0:
        raise _BadFrameError
    cell = cell * (scale if scale > 0 else (-scale / volume) ** (1 / 3))
    if all(name.isdigit() for name in names):  # VASP 4 names no species
        lines.back(rows[6:])
        counts, names = names, [str(k + 1) for k in range(len(names))]
    if not names or len(names) != len(counts) or not all(count.isdigit() for count in counts):
        raise _BadFrameError
    labels = [name for name, count in zip(names, counts, strict=True) for _ in range(int(count))]
    return _Header(cell, elements_of(labels, options, path, notes))


@dataclass
class _Numbers:
    """Configuration numbers; from step 1 000 000 on VASP writes stars, which continue the series."""

    last: list[float] = field(default_factory=list)
    starred: int = 0

    def of(self, word: str) -> float:
        """Return the number of a frame."""
        if re.fullmatch(r"\d+", word):
            value = float(word)
        elif set(word) == {"*"} and len(self.last) == 2:
            value = 2 * self.last[1] - self.last[0]
            self.starred += 1
        else:
            return float("nan")
        self.last = [*self.last[-1:], value]
        return value


def _xdatcar_frames(
    lines: Lines, header: _Header, options: SourceOptions, path: Path, trajectory: Trajectory
) -> Iterator[Frame]:
    """Yield frames until the file ends."""
    count, numbers = len(header.labels), _Numbers()
    labels = header.labels
    while line := lines.next():
        mark = _MARK.match(line)
        if mark is None and (line.strip() or not _rows_follow(lines)):
            if not line.strip() and not _more_follows(lines):
                break
            lines.back([line])
            try:
                header = _read_header(lines, options, path, [])
            except _BadFrameError:
                leave_out(trajectory.left_out, BROKEN if _seek_mark(lines) else CUT)
                skipped = _MARK.match(lines.next())  # the cell of that frame is unknown
                numbers.of(skipped[1] if skipped else "")
                lines.take(count)
                continue
            if header.labels != labels:
                raise InputError(f"{path}: the atoms change at the header after {line.strip()[:30]!r}") from None
            continue
        step = numbers.of(mark[1]) if mark else float("nan")
        if mark and "artesian" in line:
            raise InputError(f"{path}: Cartesian positions in an XDATCAR are not supported")
        rows = lines.take(count)
        try:
            reduced = _reduced(rows, count)
        except _BadFrameError:
            lines.back(rows)
            leave_out(trajectory.left_out, BROKEN if _seek_mark(lines) else CUT)
            continue
        yield Frame(reduced @ header.cell, np.asarray(usable_cell(header.cell, options, path)), step=step)
    if numbers.starred:
        trajectory.notes.append(f"{numbers.starred} frames have stars for a number; the series before is continued")
    lines.close()


def _rows_follow(lines: Lines) -> bool:
    """Return whether the next line holds three numbers: old files have a blank line before each frame."""
    line = lines.next()
    lines.back([line] if line else [])
    words = line.split()
    try:
        return len([float(word) for word in words]) == 3
    except ValueError:
        return False


def _more_follows(lines: Lines) -> bool:
    """Return whether anything but blank lines follows."""
    while line := lines.next():
        if line.strip():
            lines.back([line])
            return True
    return False


def _seek_mark(lines: Lines) -> bool:
    """Go to the next line that starts a frame; return False at the end."""
    while line := lines.next():
        if _MARK.match(line):
            lines.back([line])
            return True
    return False


def _reduced(rows: list[str], count: int) -> np.ndarray:
    """Return reduced positions (N, 3)."""
    if len(rows) < count:
        raise _BadFrameError
    if not rows[-1].endswith("\n") and (count < 2 or len(rows[-1]) < len(rows[-2].rstrip("\r\n"))):
        raise _BadFrameError  # the last number may be cut
    words = [row.split() for row in rows]
    if any(len(row) != 3 for row in words):
        words = [_FIXED.findall(row) for row in rows]  # no blanks between the numbers
        if any(len("".join(found)) != len("".join(row.split())) for found, row in zip(words, rows, strict=True)):
            raise _BadFrameError
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError as error:
        raise _BadFrameError from error
    if values.shape != (count, 3) or not np.isfinite(values).all():
        raise _BadFrameError
    return values


def read_vasprun(path: Path, options: SourceOptions, timestep_fs: float | None) -> Trajectory:
    """Open a vasprun.xml, streamed; POTIM and TEBEG are read from it. A cut file ends with its last complete step.

    Steps of a machine-learned force field are ``structure`` elements outside a ``calculation``.

    Raises
    ------
    InputError
        No ionic steps, or the file is damaged at its start.
    """
    facts = TimeFacts(timestep_fs, options.frame_every, counts=True, hint="POTIM is not in this vasprun.xml")
    trajectory = Trajectory([], iter(()), options.wrapped is False, facts)
    state = _Vasprun(path, trajectory)
    frames = state.frames()
    first = next(frames, None)
    if first is None or not state.labels:
        why = f" ({trajectory.notes[0]})" if trajectory.notes else ""
        raise InputError(f"{path}: no ionic steps in this vasprun.xml{why}")
    trajectory.symbols = elements_of(state.labels, options, path, trajectory.notes)
    settings = state.settings
    facts.file_timestep_fs, facts.file_every = settings.get("POTIM"), 1
    if settings.get("ML_OUTBLOCK", 1) > 1:
        facts.file_every = None if settings["ML_OUTBLOCK"] != options.frame_every else options.frame_every
        facts.hint = f"ML_OUTBLOCK = {settings['ML_OUTBLOCK']:g} thins out the steps of the force field"
    if "TEBEG" in settings:
        trajectory.temperature_K = settings["TEBEG"], settings.get("TEEND", settings["TEBEG"])

    def rest() -> Iterator[Frame]:
        yield first
        yield from frames

    trajectory.chunks = chunked(rest())
    return trajectory


class _Vasprun:
    """Parses a vasprun.xml."""

    def __init__(self, path: Path, trajectory: Trajectory) -> None:
        self.path, self.trajectory = path, trajectory
        self.settings: dict[str, float] = {}
        self.labels: list[str] = []
        self.count = 0

    def frames(self) -> Iterator[Frame]:
        """Yield the ionic steps, those of DFT and those of a force field, in order."""
        from xml.etree import ElementTree

        depth, calculations = 0, 0
        with Unpacked(self.path) as stream:
            try:
                for event, element in ElementTree.iterparse(stream, ("start", "end")):  # noqa: S314  (no entities)
                    if element.tag == "calculation":
                        calculations += 1 if event == "start" else -1
                    if event == "start":
                        depth += 1
                        continue
                    depth -= 1
                    self._read_facts(element)
                    whole = element.tag == "calculation" or (element.tag == "structure" and not calculations)
                    if whole and not element.get("name"):
                        frame = self._frame(element)
                        if frame is not None:
                            yield frame
                    if whole or (depth == 1 and element.tag != "atominfo"):
                        element.clear()
            except ElementTree.ParseError as error:
                self.trajectory.notes.append(f"the file ends early or is damaged ({error})")
                leave_out(self.trajectory.left_out, CUT)

    def _read_facts(self, element: Any) -> None:
        """Keep the settings of the run, and the species."""
        if element.tag == "i" and element.get("name") in {"POTIM", "TEBEG", "TEEND", "ML_OUTBLOCK"}:
            try:
                self.settings[element.get("name")] = float(element.text or "nan")
            except ValueError:
                self.settings.pop(element.get("name"), None)
        elif element.tag == "atominfo":
            rows = element.findall("array[@name='atoms']/set/rc")
            self.labels = [(row[0].text or "").strip() for row in rows if len(row)]

    def _frame(self, element: Any) -> Frame | None:
        """Return the frame of a calculation or structure; None for one without positions or with bad numbers."""
        self.count += 1
        structure = element if element.tag == "structure" else element.find("structure")
        if structure is None:
            leave_out(self.trajectory.left_out, BROKEN)
            return None
        try:
            cell, reduced = self._rows(structure, "basis"), self._rows(structure, "positions")
            sound = cell.shape == (3, 3) and reduced.shape == (len(self.labels), 3)
        except (TypeError, ValueError, AttributeError):
            sound = False
        if not sound or not np.isfinite(reduced).all() or abs(np.linalg.det(cell)) < 1e-6:
            leave_out(self.trajectory.left_out, BROKEN)
            return None
        return Frame(reduced @ cell, cell, step=float(self.count))

    @staticmethod
    def _rows(element: Any, name: str) -> np.ndarray:
        rows = element.find(f".//varray[@name='{name}']")
        return np.array([vector.text.split() for vector in rows], dtype=float)
