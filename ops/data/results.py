"""The results of a labelling fan-out: which tasks gave frames, which failed, and whether that is enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.data.level_of_theory import Level, join_levels
from dpa_sse.ops.results.status import require_success
from dpa_sse.ops.structures.extxyz import read_frames

if TYPE_CHECKING:
    from ase import Atoms


@dataclass
class GatheredFrames:
    """Frames of all tasks, and the tasks or frames that failed as (folder name, reason)."""

    frames: list[Atoms] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    level: Level | None = None
    tasks: int = 0
    items: int = 0
    good: int = 0


def gather_frames(results: Sequence[Path], min_success_ratio: float) -> GatheredFrames:
    """Read the results of labelling tasks.

    Parameters
    ----------
    results : sequence of Path
        Task folders with ``status.json`` and ``frames.extxyz``.
    min_success_ratio : float
        Share of the items (trajectories, or single frames) that must have succeeded, see
        :mod:`dpa_sse.ops.results.status`.

    Raises
    ------
    FatalError
        Too many failed; the message lists them. Or the labels are of different levels of theory.
    """
    counted = require_success(results, min_success_ratio, "labelling", usable=False)
    found = GatheredFrames(tasks=len(counted))
    for folder, status in counted:
        found.items += max(1, len(status.items))
        found.good += sum(item.status == "ok" for item in status.items)
        found.frames += read_frames(folder / "frames.extxyz") if (folder / "frames.extxyz").is_file() else []
        if status.status != "ok":
            found.failed.append((f"{folder.parent.name}/{folder.name}", status.reason))
    found.level = join_levels(status.level for _, status in counted)
    return found


def failures(failed: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Return failed tasks as they are written into JSON."""
    return [{"task": task, "reason": reason} for task, reason in failed]
