"""Files that are either complete or absent, JSON without NaN, hashes."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import math
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary name next to ``path`` that is renamed to ``path`` if the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.filename == str(temporary):
            error.filename = str(path)  # the name that the user knows
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, data: Any) -> None:
    """Write ``data`` as JSON, atomically; NaN and infinity become null, numpy values become plain numbers."""
    write_text(path, json.dumps(jsonable(data), indent=1, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Return the content of a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_csv(path: Path | str, rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Write ``rows`` as CSV with a header line, atomically; None becomes an empty field."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(columns), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def jsonable(data: Any) -> Any:
    """Return ``data`` with numpy arrays, numpy numbers, paths and NaN replaced by JSON values."""
    if type(data) is float:  # most values
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {str(key): jsonable(value) for key, value in data.items()}
    if isinstance(data, (list, tuple, set)):
        return [jsonable(value) for value in data]
    if hasattr(data, "tolist"):  # numpy array or scalar, without importing numpy here
        return jsonable(data.tolist())
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    return str(data) if isinstance(data, Path) else data


def sha256_file(path: Path | str) -> str:
    """Return the SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_tree(path: Path | str) -> str:
    """Return one SHA-256 for a file, or for the names and contents of all files below a folder."""
    path = Path(path)
    if not path.is_dir():
        return sha256_file(path)
    digest = hashlib.sha256()
    for name in sorted(walk_files(path)):
        digest.update(f"{name}\0{sha256_file(path / name)}\n".encode())
    return digest.hexdigest()


def walk_files(folder: Path) -> Iterator[str]:
    """Yield the relative names of all files below ``folder``, following links, without hidden files."""
    for root, files in walk_folders(folder):
        for name in files:
            if not name.startswith("."):
                yield os.path.relpath(os.path.join(root, name), folder)


def walk_folders(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder below ``folder``, itself included, and the sorted names of its files.

    It is the walker of all readers. Links to folders are followed; a folder that is reached several times, e.g. through
    a link to one of its parents, is visited once. Hidden folders are left out, and so are pipes and devices, which may
    have no end.
    """
    seen: set[tuple[int, int]] = set()
    if not _is_new(Path(folder), seen):
        return
    for root, folders, files in os.walk(folder, followlinks=True):
        visible = [name for name in sorted(folders) if not name.startswith(".")]
        folders[:] = [name for name in visible if _is_new(Path(root, name), seen)]
        yield root, sorted(name for name in files if not _is_special(os.path.join(root, name)))


def _is_special(path: str) -> bool:
    try:
        return not stat.S_ISREG(Path(path).stat().st_mode)
    except OSError:  # reported by whoever reads it
        return False


def _is_new(folder: Path, seen: set[tuple[int, int]]) -> bool:
    try:
        stat = folder.stat()
    except OSError:
        return False
    mark = (stat.st_dev, stat.st_ino)
    new = mark not in seen
    seen.add(mark)
    return new


def find_files(folder: Path, name: str) -> list[Path]:
    """Return all files of this name below ``folder``, sorted; links to folders are followed."""
    return sorted(Path(root, name) for root, files in walk_folders(folder) if name in files)
