"""Inputs embedded in the text of a workflow: plain if that is safe, otherwise compressed and encoded.

Argo substitutes ``{{...}}`` and turns ``$$`` into ``$`` in such texts, and they have to be short.
"""

from __future__ import annotations

import base64
import gzip
import io
import re
import tarfile
from pathlib import Path

from dpa_sse.ops.core.files import atomic_path, walk_files
from dpa_sse.ops.core.foreign import unpack
from dpa_sse.ops.core.limits import gunzip

MAX_TEXT_BYTES = 100_000_000
FILE_MARK = "dpa-sse file gzip+base64\n"
FOLDER_MARK = "dpa-sse folder tar+gzip+base64\n"
PATH_MARK = "dpa-sse path\n"  # the input is on a volume of the pod
PLAIN_BYTES = 6_000
LINE = 4096
UNSAFE = re.compile(r"\{\{|\$[$({]|[^\t\n\x20-\x7e]")
"""What Argo, the environment of a container or YAML would change."""


def encode(path: Path) -> str:
    """Return a file or folder as text; equal content gives equal text."""
    if path.is_dir():
        return FOLDER_MARK + _pack(_tar(path))
    data = path.read_bytes()
    if len(data) <= PLAIN_BYTES and not data.startswith(b"dpa-sse "):
        text = data.decode("latin-1")  # bytes beyond ASCII are unsafe and found as such
        if not UNSAFE.search(text):
            return text
    return FILE_MARK + _pack(data)


def decode(path: Path, folder: Path) -> Path:
    """Return the original of an input: ``path`` itself, or its content unpacked below ``folder``."""
    if not path.is_file():
        return path
    with path.open("rb") as stream:
        mark = stream.readline(len(FOLDER_MARK)).decode("latin-1")
        if mark == PATH_MARK:
            return Path(stream.read().decode("utf-8").strip())
        if mark not in (FILE_MARK, FOLDER_MARK):
            return path
        data = gzip.decompress(base64.b64decode(stream.read()))
    target = folder / path.name
    if mark == FILE_MARK:
        with atomic_path(target) as temporary:
            temporary.write_bytes(data)
        return target
    target.mkdir(parents=True, exist_ok=True)
    unpack(io.BytesIO(data), target)
    return target


def decode_text(text: str) -> str:
    """Return the original text of a file from the result of :func:`encode`."""
    if not text.startswith(FILE_MARK):
        return text
    return gunzip(base64.b64decode(text[len(FILE_MARK) :]), MAX_TEXT_BYTES).decode("utf-8")


def _pack(data: bytes) -> str:
    text = base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()
    return "\n".join(text[start : start + LINE] for start in range(0, len(text), LINE)) + "\n"


def _tar(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(walk_files(folder)):
            data = (folder / name).read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
