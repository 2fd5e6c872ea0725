"""Reading data sets in deepmd/npy format without heavy imports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import read_json


@dataclass(frozen=True)
class Frames:
    """Labelled frames of one system; F frames, N atoms; missing labels are None.

    Units: Angstrom, eV, eV/A; virial in eV (minus stress times volume).
    """

    path: Path
    types: NDArray[np.int_]  # (F, N), indices into the type map of the project
    coords: NDArray[np.float64]  # (F, N, 3)
    cells: NDArray[np.float64]  # (F, 3, 3)
    energies: NDArray[np.float64] | None  # (F,)
    forces: NDArray[np.float64] | None  # (F, N, 3)
    virials: NDArray[np.float64] | None  # (F, 3, 3)


def split_systems(dataset: Path, split: str | None = None) -> list[Path]:
    """Return the deepmd/npy folders of a data set in a fixed order.

    Parameters
    ----------
    dataset : Path
        Folder with ``dataset.json``, or any folder with deepmd/npy data below ``<split>/``.
    split : str, optional
        ``train``, ``validation`` or ``test``; all by default.
    """
    if not dataset.is_dir():
        raise InputError(f"data set folder does not exist: {dataset}")
    if (listing := dataset / "dataset.json").is_file():
        entries = read_json(listing)["systems"]
        found = [
            dataset / entry["path"]
            for entry in entries
            if split in (None, entry["split"]) and entry.get("n_frames", 1)
        ]
        return sorted(dict.fromkeys(found))
    root = dataset / split if split else dataset
    return sorted(path.parent for path in root.rglob("type.raw")) if root.is_dir() else []


def dataset_type_map(dataset: Path) -> list[str]:
    """Return the type map of a data set."""
    if (listing := dataset / "dataset.json").is_file():
        return list(read_json(listing)["type_map"])
    for system in split_systems(dataset):
        if (names := system / "type_map.raw").is_file():
            return names.read_text(encoding="utf-8").split()
    raise InputError(f"{dataset}: neither dataset.json nor a type_map.raw")


def read_frames(system: Path, type_map: Sequence[str]) -> Frames:
    """Read all frames of one deepmd/npy folder (plain or mixed type), types counted in ``type_map``.

    Raises
    ------
    InputError
        Files are missing, not periodic, of different length, or hold an element outside ``type_map``.
    """
    if not (system / "type.raw").is_file():
        raise InputError(f"{system}: no deepmd/npy data (type.raw is missing)")
    if (system / "nopbc").exists():
        raise InputError(f"{system}: not periodic; only periodic cells are supported")
    sets = sorted(path for path in system.glob("set.*") if path.is_dir())
    coords, cells = _join(sets, "coord"), _join(sets, "box")
    if coords is None or cells is None or len(coords) != len(cells):
        raise InputError(f"{system}: coord.npy and box.npy are missing or of different length")
    types = _types(system, sets, len(coords), type_map)
    n = types.shape[1]
    energies, forces, virials = _join(sets, "energy"), _join(sets, "force"), _join(sets, "virial")
    return Frames(
        system,
        types,
        coords.reshape(-1, n, 3),
        cells.reshape(-1, 3, 3),
        None if energies is None else energies.reshape(-1),
        None if forces is None else forces.reshape(-1, n, 3),
        None if virials is None else virials.reshape(-1, 3, 3),
    )


def _join(sets: Sequence[Path], name: str) -> NDArray[np.float64] | None:
    parts = [np.load(path, allow_pickle=False) for folder in sets if (path := folder / f"{name}.npy").is_file()]
    if not parts or len(parts) != len(sets):
        return None
    return np.concatenate(parts).astype(np.float64)


def _types(system: Path, sets: Sequence[Path], n_frames: int, type_map: Sequence[str]) -> NDArray[np.int_]:
    names_file = system / "type_map.raw"
    names = names_file.read_text(encoding="utf-8").split() if names_file.is_file() else list(type_map)
    real = _join(sets, "real_atom_types")
    if real is not None:
        types = real.astype(int)
    else:
        types = np.tile(np.loadtxt(system / "type.raw", dtype=int, ndmin=1), (n_frames, 1))
    if unknown := {names[i] for i in np.unique(types)} - set(type_map):
        raise InputError(f"{system}: element {', '.join(sorted(unknown))} is not in the type map {list(type_map)}")
    index = np.array([list(type_map).index(name) if name in type_map else -1 for name in names])
    return index[types]
