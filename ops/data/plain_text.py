"""Text files of other programs, compressed or not."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from pathlib import Path
from typing import IO, cast

from dpa_sse.ops.core.errors import InputError

SUFFIXES = (".gz", ".bz2", ".xz")


def open_bytes(path: Path) -> IO[bytes]:
    """Return the content of a file as a binary stream, decompressed."""
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if path.suffix == ".bz2":
        return bz2.open(path, "rb")
    return lzma.open(path, "rb") if path.suffix == ".xz" else path.open("rb")


def read_text(path: Path) -> tuple[str, bool]:
    """Return the text of a file, and whether a compressed file is cut off.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    if path.suffix not in SUFFIXES:
        try:
            return path.read_bytes().decode("utf-8", "replace"), False
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    parts: list[bytes] = []
    cut = False
    try:
        with open_bytes(path) as stream:
            while part := stream.read(1 << 22):
                parts.append(part)
    except EOFError:
        cut = True
    except (OSError, zlib.error, lzma.LZMAError) as error:
        if not parts:
            raise InputError(f"{path}: cannot be read: {error}") from error
        cut = True
    return b"".join(parts).decode("utf-8", "replace"), cut


def head_of(path: Path, size: int) -> bytes:
    """Return the first bytes of a file, decompressed; empty if it cannot be read."""
    try:
        with open_bytes(path) as stream:
            return stream.read(size)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return b""


def plain_name(path: Path) -> str:
    """Return the name of a file without the suffix of its compression."""
    return path.stem if path.suffix in SUFFIXES else path.name
