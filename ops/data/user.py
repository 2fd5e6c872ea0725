"""A user's own data set in deepmd/npy (plain or mixed type), validated and brought to the project's type map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ops.data.collect import count_frames, split_by_trajectory
from ops.data.dataset import SPLITS, SystemData, drop_duplicates, load_arrays, read_dataset, write_dataset
from ops.data.settings import SplitSettings
from ops.errors import InputError

_SPLIT_NAMES = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "test": "test",
}


def load_user_dataset(path: Path, type_map: Sequence[str]) -> list[SystemData]:
    """Return all frames below a folder.

    Folders called train, validation (or valid) and test keep their meaning; everything else is training data. Each
    ``set.*`` counts as one trajectory, unless the folder is a data set of this pipeline.

    Parameters
    ----------
    path : Path
        Folder that holds deepmd/npy systems at any depth.
    type_map : sequence of str
        Elements of the project; the types are renumbered to it.

    Raises
    ------
    InputError
        Nothing found, files missing, wrong shapes, NaN, no periodic box, or an element outside the type map.
    """
    if not path.is_dir():
        raise InputError(f"{path}: no such folder")
    if (path / "dataset.json").is_file():
        own_map, blocks = read_dataset(path)
        for block in blocks:
            block.types = _renumber(block.types, own_map, type_map, path)
        return blocks
    folders = sorted(file.parent for file in path.rglob("type.raw"))
    if not folders:
        raise InputError(f"{path}: no deepmd/npy system found (no type.raw in it or below)")
    return [block for folder in folders for block in _load_system(path, folder, type_map)]


def import_user_dataset(
    path: Path, type_map: Sequence[str], split: SplitSettings, seed: int, out: Path
) -> dict[str, Any]:
    """Write a user's data as a data set of this pipeline; split by set when it has no splits of its own."""
    blocks = load_user_dataset(path, type_map)
    notes: list[str] = []
    if {block.split for block in blocks} == {"train"}:
        blocks, notes = split_by_trajectory(blocks, split, seed)
    blocks, dropped = drop_duplicates(blocks)
    return write_dataset(
        out, type_map, blocks, n_frames=count_frames(blocks), duplicates_dropped=dropped, notes=notes
    )


def _load_system(root: Path, folder: Path, type_map: Sequence[str]) -> list[SystemData]:
    sets = sorted(part for part in folder.glob("set.*") if part.is_dir())
    if not sets:
        raise InputError(f"{folder}: no set.* folder with npy files (raw text data: convert it with dpdata)")
    if (folder / "nopbc").exists():
        raise InputError(f"{folder}: not periodic (nopbc); this pipeline needs periodic cells")
    if not (folder / "type_map.raw").is_file():
        raise InputError(f"{folder}: no type_map.raw, so the elements are unknown; write one element a line into it")
    own_map = (folder / "type_map.raw").read_text(encoding="utf-8").split()
    types = np.loadtxt(folder / "type.raw", dtype=int, ndmin=1)
    split = _split_of(folder.relative_to(root))
    names = [part for part in folder.relative_to(root).parts if part not in _SPLIT_NAMES]
    system = "-".join(names) or root.resolve().name
    blocks = []
    for part in sets:
        arrays = _load_set(part, len(types))
        per_frame = _types_per_frame(part, types, len(arrays["energy"]))
        for row in np.unique(per_frame, axis=0):
            chosen = np.flatnonzero((per_frame == row).all(axis=1))
            real = row >= 0  # mixed type pads small systems with -1
            blocks.append(SystemData(
                system, split, _renumber(row[real], own_map, type_map, folder), arrays["coord"][chosen][:, real],
                arrays["box"][chosen], arrays["energy"][chosen], arrays["force"][chosen][:, real],
                None if arrays["virial"] is None else arrays["virial"][chosen],
                [f"{system}.{part.name}"] * len(chosen),
            ))
    return blocks


def _split_of(relative: Path) -> str:
    found = [_SPLIT_NAMES[part] for part in relative.parts if part in _SPLIT_NAMES]
    return found[0] if found else SPLITS[0]


def _load_set(part: Path, n_atoms: int) -> dict[str, Any]:
    missing = [name for name in ("coord", "box", "energy", "force") if not (part / f"{name}.npy").is_file()]
    if missing:
        raise InputError(f"{part}: {', '.join(f'{name}.npy' for name in missing)} is missing")
    try:
        arrays = load_arrays([part], n_atoms)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{part}: unreadable, or not made for the {n_atoms} atoms of type.raw: {error}") from error
    count = len(np.asarray(arrays["energy"]))
    for name, values in arrays.items():
        if values is None:
            continue
        if len(values) != count:
            raise InputError(f"{part}/{name}.npy: {len(values)} frames, but energy.npy has {count}")
        if not np.isfinite(values).all():
            raise InputError(f"{part}/{name}.npy: holds NaN or infinite numbers")
    if np.any(np.abs(np.linalg.det(np.asarray(arrays["box"]))) < 1e-3):
        raise InputError(f"{part}/box.npy: a cell without volume")
    return arrays


def _types_per_frame(part: Path, types: np.ndarray, count: int) -> np.ndarray:
    if not (part / "real_atom_types.npy").is_file():
        return np.tile(types, (count, 1))
    real = np.load(part / "real_atom_types.npy", allow_pickle=False).astype(int)
    if real.shape != (count, len(types)):
        raise InputError(f"{part}/real_atom_types.npy: shape {real.shape}, expected {(count, len(types))}")
    return real


def _renumber(types: np.ndarray, own_map: Sequence[str], type_map: Sequence[str], where: Path) -> np.ndarray:
    if len(types) and (types.max() >= len(own_map) or types.min() < 0):
        raise InputError(f"{where}: type {types.max()} in type.raw, but type_map.raw names {len(own_map)} elements")
    outside = sorted({own_map[k] for k in types} - set(type_map))
    if outside:
        raise InputError(f"{where}: element {', '.join(outside)} is not in type_map [{', '.join(type_map)}]")
    return np.array([list(type_map).index(own_map[k]) for k in types], int)
