"""Reader of npz files; plain arrays, streamed."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from dpa_sse.ops.conductivity.readers.species import elements_of
from dpa_sse.ops.conductivity.readers.time_axis import TimeFacts
from dpa_sse.ops.conductivity.readers.trajectory import CHUNK_FRAMES, Chunk, Trajectory
from dpa_sse.ops.conductivity.settings import SourceOptions
from dpa_sse.ops.core.errors import InputError


def read_npz(path: Path, options: SourceOptions, timestep_fs: float | None) -> Trajectory:
    """Open an npz file: ``positions`` (T, N, 3) A, ``cells`` (T, 3, 3) or (3, 3) A, ``symbols`` (N,), ``dt_ps``.

    Positions are streamed, never held as a whole. The file may also hold ``unwrapped``.

    Raises
    ------
    InputError
        An array is missing or the file is damaged.
    """
    notes: list[str] = []
    try:
        with np.load(path, allow_pickle=False) as data:
            missing = [name for name in ("positions", "symbols") if name not in data]
            if missing or ("cells" not in data and "cell" not in data):
                found = ", ".join(data.files)
                raise InputError(f"{path}: needs `positions`, `cells`, `symbols` and `dt_ps`, but has {found}")
            symbols = elements_of([str(name) for name in data["symbols"]], options, path, notes)
            cells = np.asarray(data["cells" if "cells" in data else "cell"], dtype=float)
            frame_ps = float(data["dt_ps"]) if "dt_ps" in data else None
            unwrapped = bool(data["unwrapped"]) if "unwrapped" in data else False
        with zipfile.ZipFile(path) as archive, archive.open("positions.npy") as stream:
            hint = _npy_header(stream)[0][0]
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, OSError, NotImplementedError,
            RuntimeError, SyntaxError, struct.error) as error:
        raise InputError(f"{path}: not a readable npz file ({error})") from error
    if cells.shape[-2:] != (3, 3) or cells.ndim > 3:
        raise InputError(f"{path}: cells have shape {cells.shape}, expected (3, 3) or (T, 3, 3)")
    facts = TimeFacts(timestep_fs, options.frame_every, file_frame_ps=frame_ps, hint="the file has no `dt_ps`")
    return Trajectory(symbols, _npz_chunks(path, cells, len(symbols)), unwrapped, facts, hint, notes)


def _npz_chunks(path: Path, cells: np.ndarray, n_atoms: int) -> Iterator[Chunk]:
    """Yield chunks of the ``positions`` member."""
    with zipfile.ZipFile(path) as archive, archive.open("positions.npy") as stream:
        shape, dtype = _npy_header(stream)
        if len(shape) != 3 or shape[1:] != (n_atoms, 3):
            raise InputError(f"{path}: positions have shape {shape}, expected (T, {n_atoms}, 3)")
        if cells.ndim == 3 and len(cells) not in {1, shape[0]}:
            raise InputError(f"{path}: {len(cells)} cells for {shape[0]} frames")
        source = _raw_member(path, archive) or stream
        varying = cells.ndim == 3 and len(cells) > 1
        frames = np.empty((CHUNK_FRAMES, n_atoms, 3), dtype=dtype)
        try:
            for first in range(0, shape[0], CHUNK_FRAMES):
                count = min(CHUNK_FRAMES, shape[0] - first)
                _fill(source, frames[:count], path)
                positions = frames[:count] if dtype in (np.float32, np.float64) else frames[:count].astype(np.float64)
                part = cells[first : first + count] if varying else np.broadcast_to(cells.reshape(3, 3), (count, 3, 3))
                yield Chunk(positions, part, np.zeros((count, 3)), np.full(count, np.nan))
        finally:
            source.close()


def _fill(source: IO[bytes], array: np.ndarray, path: Path) -> None:
    """Read exactly the bytes of ``array``."""
    view = memoryview(array).cast("B")  # type: ignore[arg-type]
    done = 0
    while done < len(view):
        try:
            count = source.readinto(view[done:])  # type: ignore[attr-defined]
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise InputError(f"{path}: the file is damaged ({error})") from error
        if not count:
            raise InputError(f"{path}: the file ends before its last frame")
        done += count


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of a .npy stream, leaving it at the data."""
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(stream)
    if fortran or dtype.hasobject:
        raise InputError("positions must be a plain array in C order")
    return shape, dtype


def _raw_member(path: Path, archive: zipfile.ZipFile) -> IO[bytes] | None:
    """Return a plain file at the data of an uncompressed ``positions.npy``: no checksum over gigabytes."""
    info = archive.getinfo("positions.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        return None
    raw = path.open("rb", buffering=0)
    raw.seek(info.header_offset + 26)
    name, extra = np.frombuffer(raw.read(4), dtype="<u2")
    raw.seek(info.header_offset + 30 + int(name) + int(extra))
    _npy_header(raw)
    return raw
