"""The objects in a PyTorch file, read without running anything that the file names and without PyTorch.

A pickle is a program: it may call any function of any module. Here every class and function that it names becomes an
inert object that only keeps its arguments, and tensors are their shapes; the numbers in them are not read.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from math import prod
from typing import IO, Any

from dpa_sse.ops.core.errors import InputError

MAX_PICKLE = 300_000_000
"""Bytes of the object structure; that of a model with millions of parameters is below one megabyte."""
HARMLESS = ("torch", "collections", "__torch__", "numpy", "_codecs")
"""Modules whose names occur in files of models; none of them is imported."""


class Inert:
    """Stands for an object of a class that the file names: holds what it was made from."""

    origin = ""

    def __init__(self, *arguments: Any, **_: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __call__(self, *arguments: Any, **_: Any) -> Inert:
        """Return an inert object, as a call of a class would return an object."""
        return Inert(*arguments)

    def append(self, value: Any) -> None:
        """Take an item of a list-like object, without keeping it."""

    def extend(self, values: Any) -> None:
        """Take items of a list-like object, without keeping them."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Take an item of a dict-like object, without keeping it."""


class Tensor(Inert):
    """A tensor: its shape, and which stored numbers it shows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        size = self.arguments[2] if len(self.arguments) > 2 else ()
        return tuple(int(one) for one in size) if isinstance(size, (tuple, list)) else ()

    @property
    def numel(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def place(self) -> tuple[str, str]:
        """Where its numbers are stored: tensors that share them are the same one under two names."""
        return (str(self.arguments[0]), str(self.arguments[1])) if len(self.arguments) > 1 else ("", str(id(self)))


class Reader(pickle.Unpickler):
    """An unpickler for which every class is inert."""

    def find_class(self, module: str, name: str) -> Any:
        """Return an inert class; refuse a name that no model has."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module.partition(".")[0] not in HARMLESS:
            raise InputError(f"holds an object of {module}.{name}, which no model needs; such a file can run commands")
        if name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
            return Tensor
        if name in ("_rebuild_parameter", "restore_type_tag"):
            return _first
        return type(name, (Inert,), {"origin": module})

    def persistent_load(self, pid: Any) -> Any:
        """Return the reference to the numbers of a tensor as it is."""
        return pid


def _first(*arguments: Any) -> Any:
    return arguments[0] if arguments else None


def read_objects(stream: IO[bytes]) -> Any:
    """Return the objects of a pickle.

    Raises
    ------
    InputError
        It is damaged, or names what no model needs.
    """
    try:
        return Reader(stream).load()
    except InputError:
        raise
    except (RecursionError, MemoryError) as error:
        raise InputError("is nested too deeply to be a model") from error
    except Exception as error:  # a damaged pickle raises nearly anything
        raise InputError(f"is damaged ({type(error).__name__} in its object structure)") from error


def read_entry(archive: zipfile.ZipFile, ending: str) -> IO[bytes] | None:
    """Return the entry of a zip file whose name has this end below its top folder; None if there is none."""
    for info in archive.infolist():
        if info.filename.partition("/")[2] == ending:
            if info.file_size > MAX_PICKLE:
                raise InputError(f"claims {info.file_size / 1e6:.0f} MB of object structure: not a model")
            return archive.open(info)
    return None


def walk(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield the attributes and items of objects, outermost first; each object once."""
    waiting: list[Any] = [node]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, Inert):
            waiting.append(one.state)
        elif isinstance(one, dict):
            for key, value in one.items():
                yield str(key), value
                waiting.append(value)
        elif isinstance(one, (list, tuple)):
            waiting.extend(one)
