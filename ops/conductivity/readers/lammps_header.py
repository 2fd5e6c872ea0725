"""Headers of LAMMPS text dumps: step, time, units, box and columns."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.core.errors import InputError

UNITS = {  # length in A, time in ps
    "metal": (1.0, 1.0), "real": (1.0, 1e-3), "electron": (0.529177210903, 1e-3), "si": (1e10, 1e12),
    "cgs": (1e8, 1e12), "micro": (1e4, 1e6), "nano": (10.0, 1e3),
}
_STEP = re.compile(rb"ITEM: TIMESTEP[ \t\r]*\n[ \t]*([^\s#]\S*)")
_START = re.compile(rb"ITEM: TIME(STEP)?\s")


class DamagedHeaderError(Exception):
    """A header cannot be read."""


@dataclass
class Header:
    """Header of one frame, in the units of the file; ``time`` is NaN where there is none."""

    step: int
    time: float
    units: str
    n_atoms: int
    cell: np.ndarray
    origin: np.ndarray
    names: list[str]
    body: int


def scales(units: str, path: Path) -> tuple[float, float]:
    """Return a length in A and a time in ps of ``ITEM: UNITS``; Angstrom and NaN where there is none.

    Raises
    ------
    InputError
        Reduced or unknown units.
    """
    if not units:
        return 1.0, float("nan")
    if units not in UNITS:
        raise InputError(f"{path}: ITEM: UNITS {units}: lengths and times in these units cannot be converted")
    return UNITS[units]


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


def next_frame(buffer: bytearray, start: int, end: int) -> int:
    """Return where the next frame after a damaged one starts, -1 if it is not in the window."""
    found = _START.search(buffer, start, end)
    return found.start() if found else -1


def parse_header(buffer: bytearray, start: int, end: int) -> Header | None:
    """Return the header of the frame that starts at ``start``, None if it is incomplete.

    Raises
    ------
    DamagedHeaderError
        It cannot be read.
    """
    atoms = buffer.find(b"ITEM: ATOMS", start, end)
    stop = buffer.find(b"\n", atoms, end) if atoms >= 0 else -1
    if stop < 0:
        return None
    text = bytes(buffer[start:stop])
    found = _STEP.search(text)
    if found is None:  # a comment may come before the number
        text = b"\n".join(line for line in text.splitlines() if not line.startswith(b"#"))
        found = _STEP.search(text)
    if found is None:
        raise DamagedHeaderError
    try:
        step = float(found[1])
    except ValueError as error:
        raise DamagedHeaderError from error
    if not step.is_integer():
        raise DamagedHeaderError
    return replace(_without_step(text[: found.start(1)] + text[found.end(1) :]), step=int(step), body=stop + 1)


@lru_cache(maxsize=4)
def _without_step(text: bytes) -> Header:
    """Return a header but for its step and place; in most files it is the same for all frames."""
    lines = [line for line in text.decode("ascii", "replace").splitlines() if line.strip() and not line.startswith("#")]
    items = {" ".join(line.split()): k for k, line in enumerate(lines) if line.startswith("ITEM:")}
    if text.count(b"ITEM: TIMESTEP") != 1:  # a frame that was cut, and the next one
        raise DamagedHeaderError
    try:
        n_atoms = int(lines[items["ITEM: NUMBER OF ATOMS"] + 1])
        time = float(lines[items["ITEM: TIME"] + 1]) if "ITEM: TIME" in items else float("nan")
        units = lines[items["ITEM: UNITS"] + 1].strip() if "ITEM: UNITS" in items else ""
        first = next(k for line, k in items.items() if line.startswith("ITEM: BOX BOUNDS"))
        rows = [[float(word) for word in line.split()] for line in lines[first + 1 : first + 4]]
        if "abc origin" in lines[first]:
            cell, origin = np.array([row[:3] for row in rows]), np.array([row[3] for row in rows])
        else:
            tilts = [row[2] if len(row) > 2 else 0.0 for row in rows]
            cell, origin = box_cell([row[:2] for row in rows], tilts)
    except (KeyError, IndexError, ValueError, StopIteration) as error:
        raise DamagedHeaderError from error
    if cell.shape != (3, 3) or not np.isfinite(cell).all() or n_atoms < 1:
        raise DamagedHeaderError
    return Header(0, time, units, n_atoms, cell, origin, lines[-1].split()[2:], 0)
