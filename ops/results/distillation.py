"""``filter.json``: which frames of the teacher's trajectories were kept for the student."""

from __future__ import annotations

from typing import ClassVar

from dpa_sse.ops.results.base import Result, ResultPart
from dpa_sse.ops.results.md import RunStatus


class TrajectoryFilter(ResultPart):
    """Frames of one trajectory.

    Attributes
    ----------
    name, system : str
        Trajectory and system.
    n_frames, n_kept, n_dropped : int
        Number of frames: all, kept, and dropped for a large force or an invalid label.
    max_force_kept_eV_A, max_force_dropped_eV_A : float or None
        Largest force on an atom among the kept and among the dropped frames; None where there are none.
    status, reason : str
        How the run ended, and why it was not ``ok``.
    """

    name: str
    system: str
    n_frames: int
    n_kept: int
    n_dropped: int
    max_force_kept_eV_A: float | None
    max_force_dropped_eV_A: float | None
    status: RunStatus = "ok"
    reason: str = ""


class TeacherFilter(Result):
    """Frames that the teacher labelled for the student.

    Attributes
    ----------
    teacher : str
        File name of the teacher's model.
    max_force_limit_eV_A : float
        Frames with a larger force on any atom are dropped.
    n_frames, n_kept, n_dropped : int
        Sums over the trajectories.
    split : str
        How training and test frames were separated, in words.
    n_train, n_test : int
        Number of training and test frames.
    trajectories : tuple of TrajectoryFilter
        The same by trajectory.
    """

    FILE: ClassVar[str] = "filter.json"

    teacher: str
    max_force_limit_eV_A: float
    n_frames: int
    n_kept: int
    n_dropped: int
    split: str
    n_train: int
    n_test: int
    trajectories: tuple[TrajectoryFilter, ...]
