"""Open plain and compressed files alike: the first bytes tell, not the name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from dpa_sse.ops.core.errors import InputError

_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError, ValueError)


def packing(path: Path) -> str:
    """Return how a file is compressed: gzip, bz2, xz, zstd, or an empty text."""
    with path.open("rb") as stream:
        head = stream.read(6)
    known = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
    return next((name for magic, name in known.items() if head.startswith(magic)), "")


class Unpacked(io.RawIOBase):
    """Bytes of a file, decompressed where needed; a damaged compressed file ends where the damage begins.

    Attributes
    ----------
    packed : bool
        The file is compressed.
    damaged : bool
        Decompression failed before the end.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        kind = packing(path)
        self.packed, self.damaged = bool(kind), False
        self._child: subprocess.Popen[bytes] | None = None
        if kind == "zstd":
            self._file: Any = self._unzstd(path)
        else:
            openers: dict[str, Any] = {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open}
            self._file = openers[kind](path) if kind else path.open("rb", buffering=0)

    def _unzstd(self, path: Path) -> BinaryIO:
        """Return the output of the ``zstd`` program: Python 3.11 has no such module."""
        program = shutil.which("zstd")
        if program is None:
            raise InputError(f"{path}: compressed with zstd, but the program `zstd` is not installed; decompress it")
        self._child = subprocess.Popen(
            [program, "-dcq", "--", str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        if self._child.stdout is None:
            raise InputError(f"{path}: zstd gives no output")
        return self._child.stdout  # type: ignore[return-value]

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; return the number of bytes, zero at the end."""
        if not self.packed:
            return self._file.readinto(buffer) or 0
        try:
            data = self._file.read1(min(len(buffer), 1 << 18))
        except _DAMAGE:
            self.damaged = True
            return 0
        if not data and self._child is not None and self._child.wait():
            self.damaged = True
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file, and end the program that reads it."""
        if not self.closed:
            self._file.close()
            if self._child is not None:
                self._child.kill()
                self._child.wait()
        super().close()


def open_text(path: Path) -> io.TextIOWrapper:
    """Open a text file, compressed or not; bytes that are not text become replacement characters."""
    return io.TextIOWrapper(io.BufferedReader(Unpacked(path), 1 << 20), encoding="utf-8", errors="replace")


def read_head(path: Path, size: int = 1 << 14) -> bytes:
    """Return the first bytes of a file, decompressed."""
    with Unpacked(path) as raw:
        stream = io.BufferedReader(raw)
        return stream.read(size) or b""
