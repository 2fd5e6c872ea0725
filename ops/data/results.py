"""The results of a labelling fan-out: which tasks gave frames, which failed, and whether that is enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.files import read_json
from dpa_sse.ops.data.level_of_theory import Level, join_levels
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
        Smallest share of good items (trajectories, or single frames); a trajectory that broke off
        after some frames is half good. Empty tasks do not count.

    Raises
    ------
    FatalError
        Too many failed; the message lists them. Or the labels are of different levels of theory.
    """
    found = GatheredFrames()
    good = 0.0
    levels = []
    for folder in results:
        status = _status(folder)
        if status["status"] == "empty":
            continue
        found.tasks += 1
        levels.append(status.get("level"))
        items = status.get("items") or [{"status": status["status"]}]
        found.items += len(items)
        frames = read_frames(folder / "frames.extxyz") if (folder / "frames.extxyz").is_file() else []
        found.frames += frames
        ok = sum(item["status"] == "ok" for item in items)
        found.good += ok
        good += ok or (0.5 if frames else 0.0)
        if status["status"] != "ok":
            found.failed.append((_name(folder), status.get("reason", "")))
    found.level = join_levels(levels)
    _enough(good, found.items, min_success_ratio, "labelling", found.failed)
    return found


def failures(failed: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Return failed tasks as they are written into JSON."""
    return [{"task": task, "reason": reason} for task, reason in failed]


def _enough(good: float, total: int, ratio: float, what: str, failed: Sequence[tuple[str, str]]) -> None:
    if not total or good >= ratio * total - 1e-9:
        return
    listed = "\n".join(f"  {name}: {reason}" for name, reason in failed[:20])
    more = f"\n  and {len(failed) - 20} more" if len(failed) > 20 else ""
    raise FatalError(f"{what}: only {good:g} of {total} succeeded, min_success_ratio is {ratio:g}\n{listed}{more}")


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _status(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        return {"status": "failed", "reason": "the task left no folder"}
    if not (folder / "status.json").is_file():
        return {"status": "failed", "reason": "the task left no status.json: it did not finish"}
    status: dict[str, Any] = read_json(folder / "status.json")
    return status
