"""The results of a labelling fan-out: frames, failed tasks, and whether enough of them succeeded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.data.level_of_theory import join_levels
from dpa_sse.ops.results.dataset import FailedTask
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.ops.results.status import require_success
from dpa_sse.ops.structures.extxyz import read_frames

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class GatheredFrames:
    """Frames of all tasks, the tasks that failed (completely or in part), and the level of theory of the labels."""

    frames: list[Atoms]
    failed: tuple[FailedTask, ...]
    level: LevelOfTheory | None


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
        Too many failed (the message lists them), or the labels are of different levels of theory.
    """
    counted = require_success(results, min_success_ratio, "labelling", usable=False)
    files = [folder / "frames.extxyz" for folder, _ in counted]
    frames = [atoms for file in files if file.is_file() for atoms in read_frames(file)]
    failed = tuple(
        FailedTask(task=f"{folder.parent.name}/{folder.name}", reason=status.reason)
        for folder, status in counted if status.status != "ok"
    )
    return GatheredFrames(frames, failed, join_levels(status.level for _, status in counted))
