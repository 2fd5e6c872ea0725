"""What the result of a task depends on, as one hash: equal hashes mean that an earlier result can be reused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from dpa_sse.ops.core.files import sha256_file, walk_files
from dpa_sse.ops.runtime.groups import results
from dpa_sse.ops.runtime.manifest import Manifest

TaskInput: TypeAlias = int | Path | list[Path] | None
Digest: TypeAlias = "int | str | list[Digest] | dict[str, Digest] | None"


@dataclass(frozen=True)
class TaskIdentity:
    """All that the result of a task depends on.

    Attributes
    ----------
    op : str
        Class of the OP.
    version : int
        Its version.
    task : str
        Name of the task.
    inputs : mapping
        Files, folders, results of a fan-out, and small numbers, by name.
    keyed_by : mapping
        Inputs of which the task uses some files only, and their paths there (with ``{index}``). A task that has some
        is identified by those files, not by its name and index.
    subject : str
        What the task is about, if that identifies it together with its inputs, whatever its name.
    """

    op: str
    version: int
    task: str
    inputs: Mapping[str, TaskInput]
    keyed_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    subject: str = ""

    @property
    def movable(self) -> bool:
        """Whether the task may have had another name when its result was made."""
        return bool(self.keyed_by or self.subject)

    @cached_property
    def key(self) -> str:
        """The hash, in hexadecimal digits; reads the inputs when it is asked for the first time."""
        parts: dict[str, Digest] = {"op": self.op, "version": self.version}
        used = {name: self._parts_used(name) for name in self.keyed_by}
        parts |= used
        # A task with nothing to do is identified by its name, or all such tasks would share a folder.
        empty = any(None in digests for digests in used.values())
        if self.subject:
            parts["subject"] = self.subject
        elif not used or empty:
            parts["task"] = self.task
        for name, value in self.inputs.items():
            if name not in used and not (used and name == "index" and not (self.subject and empty)):
                parts[name] = _digest(value)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _parts_used(self, name: str) -> list[Digest]:
        root = self.inputs[name]
        assert isinstance(root, Path)  # noqa: S101  (for the type checker)
        return [_digest_part(root, path.format(index=self.inputs["index"])) for path in self.keyed_by[name]]


def _digest(value: TaskInput) -> Digest:
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, list):
        return [_digest(item) for item in results(value)]
    if (value / Manifest.FILE).is_file():  # holds the hashes of all files: no need to read them again
        return sha256_file(value / Manifest.FILE)
    if value.is_dir():
        return {name: sha256_file(value / name) for name in sorted(walk_files(value))}
    return sha256_file(value)


def _digest_part(root: Path, part: str) -> Digest:
    """Return the digest of a file or folder below an artifact; None where there is none (an empty task)."""
    manifest = Manifest.read_if_there(root)
    if manifest is not None:
        inside = [name for name in manifest.files if Path(name).is_relative_to(part)]
        # Without the number of the task
        return {str(Path(name).relative_to(part)): manifest.files[name] for name in inside} or None
    return _digest(root / part) if (root / part).exists() else None
