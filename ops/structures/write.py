"""Cells as files of the format that their name asks for: extxyz, CIF, POSCAR."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import atomic_path
from dpa_sse.ops.structures.extxyz import write_frames
from dpa_sse.ops.structures.read import file_format

if TYPE_CHECKING:
    from ase import Atoms

Target = Literal["extxyz", "cif", "vasp"]


def target_format(path: Path) -> Target:
    """Return the format that a file name asks for.

    Raises
    ------
    InputError
        It is another one, which is not written here, or a folder.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give a file in it")
    found = file_format(path)
    if path.suffix.lower() in (".extxyz", ".xyz"):
        return "extxyz"
    if found == "cif":
        return "cif"
    if found == "vasp":
        return "vasp"
    raise InputError(f"{path}: cells are written as .extxyz, .cif, .vasp or POSCAR, by the name of the file")


def write_cells_as(path: Path, cells: Sequence[Atoms]) -> None:
    """Write cells; a POSCAR holds one, a CIF a block for each.

    Raises
    ------
    InputError
        The name asks for another format, or for a POSCAR with several cells; or the path is a folder.
    """
    kind = target_format(path)
    if kind == "extxyz":
        write_frames(path, cells)
        return
    if kind == "vasp" and len(cells) > 1:
        raise InputError(f"{path}: a POSCAR holds one cell, but there are {len(cells)}; write .extxyz or .cif")
    from ase.io import write

    with atomic_path(path) as temporary:
        if kind == "cif":
            write(temporary, list(cells), format="cif")
        else:
            write(temporary, cells[0], format="vasp", direct=True, sort=True)
