"""Where deepmd systems are: folders of deepmd/npy and groups of deepmd/hdf5."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dpa_sse.ops.core.files import find_files


class Store(Protocol):
    """One system: what a folder and an HDF5 group have in common."""

    where: str
    parts: tuple[str, ...]

    def names(self, file: str) -> list[str] | None:
        """Return the words of a text file (type.raw, type_map.raw); None if it is missing."""
        ...

    def sets(self) -> list[str]:
        """Return the names of the sets, sorted."""
        ...

    def array(self, part: str, name: str) -> np.ndarray | None:
        """Return an array of a set, None if it is missing; ValueError or OSError if it is unreadable."""
        ...

    def arrays(self, part: str) -> list[str]:
        """Return the names of the arrays of a set, sorted."""
        ...


class FolderStore:
    """A deepmd/npy folder."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder, self.where, self.parts = folder, str(folder), folder.relative_to(root).parts

    def names(self, file: str) -> list[str] | None:
        """Return the words of a text file."""
        path = self.folder / file
        return path.read_text(encoding="utf-8").split() if path.is_file() else None

    def sets(self) -> list[str]:
        """Return the set.* folders."""
        return sorted(part.name for part in self.folder.glob("set.*") if part.is_dir())

    def array(self, part: str, name: str) -> np.ndarray | None:
        """Return the content of an npy file."""
        path = self.folder / part / f"{name}.npy"
        return np.load(path, allow_pickle=False) if path.is_file() else None

    def arrays(self, part: str) -> list[str]:
        """Return the names of the npy files of a set."""
        return sorted(path.stem for path in (self.folder / part).glob("*.npy"))


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

    def arrays(self, part: str) -> list[str]:
        """Return the names of the data sets of a set."""
        return sorted(name.removesuffix(".npy") for name in self.group[part] if name.endswith(".npy"))


def folder_stores(root: Path) -> list[FolderStore]:
    """Return all deepmd/npy systems in a folder and below it, sorted by name."""
    return [FolderStore(root, folder) for folder in systems_below(root)]


def systems_below(root: Path) -> list[Path]:
    """Return the folders with ``type.raw`` in and below a folder, links followed, sorted."""
    return [file.parent for file in find_files(root, "type.raw")]


def own_type_map(stores: Sequence[Store]) -> list[str]:
    """Return the elements named by the systems, in order of first appearance."""
    return list(dict.fromkeys(name for store in stores for name in store.names("type_map.raw") or []))


def walk_groups(group: Any, seen: set[Any] | None = None) -> Iterator[Any]:
    """Yield all groups of an HDF5 file that hold a system, sorted by name; one with several names is visited once."""
    seen = set() if seen is None else seen
    if group in seen:
        return
    seen.add(group)
    if "type.raw" in group:
        yield group
        return
    for name in sorted(group):
        if hasattr(group.get(name), "keys"):  # None for a link to nothing
            yield from walk_groups(group[name], seen)
