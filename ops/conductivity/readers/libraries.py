"""Readers built on ASE and MDAnalysis: .traj, DCD and XTC files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.conductivity.readers.lines import usable_cell
from dpa_sse.ops.conductivity.readers.time_axis import TimeFacts
from dpa_sse.ops.conductivity.readers.topology import read_elements
from dpa_sse.ops.conductivity.readers.trajectory import CUT, Frame, Trajectory, chunked, leave_out
from dpa_sse.ops.conductivity.readers.xtc import decoded, xtc_frames
from dpa_sse.ops.conductivity.settings import SourceOptions
from dpa_sse.ops.core.errors import InputError

_AKMA_FS = 48.88821
_TRAJ_HINT = "an ASE .traj file holds every `loginterval`-th step, and not which"
_DCD_HINT = "programs write the time of a DCD file in different units"


def read_traj(path: Path, options: SourceOptions, timestep_fs: float | None) -> Trajectory:
    """Open an ASE .traj file; times come from ``info['time_ps']``, steps from ``info['step']``, where it has them."""
    from ase.io.trajectory import Trajectory as AseFile

    try:
        file: Any = AseFile(str(path))
        first, count = file[0], len(file)
        symbols = list(first.get_chemical_symbols())
    except Exception as error:  # a foreign reader raises anything
        raise InputError(f"{path}: cannot be read as an ASE .traj file ({_short(error)})") from error
    numbered = "time_ps" not in first.info and "step" not in first.info
    facts = TimeFacts(timestep_fs, options.frame_every, counts=numbered, hint=_TRAJ_HINT)
    trajectory = Trajectory(symbols, iter(()), options.wrapped is False, facts, count)

    def frames() -> Iterator[Frame]:
        for k in range(count):
            try:
                atoms = file[k]
                names, positions, cell = atoms.get_chemical_symbols(), atoms.positions.copy(), np.array(atoms.cell)
                time = float(atoms.info.get("time_ps", "nan"))
                step = float(k + 1 if numbered else atoms.info.get("step", "nan"))
            except Exception:  # a foreign reader raises anything
                leave_out(trajectory.left_out, CUT, count - k)
                return
            if list(names) != symbols:
                raise InputError(f"{path}: number or order of the atoms changes at frame {k}")
            yield Frame(positions, np.asarray(usable_cell(cell, options, path)), time, step)

    trajectory.chunks = chunked(frames())
    return trajectory


def read_mdanalysis(kind: str, path: Path, options: SourceOptions, timestep_fs: float | None) -> Trajectory:
    """Open a DCD or XTC file; the elements come from the ``topology`` or ``elements`` option.

    An XTC file holds times in ps and step numbers. The header of a DCD file holds a time step, in the units of the
    program that wrote it, and steps between frames; both count where the time step is the one that is given, in AKMA
    units, ps or fs.
    """
    if kind == "xtc":
        return _read_xtc(path, options, timestep_fs)
    reader = _dcd_reader(path)
    symbols, cell = read_elements(path, options, int(reader.n_atoms))
    facts = TimeFacts(timestep_fs, options.frame_every, counts=True)
    _dcd_facts(reader, facts)
    trajectory = Trajectory(symbols, iter(()), options.wrapped is False, facts, int(reader.n_frames))

    def frames() -> Iterator[Frame]:
        done = 0
        try:
            for ts in reader:
                box = ts.triclinic_dimensions
                own = cell if box is None else np.array(box, dtype=float)
                positions = np.array(ts.positions, dtype=float)
                yield Frame(positions, np.asarray(usable_cell(own, options, path)))
                done += 1
        except (OSError, EOFError, ValueError, RuntimeError):
            leave_out(trajectory.left_out, CUT, int(reader.n_frames) - done)
            return
        if done < reader.n_frames:
            leave_out(trajectory.left_out, CUT, int(reader.n_frames) - done)

    trajectory.chunks = chunked(frames())
    return trajectory


def _dcd_facts(reader: Any, facts: TimeFacts) -> None:
    """Take from the header of a DCD file what agrees with the given time step."""
    header = reader._file.header
    every, delta = int(header.get("nsavc", 0)), float(header.get("delta", 0.0))
    facts.hint = _DCD_HINT
    given = facts.timestep_fs
    if given is None or every < 1:
        return
    units = {"AKMA units": _AKMA_FS, "ps": 1e3, "fs": 1.0}
    if any(abs(delta * unit - given) < 0.01 * given for unit in units.values()):
        facts.file_every = every
        return
    spacing = every * delta * _AKMA_FS
    facts.hint = f"the DCD file says {spacing:g} fs, if in AKMA units, which is not {every} x {given:g} fs"
    if facts.frame_every is not None and every > 1:
        raise InputError(
            f"contradiction: --timestep-fs {given:g}, but the DCD file has a time step of {delta:g}, which is not that "
            "in AKMA units, ps or fs"
        )


def _short(error: Exception) -> str:
    """Return the first line of a message, or the name of an error without one."""
    lines = str(error).strip().splitlines()
    return lines[0][:100] if lines else type(error).__name__


def _dcd_reader(path: Path) -> Any:
    """Return the MDAnalysis reader of a DCD file."""
    from MDAnalysis.coordinates.DCD import DCDReader

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about its own future, nothing that a user could act on
            return DCDReader(str(path))
    except Exception as error:  # a foreign reader raises anything
        raise InputError(f"{path}: cannot be read as DCD ({_short(error)})") from error


def _read_xtc(path: Path, options: SourceOptions, timestep_fs: float | None) -> Trajectory:
    """Open an XTC file; the frames come from a separate process, which a damaged file may end."""
    places = xtc_frames(path)
    if not len(places):
        raise InputError(f"{path}: cannot be read as XTC (no complete frame)")
    symbols, cell = read_elements(path, options, places.n_atoms)
    facts = TimeFacts(timestep_fs, options.frame_every, counts=True)
    trajectory = Trajectory(symbols, iter(()), options.wrapped is False, facts, len(places))

    def frames() -> Iterator[Frame]:
        done = 0
        for box, time, step, positions in decoded(path, places):
            own = np.array(box, dtype=float) if np.abs(box).max() > 0 else cell
            yield Frame(positions, np.asarray(usable_cell(own, options, path)), time, step)
            done += 1
        if rest := len(places) - done + places.rest:
            leave_out(trajectory.left_out, CUT, rest)

    trajectory.chunks = chunked(frames())
    return trajectory
