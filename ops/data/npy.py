"""deepmd systems on disk: the one reader and the one writer of deepmd/npy, plain or mixed type, and deepmd/hdf5.

A system is a folder (or a group of an HDF5 file) with ``type.raw``, ``type_map.raw`` and ``set.*/{coord,box,energy,
force,virial}.npy``. Nothing heavy is imported for reading folders.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.frames import SystemData, merge_blocks, type_indices
from dpa_sse.ops.data.stores import FolderStore, Store, systems_below
from dpa_sse.ops.results.dataset import DatasetInfo, Split

SPLIT_NAMES: dict[str, Split] = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "test": "test",
}
NEEDED = ("coord", "box", "energy", "force")
SIDE_ARRAYS = ("system", "trajectory", "temperature_K")
"""Per-frame arrays that this project adds to mixed-type and HDF5 data; DeePMD-kit ignores them."""
KNOWN_ARRAYS = frozenset((*NEEDED, "virial", "real_atom_types", *SIDE_ARRAYS))
ALL_FRAMES = 10**9  # in one set


def split_systems(dataset: Path, split: str | None = None) -> list[Path]:
    """Return the deepmd/npy folders of a data set in a fixed order.

    Parameters
    ----------
    dataset : Path
        Folder with ``dataset.json``, or any folder with deepmd/npy data below ``<split>/``.
    split : str, optional
        ``train``, ``validation`` or ``test``; all by default.

    Raises
    ------
    InputError
        There is no such folder.
    """
    if not dataset.is_dir():
        raise InputError(f"data set folder does not exist: {dataset}")
    if info := DatasetInfo.read_if_there(dataset):
        return sorted({dataset / one.path for one in info.systems if split in (None, one.split) and one.n_frames})
    root = dataset / split if split else dataset
    return systems_below(root) if root.is_dir() else []


def read_system(folder: Path, type_map: Sequence[str]) -> list[SystemData]:
    """Read one deepmd/npy folder, types counted in ``type_map``.

    Parameters
    ----------
    folder : Path
        Folder with ``type.raw``; its name becomes the name of the system.
    type_map : sequence of str
        Elements in the order of the types.

    Returns
    -------
    list of SystemData
        One block for plain data; one for each composition and order of atoms for mixed type.

    Raises
    ------
    InputError
        See :func:`load_system`.
    """
    if not (folder / "type.raw").is_file():
        raise InputError(f"{folder}: no deepmd/npy data (type.raw is missing)")
    return merge_blocks(load_system(FolderStore(folder, folder), type_map, folder.name, check_numbers=False))


def load_system(
    store: Store, type_map: Sequence[str], default_name: str, *, check_numbers: bool = True,
    unnamed: Sequence[str] | None = None,
) -> list[SystemData]:
    """Return the frames of one system as blocks, its types renumbered to ``type_map``.

    Folders called train, validation (or valid) and test keep their meaning; everything else is training data. Each
    ``set.*`` counts as one trajectory unless the set names its trajectories.

    Parameters
    ----------
    store : Store
        The system.
    type_map : sequence of str
        Elements of the project.
    default_name : str
        Name of a system at the root.
    check_numbers : bool
        Refuse NaN and cells without volume.
    unnamed : sequence of str, optional
        Elements of the types of a system without ``type_map.raw``; without them such a system is refused.

    Raises
    ------
    InputError
        Files missing, wrong shapes, no periodic box, an element outside the type map, or bad numbers.
    """
    own_map = store.names("type_map.raw") or (list(unnamed) if unnamed else None)
    if not store.sets():
        raise InputError(f"{store.where}: no set.* folder with npy files (convert raw text data with dpdata)")
    if store.names("nopbc") is not None:
        raise InputError(f"{store.where}: not periodic (nopbc); only periodic cells are supported")
    if own_map is None:
        raise InputError(
            f"{store.where}: no type_map.raw, so the elements are unknown; add one, one element per line, or use "
            "--type-map"
        )
    types = _types(store)
    names = [part for part in store.parts if part not in SPLIT_NAMES]
    split: Split = next((SPLIT_NAMES[part] for part in store.parts if part in SPLIT_NAMES), "train")
    system = "-".join(names) or default_name
    blocks = []
    for part in store.sets():
        arrays = _load_set(store, part, len(types), check_numbers=check_numbers)
        count = len(arrays["energy"])
        side = _side_arrays(store, part, count)
        trajectories = side.get("trajectory", np.array([f"{system}.{part}"] * count))
        for name, row, chosen in _kinds_of_frames(store, part, types, side.get("system"), system, count):
            real = row >= 0  # mixed type pads small systems with -1
            blocks.append(SystemData(
                name, split, _renumber(row[real], own_map, type_map, store.where),
                arrays["coord"][chosen][:, real], arrays["box"][chosen], arrays["energy"][chosen],
                arrays["force"][chosen][:, real], None if arrays["virial"] is None else arrays["virial"][chosen],
                trajectories[chosen].tolist(), None if "temperature_K" not in side else side["temperature_K"][chosen],
                {name: values[chosen] for name, values in _extra_arrays(store, part, count, row).items()},
            ))
    return blocks


def elements_of(folder: Path) -> list[str]:
    """Return the element of each atom of a plain deepmd/npy folder; of mixed type, each element that occurs.

    Raises
    ------
    InputError
        The elements are not named, or ``type.raw`` does not fit them.
    """
    store = FolderStore(folder, folder)
    own_map = store.names("type_map.raw")
    if own_map is None:
        raise InputError(f"{folder}: no type_map.raw, so the elements are unknown")
    mixed = [real for part in store.sets() if (real := store.array(part, "real_atom_types")) is not None]
    types = np.unique(np.concatenate([real.ravel() for real in mixed]).astype(int)) if mixed else _types(store)
    return [own_map[k] for k in _checked_types(types[types >= 0] if mixed else types, own_map, store.where)]


def renumber_types(
    types: NDArray[np.int_], own_map: Sequence[str], type_map: Sequence[str], where: str
) -> NDArray[np.int_]:
    """Return types of ``own_map`` as types of ``type_map``.

    Raises
    ------
    InputError
        An element is not in ``type_map``.
    """
    return type_indices([own_map[k] for k in types], type_map, where)


def _types(store: Store) -> np.ndarray:
    words = store.names("type.raw") or []
    try:
        types = np.array([int(word) for word in words], int)
    except ValueError as error:
        raise InputError(f"{store.where}: type.raw contains something other than integers: {error}") from error
    if not len(types):
        raise InputError(f"{store.where}: type.raw is empty")
    return types


def _load_set(store: Store, part: str, n_atoms: int, *, check_numbers: bool) -> dict[str, Any]:
    shapes: dict[str, tuple[int, ...]] = {
        "coord": (n_atoms, 3), "box": (3, 3), "energy": (), "force": (n_atoms, 3), "virial": (3, 3),
    }
    arrays: dict[str, Any] = {}
    for name, shape in shapes.items():
        try:
            values = store.array(part, name)
            arrays[name] = None if values is None else _in_shape(values, shape)
        except (ValueError, OSError, EOFError) as error:
            raise InputError(
                f"{store.where}/{part}/{name}.npy: unreadable, or not for the {n_atoms} atoms of type.raw: {error}"
            ) from error
    missing = [f"{name}.npy" for name in NEEDED if arrays[name] is None]
    if missing:
        raise InputError(f"{store.where}/{part}: {', '.join(missing)} is missing")
    count = len(arrays["energy"])
    for name, values in arrays.items():
        if values is None:
            continue
        if len(values) != count:
            raise InputError(f"{store.where}/{part}/{name}.npy: {len(values)} frames, but energy.npy has {count}")
        if check_numbers and not np.isfinite(values).all():
            raise InputError(f"{store.where}/{part}/{name}.npy: contains NaN or infinite numbers")
    if check_numbers and np.any(np.abs(np.linalg.det(arrays["box"])) < 1e-3):
        raise InputError(f"{store.where}/{part}/box.npy: a cell without volume")
    return arrays


def _in_shape(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if values.dtype.kind not in "fiu":
        raise ValueError(f"not numbers ({values.dtype})")
    if values.ndim == 0 or (values.ndim == 1 and shape and values.size == math.prod(shape)):  # one frame
        values = values.reshape(1, -1)
    if values[:1].size != (math.prod(shape) if len(values) else 0):
        raise ValueError(f"shape {values.shape}, expected (n, {math.prod(shape)})")
    return values.astype(np.float64).reshape(-1, *shape)


def _kinds_of_frames(
    store: Store, part: str, types: NDArray[np.int_], systems: np.ndarray | None, system: str, count: int
) -> Iterator[tuple[str, NDArray[np.int_], slice | NDArray[np.int_]]]:
    """Yield name, types of the atoms and frame numbers of each kind of frame in a set."""
    real = store.array(part, "real_atom_types")
    if real is None and systems is None:
        if count:
            yield system, types, slice(None)
        return
    if real is not None and (real.shape != (count, len(types)) or not _whole(real)):
        raise InputError(
            f"{store.where}/{part}/real_atom_types.npy: {real.dtype} of shape {real.shape}, expected whole "
            f"numbers of shape {(count, len(types))}"
        )
    per_frame = np.tile(types, (count, 1)) if real is None else real.astype(int)
    names = np.array([system] * count) if systems is None else systems
    for row, name in dict.fromkeys(zip(map(tuple, per_frame.tolist()), names.tolist(), strict=True)):
        yield name, np.array(row, int), np.flatnonzero((per_frame == row).all(axis=1) & (names == name))


def _whole(values: np.ndarray) -> bool:
    """Return whether an array holds whole numbers of a sensible size."""
    return values.dtype.kind in "iuf" and bool((np.abs(values) < 10**6).all() and (values == np.rint(values)).all())


def _side_arrays(store: Store, part: str, count: int) -> dict[str, np.ndarray]:
    found = {}
    for name in SIDE_ARRAYS:
        values = store.array(part, name)
        if values is None or values.size != count:
            continue
        flat = values.reshape(count)
        if flat.dtype.kind == "O":
            flat = np.array([one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in flat])
        flat = np.char.decode(flat, "utf-8", "replace") if flat.dtype.kind == "S" else flat
        if (flat.dtype.kind == "U") == (name != "temperature_K"):
            found[name] = flat
    return found


def _extra_arrays(store: Store, part: str, count: int, row: NDArray[np.int_]) -> dict[str, np.ndarray]:
    """Return all further arrays of a set.

    Raises
    ------
    InputError
        One is unreadable, has not one entry for each frame, or belongs to atoms that are padded.
    """
    found = {}
    for name in store.arrays(part):
        if name in KNOWN_ARRAYS:
            continue
        where = f"{store.where}/{part}/{name}.npy"
        try:
            values = store.array(part, name)
        except (ValueError, OSError, EOFError) as error:
            raise InputError(f"{where}: unreadable: {error}") from error
        if values is None or values.dtype.kind not in "fiub":
            raise InputError(f"{where}: not numbers")
        if values.ndim == 0 or len(values) != count:
            raise InputError(f"{where}: {len(np.atleast_1d(values))} frames, but energy.npy has {count}")
        if (row < 0).any():
            raise InputError(f"{where}: cannot be divided between padded systems of mixed type; remove it, or give the "
                             "systems as plain deepmd/npy")
        found[name] = values
    return found


def _renumber(
    types: NDArray[np.int_], own_map: Sequence[str], type_map: Sequence[str], where: str
) -> NDArray[np.int_]:
    return renumber_types(_checked_types(types, own_map, where), own_map, type_map, where)


def _checked_types(types: NDArray[np.int_], own_map: Sequence[str], where: str) -> NDArray[np.int_]:
    if len(types) and (types.max() >= len(own_map) or types.min() < 0):
        raise InputError(f"{where}: type {types.max()} in type.raw, but type_map.raw names {len(own_map)} elements")
    return types


def write_system(folder: Path, type_map: Sequence[str], block: SystemData) -> None:
    """Write one block as a deepmd/npy folder with one set, in double precision."""
    import dpdata

    data = _dpdata_arrays(block, type_map)
    dpdata.LabeledSystem(data=data).to("deepmd/npy", str(folder), set_size=ALL_FRAMES, prec=np.float64)
    for name, values in block.extra.items():
        np.save(folder / "set.000" / f"{name}.npy", values)


def write_hdf5(path: Path, type_map: Sequence[str], blocks: Sequence[SystemData]) -> None:
    """Write a deepmd/hdf5 file with a group for each split and system, side arrays included."""
    import h5py
    from dpdata.formats.deepmd import hdf5

    with h5py.File(path, "w") as stream:
        for block in merge_blocks(blocks):
            base, number = f"{block.split}/{block.system}", 1
            name = base
            while name in stream:
                number += 1
                name = f"{base}.{number}"
            data = _with_side_arrays(block, type_map).data
            hdf5.dump(stream, name, data, set_size=ALL_FRAMES, comp_prec=np.float64)
            for key, values in block.extra.items():
                stream[name]["set.000"].create_dataset(f"{key}.npy", data=values)


def write_mixed(folder: Path, type_map: Sequence[str], blocks: Sequence[SystemData]) -> None:
    """Write mixed-type folders: one for each split and number of atoms, with and without virials apart."""
    from dpdata.formats.deepmd import mixed

    groups: dict[tuple[str, bool], list[Any]] = {}
    for block in merge_blocks(blocks):
        groups.setdefault((block.split, block.virial is not None), []).append(_with_side_arrays(block, type_map))
    for (split, has_virial), systems in groups.items():
        for atoms, system in mixed.mix_system(*systems, type_map=list(type_map)).items():
            name = f"{atoms}-atoms{'' if has_virial else '-no-virial'}"
            mixed.dump(str(folder / split / name), system.data, set_size=ALL_FRAMES, comp_prec=np.float64)


def _dpdata_arrays(block: SystemData, type_map: Sequence[str]) -> dict[str, Any]:
    data = {
        "atom_names": list(type_map), "atom_numbs": np.bincount(block.types, minlength=len(type_map)).tolist(),
        "atom_types": block.types, "orig": np.zeros(3), "cells": block.box, "coords": block.coord,
        "energies": block.energy, "forces": block.force,
    }
    return data if block.virial is None else {**data, "virials": block.virial}


def _with_side_arrays(block: SystemData, type_map: Sequence[str]) -> Any:
    """Return a block as a dpdata system that also carries system, trajectory and temperature of each frame."""
    import dpdata
    from dpdata.data_type import Axis, DataType

    known = {one.name for one in dpdata.LabeledSystem.DTYPES}
    new = [DataType(name, np.ndarray, (Axis.NFRAMES,), required=False) for name in SIDE_ARRAYS if name not in known]
    if new:
        dpdata.LabeledSystem.register_data_type(*new)
    count = len(block)
    return dpdata.LabeledSystem(data={
        **_dpdata_arrays(block, type_map),
        "temperature_K": block.temperatures_K if block.temperatures_K is not None else np.full(count, np.nan),
        "system": np.char.encode([block.system] * count, "utf-8"),
        "trajectory": np.char.encode(block.trajectories, "utf-8"),
    })
