"""The deletion of files and folders: only of those that the program has made itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import read_json, write_json
from dpa_sse.ops.core.foreign import inside


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


@contextmanager
def only_new_files(out: Path, listed: str, patterns: Sequence[str]) -> Iterator[None]:
    """Remove what an earlier call has written into a folder, and list what the block writes there.

    Files that no call has written stay.

    Parameters
    ----------
    out : Path
    listed : str
        Name of the list in ``out``.
    patterns : sequence of str
        Where the block writes, relative to ``out``: ``*``, ``figures/*``.
    """
    earlier: list[str] = []
    with suppress(FileNotFoundError, ValueError, TypeError):
        earlier = [str(name) for name in read_json(out / listed) if _fits(str(name), patterns)]
    for folder in sorted({str(Path(name).parent) for name in earlier}):
        names = {Path(name).name for name in earlier if str(Path(name).parent) == folder}
        remove_listed(out if folder == "." else inside(out, folder, plain=False), names)
    before = _files(out, patterns)
    try:
        yield
    finally:
        write_json(out / listed, sorted(_files(out, patterns) - before - {listed}))


def _fits(name: str, patterns: Sequence[str]) -> bool:
    path = PurePosixPath(name)
    return any(len(path.parts) == len(PurePosixPath(one).parts) and path.match(one) for one in patterns)


def _files(out: Path, patterns: Sequence[str]) -> set[str]:
    """Return files of a folder as relative names."""
    return {str(path.relative_to(out)) for pattern in patterns for path in out.glob(pattern) if path.is_file()}
