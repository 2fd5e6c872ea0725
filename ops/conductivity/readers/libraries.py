"""Readers built on ASE and MDAnalysis, and of CP2K xyz with a cell file: convenient, not fast."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.conductivity.readers.trajectory import CHUNK_FRAMES, Chunk, Trajectory
from dpa_sse.ops.conductivity.settings import SourceOptions
from dpa_sse.ops.core.errors import InputError

_Frame = tuple[np.ndarray, np.ndarray, float]  # positions, cell, time in ps (NaN when unknown)


def chunked(frames: Iterable[_Frame]) -> Iterator[Chunk]:
    """Gather single frames into chunks."""
    batch: list[_Frame] = []
    for frame in frames:
        batch.append(frame)
        if len(batch) == CHUNK_FRAMES:
            yield _chunk(batch)
            batch = []
    if batch:
        yield _chunk(batch)


def _chunk(batch: list[_Frame]) -> Chunk:
    positions, cells, times = zip(*batch, strict=True)
    return Chunk(np.array(positions, dtype=np.float64), np.array(cells), np.zeros((len(batch), 3)), np.array(times))


def spacing_ps(options: SourceOptions, timestep_fs: float | None) -> float | None:
    """Return the time between frames of a file without step numbers, ps; None without a time step."""
    return timestep_fs * 1e-3 * (options.frame_every or 1) if timestep_fs else None


def check_cell(cell: np.ndarray, options: SourceOptions, path: Path) -> np.ndarray:
    """Return a usable cell, from the option if the file has none.

    Raises
    ------
    InputError
        There is none.
    """
    if abs(np.linalg.det(cell)) > 1e-6:
        return cell
    if options.cell is None:
        raise InputError(f"{path}: no periodic cell; give it with --cell a,b,c,alpha,beta,gamma")
    from ase.cell import Cell

    return np.array(Cell.fromcellpar(options.cell))


def read_ase(
    path: Path, options: SourceOptions, timestep_fs: float | None, file_format: str | None = None
) -> Trajectory:
    """Open an extxyz or ASE .traj file (or another format of ASE).

    Times come from ``info['time_ps']``, or ``info['step']`` with the time step; else the frame spacing is used.
    """
    from ase.io import iread

    images = _safely(iread(str(path), index=":", format=file_format), path, file_format)
    first = next(images, None)
    if first is None:
        raise InputError(f"{path}: no frames")
    symbols = list(first.get_chemical_symbols())

    def frames() -> Iterator[_Frame]:
        atoms: Any = first
        count = 0
        while atoms is not None:
            if list(atoms.get_chemical_symbols()) != symbols:
                raise InputError(f"{path}: number or order of the atoms changes at frame {count}")
            cell = check_cell(np.array(atoms.cell), options, path)
            yield atoms.positions.copy(), cell, _time(atoms.info, timestep_fs)
            atoms = next(images, None)
            count += 1

    return Trajectory(symbols, chunked(frames()), options.wrapped is False, spacing_ps(options, timestep_fs))


def _safely(images: Iterator[Any], path: Path, file_format: str | None) -> Iterator[Any]:
    """Yield images; anything a foreign reader raises on a damaged file becomes an ``InputError``."""
    try:
        yield from images
    except Exception as error:
        raise InputError(f"{path}: cannot be read as {file_format or 'a trajectory'} ({error})") from error


def _time(info: dict[str, Any], timestep_fs: float | None) -> float:
    """Return the time of an ASE frame in ps, NaN if it has none."""
    if "time_ps" in info:
        return float(info["time_ps"])
    if "step" in info and timestep_fs:
        return float(info["step"]) * timestep_fs * 1e-3
    return float("nan")


def read_xdatcar(path: Path, options: SourceOptions, timestep_fs: float | None) -> Trajectory:
    """Open a VASP XDATCAR; time = configuration number x POTIM, which reveals missing frames.

    With ``frame_every``, which gives NBLOCK, only the order of the numbers counts, not their size.
    """
    numbers = []
    with path.open(encoding="ascii", errors="replace") as stream:
        for line in stream:
            if line.startswith("Direct configuration"):
                numbers.append(int(line.split("=")[1]))
    trajectory = read_ase(path, options, timestep_fs, "vasp-xdatcar")
    if not timestep_fs or len(numbers) < 2:
        return trajectory
    inner = trajectory.chunks
    unit = timestep_fs * 1e-3
    if options.frame_every:
        unit *= options.frame_every / max(1.0, float(np.median(np.diff(numbers))))
    elif numbers[1] - numbers[0] == 1:
        trajectory.notes.append("assuming one MD step between frames; give --frame-every if NBLOCK was not 1")

    def timed() -> Iterator[Chunk]:
        done = 0
        for chunk in inner:
            count = len(chunk.positions)
            chunk.times = np.array(numbers[done : done + count]) * unit
            done += count
            yield chunk

    trajectory.chunks = timed()
    return trajectory


def read_vasprun(path: Path, options: SourceOptions, timestep_fs: float | None) -> Trajectory:
    """Open a vasprun.xml, streamed; POTIM is read from it. A truncated file ends with its last complete step."""
    notes: list[str] = []
    events = _vasprun_events(path, notes)
    symbols: list[str] = []
    first = None
    for name, value in events:
        if name == "POTIM" and timestep_fs is None:
            timestep_fs = value
        elif name == "symbols":
            symbols = value
        elif name == "frame":
            first = value
            break
    if first is None or not symbols:
        raise InputError(f"{path}: no ionic steps in this vasprun.xml")

    def frames() -> Iterator[_Frame]:
        yield first
        for name, value in events:
            if name == "frame":
                yield value

    return Trajectory(symbols, chunked(frames()), False, spacing_ps(options, timestep_fs), None, notes)


def _vasprun_events(path: Path, notes: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield ("POTIM", fs), ("symbols", list) and ("frame", ...) while the file is parsed."""
    from xml.etree import ElementTree

    def rows(element: Any, name: str) -> np.ndarray:
        return np.array([vector.text.split() for vector in element.find(f".//varray[@name='{name}']")], dtype=float)

    try:
        for _, element in ElementTree.iterparse(str(path)):  # noqa: S314  (expands no external entities)
            if element.tag == "incar" or (element.tag == "separator" and element.get("name") == "ionic"):
                potim = element.find("i[@name='POTIM']")
                if potim is not None:
                    yield "POTIM", float(potim.text or "nan")
            elif element.tag == "atominfo":
                yield "symbols", [(row[0].text or "").strip() for row in element.findall("array[@name='atoms']/set/rc")]
            elif element.tag == "calculation":
                structure = element.find("structure")
                if structure is not None:
                    cell = rows(structure, "basis")
                    yield "frame", (rows(structure, "positions") @ cell, cell, float("nan"))
                element.clear()
    except ElementTree.ParseError as error:
        notes.append(f"the file ends early or is damaged ({error})")
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: this vasprun.xml is damaged ({error})") from error


def read_xyz(path: Path, options: SourceOptions, timestep_fs: float | None) -> Trajectory:
    """Open an xyz file: extended xyz through ASE, else that of CP2K with the ``.cell`` file next to it.

    CP2K writes ``name-pos-1.xyz`` and ``name-1.cell``; the time is in the comment line.
    """
    with path.open(encoding="utf-8", errors="replace") as stream:
        stream.readline()
        comment = stream.readline()
    if "Lattice=" in comment:
        return read_ase(path, options, timestep_fs, "extxyz")
    cells = _cp2k_cells(path)
    frames = _xyz_frames(path, cells, options, timestep_fs)
    symbols, first = next(frames)

    def rest() -> Iterator[_Frame]:
        yield first
        for count, (names, frame) in enumerate(frames, 1):
            if names != symbols:
                raise InputError(f"{path}: number or order of the atoms changes at frame {count}")
            yield frame

    return Trajectory(symbols, chunked(rest()), options.wrapped is False, spacing_ps(options, timestep_fs))


def _cp2k_cells(path: Path) -> dict[int, np.ndarray]:
    """Return step -> cell (3, 3) of the CP2K cell file that belongs to an xyz file, empty if there is none."""
    names = [path.with_suffix(".cell"), path.with_name(re.sub(r"-pos(-\d+)\.xyz$", r"\1.cell", path.name))]
    for name in names:
        if name.is_file() and name != path:
            rows = np.loadtxt(name, ndmin=2)
            return {int(row[0]): row[2:11].reshape(3, 3) for row in rows}
    return {}


def _xyz_frames(
    path: Path, cells: dict[int, np.ndarray], options: SourceOptions, timestep_fs: float | None
) -> Iterator[tuple[list[str], _Frame]]:
    """Yield (symbols, frame) of a plain xyz file; an incomplete last frame is left out."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        while line := stream.readline():
            if not line.strip():
                continue
            try:
                count = int(line)
            except ValueError as error:
                found = line.strip()[:40]
                raise InputError(f"{path}: not an xyz file (`{found}` where a number of atoms is expected)") from error
            comment = stream.readline()
            rows = [stream.readline().split() for _ in range(count)]
            if len(rows[-1]) < 4:
                return
            step = re.search(r"i\s*=\s*(\d+)", comment)
            time = re.search(r"time\s*=\s*([0-9.Ee+-]+)", comment)
            number = int(step.group(1)) if step else -1
            cell = cells.get(number, next(iter(cells.values()), np.zeros((3, 3))))
            when = float(time.group(1)) * 1e-3 if time else float("nan")
            if np.isnan(when) and step and timestep_fs:
                when = number * timestep_fs * 1e-3
            names = [re.sub(r"[^A-Za-z].*", "", row[0]) for row in rows]
            positions = np.array([row[1:4] for row in rows], dtype=float)
            yield names, (positions, check_cell(cell, options, path), when)


def read_mdanalysis(kind: str, path: Path, options: SourceOptions, timestep_fs: float | None) -> Trajectory:
    """Open a DCD or XTC file; the elements come from the ``topology`` option (any structure file of ASE).

    The time in a DCD file is ignored, since programs write it in different units: step numbers and the time step are
    used.
    """
    if options.topology is None:
        raise InputError(f"{path}: a {kind.upper()} file has no elements; give a structure file with --topology")
    from ase.io import read

    atoms: Any = read(options.topology)
    symbols = list(atoms.get_chemical_symbols())
    reader = _mda_reader(kind, path)
    if reader.n_atoms != len(symbols):
        raise InputError(f"{path}: {reader.n_atoms} atoms, but {len(symbols)} in {options.topology}")
    cell = np.array(atoms.cell)
    every = options.frame_every or getattr(reader, "skip_timestep", 1) or 1
    scale = timestep_fs * 1e-3 * every if timestep_fs else None

    def frames() -> Iterator[_Frame]:
        for ts in reader:
            box = ts.triclinic_dimensions
            own = cell if box is None else np.array(box, dtype=float)
            when = float(ts.time) if kind == "xtc" and timestep_fs is None else float("nan")
            yield np.array(ts.positions, dtype=float), check_cell(own, options, path), when

    return Trajectory(symbols, chunked(frames()), options.wrapped is False, scale, reader.n_frames)


def _mda_reader(kind: str, path: Path) -> Any:
    """Return the MDAnalysis reader of a file."""
    from MDAnalysis.coordinates.DCD import DCDReader
    from MDAnalysis.coordinates.XTC import XTCReader

    readers: dict[str, Callable[..., Any]] = {"dcd": DCDReader, "xtc": XTCReader}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about its own future, nothing that a user could act on
            return readers[kind](str(path))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as {kind} ({error})") from error
