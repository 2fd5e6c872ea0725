"""deepmd systems as they lie on disk: folders of npy files or groups of an HDF5 file, plain or mixed type."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dpa_sse.ops.core.errors import InputError, outside_type_map
from dpa_sse.ops.data.dataset import SystemData

SPLIT_NAMES = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "test": "test",
}
NEEDED = ("coord", "box", "energy", "force")
SIDE_ARRAYS = ("system", "trajectory", "temperature_K")
"""Per-frame arrays that this project adds to mixed and HDF5 sets; deepmd-kit does not look at them."""


class Store(Protocol):
    """One system: what a folder and an HDF5 group have in common."""

    where: str
    parts: tuple[str, ...]

    def names(self, file: str) -> list[str] | None:
        """Return the words of a text file (type.raw, type_map.raw), None when it is missing."""
        ...

    def sets(self) -> list[str]:
        """Return the names of the sets, sorted."""
        ...

    def array(self, part: str, name: str) -> np.ndarray | None:
        """Return an array of a set, None when it is missing; ValueError or OSError when it is unreadable."""
        ...


class FolderStore:
    """A deepmd/npy folder."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder, self.where, self.parts = folder, str(folder), folder.relative_to(root).parts

    def names(self, file: str) -> list[str] | None:
        """Return the words of a text file."""
        path = self.folder / file
        return path.read_text(encoding="utf-8").split() if path.exists() else None

    def sets(self) -> list[str]:
        """Return the set.* folders."""
        return sorted(part.name for part in self.folder.glob("set.*") if part.is_dir())

    def array(self, part: str, name: str) -> np.ndarray | None:
        """Return the content of an npy file."""
        path = self.folder / part / f"{name}.npy"
        return np.load(path, allow_pickle=False) if path.is_file() else None


class GroupStore:
    """A group of a deepmd/hdf5 file."""

    def __init__(self, path: Path, group: Any) -> None:
        self.group, self.where = group, f"{path}#{group.name}"
        self.parts = tuple(part for part in group.name.split("/") if part)

    def names(self, file: str) -> list[str] | None:
        """Return the words of a data set of text or numbers."""
        if file not in self.group:
            return None
        values = np.atleast_1d(self.group[file][()])
        return [value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist()]

    def sets(self) -> list[str]:
        """Return the set.* groups."""
        return sorted(name for name in self.group if name.startswith("set."))

    def array(self, part: str, name: str) -> np.ndarray | None:
        """Return a data set of a set."""
        found = self.group[part].get(f"{name}.npy")
        return None if found is None else np.asarray(found[()])


def folder_stores(root: Path) -> list[FolderStore]:
    """Return all deepmd/npy systems in a folder or below it, sorted by name."""
    return [FolderStore(root, file.parent) for file in sorted(root.rglob("type.raw"))]


def own_type_map(stores: Sequence[Store]) -> list[str]:
    """Return the elements that the systems name, in the order in which they come."""
    return list(dict.fromkeys(name for store in stores for name in store.names("type_map.raw") or []))


def load_system(
    store: Store, type_map: Sequence[str], default_name: str, *, check_numbers: bool = True
) -> list[SystemData]:
    """Return the frames of one system as blocks, its types renumbered to ``type_map``.

    Folders called train, validation (or valid) and test keep their meaning; everything else is training data. Each
    ``set.*`` counts as one trajectory where the set does not name them.

    Parameters
    ----------
    store : Store
        The system.
    type_map : sequence of str
        Elements of the project.
    default_name : str
        Name of a system that lies at the root.
    check_numbers : bool
        Refuse NaN and cells without volume.

    Raises
    ------
    InputError
        Files missing, wrong shapes, no periodic box, an element outside the type map, or bad numbers.
    """
    own_map = store.names("type_map.raw")
    if not store.sets():
        raise InputError(f"{store.where}: no set.* folder with npy files (raw text data: convert it with dpdata)")
    if store.names("nopbc") is not None:
        raise InputError(f"{store.where}: not periodic (nopbc); this pipeline needs periodic cells")
    if own_map is None:
        raise InputError(
            f"{store.where}: no type_map.raw, so the elements are unknown; write one element a line into it"
        )
    types = _types(store)
    names = [part for part in store.parts if part not in SPLIT_NAMES]
    split = next((SPLIT_NAMES[part] for part in store.parts if part in SPLIT_NAMES), "train")
    system = "-".join(names) or default_name
    blocks = []
    for part in store.sets():
        arrays = _load_set(store, part, len(types), check_numbers=check_numbers)
        count = len(arrays["energy"])
        side = _side_arrays(store, part, count)
        system_names = side.get("system", np.array([system] * count))
        per_frame = _types_per_frame(store, part, types, count)
        for row, name in dict.fromkeys(zip(map(tuple, per_frame.tolist()), system_names.tolist(), strict=True)):
            chosen = np.flatnonzero((per_frame == row).all(axis=1) & (system_names == name))
            real = np.array(row) >= 0  # mixed type pads small systems with -1
            trajectories = side.get("trajectory", np.array([f"{system}.{part}"] * count))
            blocks.append(SystemData(
                name, split, _renumber(np.array(row)[real], own_map, type_map, store.where),
                arrays["coord"][chosen][:, real], arrays["box"][chosen], arrays["energy"][chosen],
                arrays["force"][chosen][:, real], None if arrays["virial"] is None else arrays["virial"][chosen],
                trajectories[chosen].tolist(), None if "temperature_K" not in side else side["temperature_K"][chosen],
            ))
    return blocks


def walk_groups(group: Any) -> Iterator[Any]:
    """Yield all groups of an HDF5 file that hold a system, sorted by name."""
    if "type.raw" in group:
        yield group
        return
    for name in sorted(group):
        if hasattr(group[name], "keys"):
            yield from walk_groups(group[name])


def _types(store: Store) -> np.ndarray:
    words = store.names("type.raw") or []
    try:
        types = np.array([int(word) for word in words], int)
    except ValueError as error:
        raise InputError(f"{store.where}: type.raw holds something else than whole numbers: {error}") from error
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
                f"{store.where}/{part}/{name}.npy: unreadable, or not made for the {n_atoms} atoms of type.raw: {error}"
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
            raise InputError(f"{store.where}/{part}/{name}.npy: holds NaN or infinite numbers")
    if check_numbers and np.any(np.abs(np.linalg.det(arrays["box"])) < 1e-3):
        raise InputError(f"{store.where}/{part}/box.npy: a cell without volume")
    return arrays


def _in_shape(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if values.dtype.kind not in "fiu":
        raise ValueError(f"holds no numbers ({values.dtype})")
    if values[:1].size != (math.prod(shape) if len(values) else 0):
        raise ValueError(f"shape {values.shape}, expected (n, {math.prod(shape)})")
    return values.astype(np.float64).reshape(-1, *shape)


def _types_per_frame(store: Store, part: str, types: np.ndarray, count: int) -> np.ndarray:
    real = store.array(part, "real_atom_types")
    if real is None:
        return np.tile(types, (count, 1))
    if real.shape != (count, len(types)):
        raise InputError(
            f"{store.where}/{part}/real_atom_types.npy: shape {real.shape}, expected {(count, len(types))}"
        )
    return real.astype(int)


def _side_arrays(store: Store, part: str, count: int) -> dict[str, np.ndarray]:
    found = {}
    for name in SIDE_ARRAYS:
        values = store.array(part, name)
        if values is None or values.size != count:
            continue
        flat = values.reshape(count)
        found[name] = np.char.decode(flat, "utf-8") if flat.dtype.kind == "S" else flat
    return found


def _renumber(types: np.ndarray, own_map: Sequence[str], type_map: Sequence[str], where: str) -> np.ndarray:
    if len(types) and (types.max() >= len(own_map) or types.min() < 0):
        raise InputError(f"{where}: type {types.max()} in type.raw, but type_map.raw names {len(own_map)} elements")
    return renumber_types(types, own_map, type_map, where)


def renumber_types(types: np.ndarray, own_map: Sequence[str], type_map: Sequence[str], where: str) -> np.ndarray:
    """Return types of ``own_map`` as types of ``type_map``.

    Raises
    ------
    InputError
        An element is not in ``type_map``.
    """
    outside = sorted({own_map[k] for k in types} - set(type_map))
    if outside:
        raise InputError(f"{where}: {outside_type_map(outside, type_map)}")
    return np.array([list(type_map).index(own_map[k]) for k in types], int)
