"""Extended XYZ that keeps the last bit of every number, readable by ASE."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import write_text

if TYPE_CHECKING:
    from ase import Atoms


def write_frames(path: Path | str, frames: Iterable[Atoms]) -> None:
    """Write frames as extxyz, atomically; an existing file is replaced.

    ASE's own writer keeps eight decimals of positions and forces; here every number is the shortest text that reads
    back to the same double, and a frame survives any number of round trips.

    Raises
    ------
    InputError
        The path is a folder.
    """
    if Path(path).is_dir():
        raise InputError(f"{path}: is a folder; give a file in it")
    write_text(path, "".join(frame_text(atoms) for atoms in frames))


def frame_text(atoms: Atoms) -> str:
    """Return one frame as extxyz text: positions, info, and energy, forces, stress if known."""
    from ase.io.extxyz import key_val_dict_to_str
    from ase.stress import voigt_6_to_full_3x3_stress

    results = atoms.calc.results if atoms.calc is not None else {}
    info: dict[str, Any] = {"Lattice": atoms.cell.array.T}
    columns = "species:S:1:pos:R:3"
    numbers = [atoms.positions]
    part = atoms.arrays.get("part")  # substrate and film of an interface
    if "forces" in results:
        columns += ":forces:R:3"
        numbers.append(np.asarray(results["forces"], float))
    info["Properties"] = columns + (":part:I:1" if part is not None else "")
    info |= {key: _safe(value) for key, value in atoms.info.items() if value is not None}
    if "energy" in results:
        info["energy"] = float(results["energy"])
    if "stress" in results:
        stress = np.asarray(results["stress"], float)
        info["stress"] = voigt_6_to_full_3x3_stress(stress) if stress.shape == (6,) else stress.reshape(3, 3)
    info["pbc"] = atoms.pbc
    rows = np.hstack(numbers).tolist()
    ends = [""] * len(atoms) if part is None else [f" {int(one)}" for one in part]
    lines = [
        f"{symbol} {' '.join(map(repr, row))}{end}"
        for symbol, row, end in zip(atoms.get_chemical_symbols(), rows, ends, strict=True)
    ]
    return f"{len(atoms)}\n{key_val_dict_to_str(info)}\n" + "\n".join(lines) + "\n"


def _safe(value: Any) -> Any:
    """Return ``value``, marked as text if ASE would read a number or a boolean (a system named "007" or "T")."""
    if not isinstance(value, str):
        return value
    words = value.replace(",", " ").split()
    return f"_JSON {json.dumps(value)}" if all(_looks_like_a_value(word) for word in words) else value


def _looks_like_a_value(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return word.lower() in ("t", "f", "true", "false")
    return True


def read_frames(path: Path | str) -> list[Atoms]:
    """Return all frames of an extxyz file; an empty file gives an empty list.

    Raises
    ------
    InputError
        The file is missing or not extxyz.
    """
    from ase.io import read

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size == 0:
        return []
    try:
        return list(read(path, index=":", format="extxyz"))
    except Exception as error:  # ASE's readers raise anything
        raise InputError(f"{path}: not readable as extxyz: {error}") from error
