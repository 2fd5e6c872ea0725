"""Where deepmd systems are: folders of deepmd/npy and groups of deepmd/hdf5."""

from __future__ import annotations

import contextlib
import math
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import find_files

DAMAGE = (
    ValueError, OSError, EOFError, SyntaxError, tokenize.TokenError, TypeError, KeyError, AttributeError, RuntimeError,
    OverflowError, MemoryError, IndexError,
)
"""What NumPy and h5py raise on damaged files."""


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
        """Return an array of a set, None if it is missing; InputError if it is unreadable."""
        ...

    def arrays(self, part: str) -> list[str]:
        """Return the names of the arrays of a set, sorted."""
        ...


@contextlib.contextmanager
def readable(where: str) -> Iterator[None]:
    """Make an ``InputError`` that names the place of what is raised on damaged files."""
    try:
        yield
    except DAMAGE as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{where}: unreadable: {lines[0][:120]!a}") from error


def _load(path: Path) -> np.ndarray:
    """Return the content of an npy file, which must be as long as its header says."""
    with path.open("rb") as stream:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(stream)
        if math.prod(shape) * dtype.itemsize != path.stat().st_size - stream.tell() or min(shape, default=0) < 0:
            raise ValueError("the file is not as long as its header says")
        stream.seek(0)
        values: np.ndarray = np.load(stream, allow_pickle=False)
    return values


class FolderStore:
    """A deepmd/npy folder."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder, self.where, self.parts = folder, str(folder), folder.relative_to(root).parts

    def names(self, file: str) -> list[str] | None:
        """Return the words of a text file."""
        path = self.folder / file
        with readable(str(path)):
            return path.read_text(encoding="utf-8").split() if path.is_file() else None

    def sets(self) -> list[str]:
        """Return the set.* folders."""
        return sorted(part.name for part in self.folder.glob("set.*") if part.is_dir())

    def array(self, part: str, name: str) -> np.ndarray | None:
        """Return the content of an npy file."""
        path = self.folder / part / f"{name}.npy"
        with readable(f"{self.where}/{part}/{name}.npy"):
            return _load(path) if path.is_file() else None

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
        with readable(f"{self.where}/{file}"):
            if file not in self.group:
                return None
            values = np.atleast_1d(self.group[file][()])
            return [value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist()]

    def sets(self) -> list[str]:
        """Return the set.* groups."""
        with readable(self.where):
            return sorted(name for name in self.group if name.startswith("set."))

    def array(self, part: str, name: str) -> np.ndarray | None:
        """Return a data set of a set."""
        with readable(f"{self.where}/{part}/{name}.npy"):
            found = self.group[part].get(f"{name}.npy")
            return None if found is None else np.asarray(found[()])

    def arrays(self, part: str) -> list[str]:
        """Return the names of the data sets of a set."""
        with readable(f"{self.where}/{part}"):
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
