"""Find out the kind of a trajectory file by its content and open it with its reader."""

from __future__ import annotations

import re
from pathlib import Path

from dpa_sse.ops.conductivity.readers.packed import read_head
from dpa_sse.ops.conductivity.readers.trajectory import Trajectory
from dpa_sse.ops.conductivity.settings import SourceOptions
from dpa_sse.ops.core.errors import InputError

_XTC = (b"\x00\x00\x07\xcb", b"\x00\x00\x07\xe7")
_CONFIGURATION = re.compile(r"(?:configuration|Konfig)\s*=", re.IGNORECASE)


def kind_of(path: Path) -> str | None:
    """Return the kind of a trajectory by its content; None if it is none that is known.

    A kind that cannot hold elements or times by itself, such as npz, is named too.
    """
    head = read_head(path)
    if head.startswith(b"PK\x03\x04"):
        return "npz" if b".npy" in head[:80] else None
    if head[:20].find(b"DUMP", 8) >= 0:
        return "binary"
    if b"CORD" in head[4:12]:
        return "dcd"
    if head.startswith(_XTC):
        return "xtc"
    if head.startswith(b"- of Ulm"):
        return "traj"
    return _kind_of_text(head.decode("utf-8", "replace").removeprefix("\ufeff"))


def _kind_of_text(text: str) -> str | None:
    """Return the kind of a text file by its first lines."""
    lines = text.splitlines()
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    if first.startswith("ITEM:"):
        return "lammps"
    if "<modeling>" in text[:2000]:
        return "vasprun"
    if re.fullmatch(r"\s*\d{1,9}\s*", lines[0] if lines else "") and len(lines) > 2 and _atom_line(lines[2]):
        return "xyz"
    return "xdatcar" if _is_xdatcar(lines) else None


def _atom_line(line: str) -> bool:
    """Return whether a line is a label with three numbers, or a row of extended xyz."""
    words = line.split()
    return len(words) >= 4 and sum(_is_number(word) for word in words) >= 3


def _is_xdatcar(lines: list[str]) -> bool:
    """Return whether lines are the start of an XDATCAR: a cell, then configurations or blank lines before frames."""
    if len(lines) < 8 or not all(
        sum(_is_number(word) for word in line.split()) >= count
        for line, count in zip(lines[1:5], (1, 3, 3, 3), strict=True)
    ):
        return False
    after = [line for line in lines[6:9] if not all(word.isdigit() for word in line.split()) or not line.strip()]
    return any(_CONFIGURATION.search(line) or not line.strip() for line in after[:1])


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def open_trajectory(path: Path, options: SourceOptions, timestep_fs: float | None) -> Trajectory:
    """Open a trajectory of any known kind.

    Parameters
    ----------
    path : Path
    options : SourceOptions
    timestep_fs : float, optional
        MD time step.

    Raises
    ------
    InputError
        The kind is unknown, the file is damaged, or an option that its kind needs is missing.
    """
    trajectory = _open(path, options, timestep_fs)
    if options.wrapped is not None:
        trajectory.unwrapped = not options.wrapped
    trajectory.again = lambda: open_trajectory(path, options, timestep_fs)
    return trajectory


def _open(path: Path, options: SourceOptions, timestep_fs: float | None) -> Trajectory:
    from dpa_sse.ops.conductivity.readers import lammps_binary, lammps_text, libraries, npz, vasp, xyz

    if not path.stat().st_size:
        raise InputError(f"{path}: the file is empty")
    kind = kind_of(path)
    if kind in {"dcd", "xtc"}:
        return libraries.read_mdanalysis(kind, path, options, timestep_fs)
    readers = {
        "lammps": lammps_text.read_lammps_text, "binary": lammps_binary.read_lammps_binary, "npz": npz.read_npz,
        "xdatcar": vasp.read_xdatcar, "vasprun": vasp.read_vasprun, "xyz": xyz.read_xyz, "traj": libraries.read_traj,
    }
    if kind not in readers:
        known = "LAMMPS dump, DCD, XTC, extxyz, xyz, XDATCAR, vasprun.xml, .traj, npz, text formats also compressed"
        raise InputError(f"{path}: unknown kind of trajectory, or damaged at its start (known: {known})")
    return readers[kind](path, options, timestep_fs)
