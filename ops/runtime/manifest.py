"""``manifest.json`` of a task: which OP wrote the folder, and the hashes of its results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from dpa_sse.ops.core.files import sha256_file, walk_files
from dpa_sse.ops.results.base import Result


class Manifest(Result):
    """The files of a task folder.

    Attributes
    ----------
    producer : str
        Class of the OP.
    version : int
        Its version.
    files : dict
        SHA-256 of every file that is a result, by its relative name.
    """

    FILE: ClassVar[str] = "manifest.json"

    producer: str
    version: int
    files: dict[str, str]

    @classmethod
    def of_folder(cls, folder: Path, *, producer: str, version: int, logs: Sequence[str] = ()) -> Manifest:
        """Return the manifest of a folder; logs, and what is below the folders ``logs``, are not results."""
        files = {
            name: sha256_file(folder / name)
            for name in sorted(walk_files(folder))
            if name != cls.FILE and not name.endswith(".log") and name.split("/")[0] not in logs
        }
        return cls(producer=producer, version=version, files=files)
