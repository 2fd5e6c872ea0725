"""Limits for small files that a user names: nothing keeps a command from ending."""

from __future__ import annotations

import errno
import stat
import zlib
from pathlib import Path
from typing import Any

MAX_BYTES = 1_000_000
MAX_VALUES = 20_000
MAX_DEPTH = 50


def regular(path: Path) -> Path:
    """Return the path of a file that can be read to its end.

    Raises
    ------
    OSError
        It is missing, or a pipe, a device or a socket, which may have no end.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "not a file but a pipe or a device", str(path))
    return path


def gunzip(data: bytes, most: int) -> bytes:
    """Return the content of a gzip file in memory.

    Raises
    ------
    ValueError
        It is damaged, or larger than ``most`` bytes when unpacked.
    """
    found = bytearray()
    try:
        while data:
            unpacker = zlib.decompressobj(wbits=31)
            found += unpacker.decompress(data, most + 1 - len(found))
            if len(found) > most:
                raise ValueError(f"larger than {most / 1e6:g} MB when unpacked")
            if not unpacker.eof:
                raise ValueError("the gzip file is cut")
            data = unpacker.unused_data.lstrip(b"\0")  # several members; padding
    except zlib.error as error:
        raise ValueError(f"damaged gzip file ({error})") from error
    return bytes(found)


def read_small(path: Path, most: int = MAX_BYTES) -> str:
    """Return the text of a small file.

    Raises
    ------
    ValueError
        It is larger than ``most`` bytes, or not UTF-8.
    OSError
        It cannot be read.
    """
    with regular(path).open("rb") as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValueError(f"larger than {most // 1000} kB")
    return data.decode("utf-8")


def read_small_yaml(path: Path, most: int = MAX_BYTES) -> Any:  # foreign: unchecked YAML of the user
    """Return the content of a small YAML file.

    Raises
    ------
    ValueError
        It is not YAML, larger than ``most`` bytes, not UTF-8, or holds too many or too deeply nested values, in one
        line.
    OSError
        It cannot be read.
    """
    import yaml

    try:
        return require_bounded(yaml.safe_load(read_small(path, most)))
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def require_bounded(data: Any, most: int = MAX_VALUES, depth: int = MAX_DEPTH) -> Any:
    """Return data of JSON or YAML unchanged.

    Raises
    ------
    ValueError
        It has more values than ``most``, repeated ones of YAML anchors included, or is nested deeper than ``depth``.
    """
    left = most
    waiting: list[tuple[Any, int]] = [(data, 0)]
    while waiting:
        value, level = waiting.pop()
        left -= 1
        if left < 0 or level > depth:
            raise ValueError("too many or too deeply nested values")
        if isinstance(value, dict):
            waiting += [(item, level + 1) for item in value.values()]
        elif isinstance(value, list):
            waiting += [(item, level + 1) for item in value]
    return data
