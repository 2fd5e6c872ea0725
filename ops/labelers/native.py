"""Labelers whose program runs molecular dynamics itself."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.errors import PipelineError
from dpa_sse.ops.labelers.base import AimdResult, AimdRun, Labeler, SettingsT
from dpa_sse.ops.labelers.dynamics import LARGEST_FORCE_EV_A
from dpa_sse.ops.results.status import TaskStatus
from dpa_sse.ops.structures.extxyz import write_frames

if TYPE_CHECKING:
    from ase import Atoms


class NativeLabeler(Labeler[SettingsT]):
    """A labeler whose program integrates the equations of motion."""

    @abstractmethod
    def aimd(self, run: AimdRun, work: Path) -> AimdResult:
        """Run one trajectory; called again with the same ``work``, it resumes an interrupted run.

        Raises
        ------
        TransientError, FatalError, InputError
            As for :meth:`Labeler.label`.
        """

    def frames_so_far(self, run: AimdRun, work: Path) -> list[Atoms] | None:
        """Return the labelled frames of an interrupted run; None (the default) if they cannot be known."""
        return None

    def run_trajectory(self, run: AimdRun, out: Path, work: Path) -> TaskStatus:
        """Run the dynamics with the program; keep the frames up to the first unphysical one."""
        try:
            result = self.aimd(run, work)
        except PipelineError:  # this may be the last attempt: the frames so far count
            found = self.frames_so_far(run, work)
            if found is not None:
                write_frames(out / "frames.extxyz", _before_explosion(found)[0])
            raise
        frames, reason = _before_explosion(result.frames)
        write_frames(out / "frames.extxyz", frames)
        level = self.level(frames) if frames else None
        status = run.status(len(frames), reason or result.reason, level)
        if not result.dropped:
            return status
        remark = f"{len(result.dropped)} of {len(result.dropped) + len(result.frames)} frames without label"
        return status.model_copy(update={
            "status": "partial" if frames else "failed", "dropped": result.dropped,
            "reason": "; ".join(part for part in (status.reason, remark) if part),
        })


def _before_explosion(frames: list[Atoms]) -> tuple[list[Atoms], str]:
    """Return the frames up to the first unphysical one, and what is wrong with that."""
    for number, frame in enumerate(frames):
        largest = float(np.linalg.norm(frame.get_forces(), axis=1).max())
        if not largest <= LARGEST_FORCE_EV_A:
            return frames[:number], f"exploded at step {frame.info['step']}: largest force {largest:.1f} eV/A"
    return frames, ""
