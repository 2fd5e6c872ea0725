"""Folders with frames to label, one for each task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.structures.extxyz import write_frames

if TYPE_CHECKING:
    from ase import Atoms

FRAMES = "frames.extxyz"


def write_tasks(frames: Sequence[Atoms], group: int, out: Path) -> None:
    """Write frames to label as ``task.NNN/frames.extxyz``, ``group`` in each; no folder for an empty group."""
    out.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(frames), group)):
        folder = out / f"task.{number:03d}"
        folder.mkdir(exist_ok=True)
        write_frames(folder / FRAMES, frames[start : start + group])
