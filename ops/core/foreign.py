"""Names, archives and texts that others wrote: nothing of them leads out of a folder or controls a terminal."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from dpa_sse.ops.core.errors import InputError

MAX_NAME = 200
"""Characters of one part of a path; a file system takes 255 bytes."""
_PLAIN = re.compile(r"[A-Za-z0-9._-]+")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def inside(root: Path, name: str, *, plain: bool = True) -> Path:
    """Return the path of a foreign relative name below ``root``: the one place where such names become paths.

    Parameters
    ----------
    root : Path
        Folder that the path must not leave, links included.
    name : str
        Relative name with ``/``, from a workflow, a bucket, an archive, an index or a log.
    plain : bool
        One name of letters, digits, ``.``, ``_`` and ``-`` without folders: a stage, a task, a key. Without it, folders
        and all printable characters: files whose names a user has chosen.

    Raises
    ------
    InputError
        The name is empty, absolute, contains ``..`` or a character that is not allowed, or leads out of ``root``
        through a link.
    """
    if fault := _fault(name, plain=plain):
        raise InputError(f"{root}: refused the name {printable(name[:MAX_NAME])!r} ({fault})")
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{root}: refused the name {name!r} (it leads out of the folder through a link)")
    return path


def _fault(name: str, *, plain: bool) -> str:
    """Return why a relative name is refused, empty if it is not."""
    if not name or name.startswith("/") or (plain and "/" in name):
        return "it is empty" if not name else "it has a '/'" if plain else "it is absolute"
    for part in name.split("/"):
        if part in ("", ".", ".."):
            return "it has an empty part, '.' or '..'"
        if len(part.encode("utf-8", "replace")) > MAX_NAME:
            return f"a part of it is longer than {MAX_NAME} bytes"
        if plain and not _PLAIN.fullmatch(part):
            return "only letters, digits, '.', '_' and '-' are allowed"
        if part != printable(part, keep="") or "\\" in part:
            return "it has control characters or a backslash"
    return ""


def unpack(stream: BinaryIO, target: Path, rename: Callable[[str], str | None] = str) -> list[str]:
    """Unpack the files and folders of a tar archive below ``target``; returns the names of the files.

    It does without the filters of :mod:`tarfile`, which Python 3.11.2 (Debian 12) lacks.

    Parameters
    ----------
    stream : file
        The archive, compressed or not.
    target : Path
        Nothing is written outside this folder. Owners, modes and times in the archive are ignored.
    rename : callable, optional
        From the name of a member to that below ``target``; None leaves it out.

    Raises
    ------
    InputError
        A name leads out of ``target``, an entry is a link or a device, or the archive is damaged.
    """
    names = []
    try:
        with tarfile.open(fileobj=stream) as archive:
            for member in archive:
                name = rename(str(PurePosixPath(member.name)))
                if name in (None, "."):
                    continue
                path = inside(target, str(name), plain=False)
                if member.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                data = archive.extractfile(member) if member.isreg() else None
                if data is None:
                    what = "neither a file nor a folder"
                    raise InputError(f"{target}: refused {printable(member.name)!r} in an archive ({what})")
                path.parent.mkdir(parents=True, exist_ok=True)
                _write_new(path, data)
                names.append(str(name))
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise InputError(f"{target}: the archive cannot be unpacked ({printable(str(error))})") from error
    return names


def _write_new(path: Path, data: IO[bytes]) -> None:
    import shutil

    path.unlink(missing_ok=True)  # not into a file that a hard link shares
    with path.open("xb") as stream:
        shutil.copyfileobj(data, stream)


def printable(text: str, keep: str = "\n\t") -> str:
    r"""Return foreign text with characters that control a terminal or reorder text as ``\x1b``, ``\u202e``.

    Parameters
    ----------
    text : str
        From a log, a message, a workflow, a file name.
    keep : str
        Control characters that stay: line break and tab by default, none for a name.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
    for character in "\n\t":
        if character not in keep:
            shown = shown.replace(character, repr(character)[1:-1])
    return shown
