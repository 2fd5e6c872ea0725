"""The deletion of folders: only of those that the program has made itself."""

from __future__ import annotations

import shutil
from pathlib import Path

from dpa_sse.ops.core.errors import InputError


def remove_tree(folder: Path, within: Path) -> None:
    """Remove a folder that the program has made below ``within``; nothing happens if there is none.

    Parameters
    ----------
    folder : Path
        Links in it are removed, not followed.
    within : Path
        Folder of the program, e.g. of a run or a task.

    Raises
    ------
    InputError
        ``folder`` is a link or a file, or is not below ``within``: somebody else has put it there.
    """
    if not folder.is_symlink() and not folder.exists():
        return
    if folder.is_symlink() or not folder.is_dir():
        kind = "link" if folder.is_symlink() else "file"
        raise InputError(f"{folder}: not removed, because it is a {kind} that this program has not made; move it away")
    place, root = folder.resolve(), within.resolve()
    if place == root or not place.is_relative_to(root):
        raise InputError(f"{folder}: not removed, because it is not below {within}")
    shutil.rmtree(folder)


def remove_listed(folder: Path, names: frozenset[str] | set[str]) -> None:
    """Remove the files of a folder that the program has written, by their plain names; others stay.

    Parameters
    ----------
    folder : Path
    names : set of str
        From the program's list of what it has written there. Names with a folder in them are ignored.

    Raises
    ------
    InputError
        ``folder`` is a link: its files belong to somebody else.
    """
    if folder.is_symlink():
        raise InputError(f"{folder} is a link: nothing is written or removed there; remove the link")
    for name in names:
        if Path(name).name == name and name not in (".", ".."):
            path = folder / name
            if path.is_file() or path.is_symlink():
                path.unlink()
