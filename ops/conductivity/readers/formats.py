"""Find out the kind of a trajectory file and open it with its reader."""

from __future__ import annotations

from pathlib import Path

from dpa_sse.ops.conductivity.readers.trajectory import Trajectory
from dpa_sse.ops.conductivity.settings import SourceOptions
from dpa_sse.ops.core.errors import InputError

_ENDINGS = {
    ".lammpstrj": "lammps", ".dump": "lammps", ".lammpsdump": "lammps",
    ".dcd": "dcd", ".xtc": "xtc", ".extxyz": "extxyz", ".traj": "traj", ".xyz": "xyz", ".npz": "npz",
}


def kind_by_name(path: Path) -> str | None:
    """Return the kind of a trajectory by its name, None if the name does not show it."""
    name = path.name.lower().removesuffix(".gz")
    if name.startswith("xdatcar"):
        return "xdatcar"
    if "vasprun" in name and name.endswith(".xml"):
        return "vasprun"
    if name.endswith((".bin", ".lmpbin")):
        return sniff(path)
    return next((kind for ending, kind in _ENDINGS.items() if name.endswith(ending)), None)


def sniff(path: Path) -> str:
    """Return the kind of a file by its first bytes.

    Raises
    ------
    InputError
        The kind is unknown.
    """
    with path.open("rb") as stream:
        head = stream.read(64)
    if head.startswith((b"ITEM:", b"\x1f\x8b")):
        return "lammps"
    if head.startswith(b"PK"):
        return "npz"
    if b"DUMP" in head[8:20]:
        return "binary"
    known = "LAMMPS dump, DCD, XTC, extxyz, xyz, XDATCAR, vasprun.xml, .traj, npz"
    raise InputError(f"{path}: unknown kind of trajectory (known: {known})")


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
    from dpa_sse.ops.conductivity.readers import lammps_binary, lammps_text, libraries, npz

    kind = kind_by_name(path) or sniff(path)
    if kind == "lammps":
        trajectory = lammps_text.read_lammps_text(path, options, timestep_fs)
    elif kind == "binary":
        trajectory = lammps_binary.read_lammps_binary(path, options, timestep_fs)
    elif kind == "npz":
        trajectory = npz.read_npz(path)
    elif kind in {"dcd", "xtc"}:
        trajectory = libraries.read_mdanalysis(kind, path, options, timestep_fs)
    elif kind == "xdatcar":
        trajectory = libraries.read_xdatcar(path, options, timestep_fs)
    elif kind == "vasprun":
        trajectory = libraries.read_vasprun(path, options, timestep_fs)
    elif kind == "xyz":
        trajectory = libraries.read_xyz(path, options, timestep_fs)
    else:
        trajectory = libraries.read_ase(path, options, timestep_fs, kind)
    if options.wrapped is not None:
        trajectory.unwrapped = not options.wrapped
    return trajectory
