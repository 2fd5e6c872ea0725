"""What has become of a job that has not left all of its results: still at it, lost, or failed for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dpa_sse.pipeline.config.batch import Job
from dpa_sse.pipeline.engines.slurm.dialect import IN_QUEUE
from dpa_sse.pipeline.engines.slurm.exit_codes import HOPELESS, NO_SPACE, OUT_OF_MEMORY
from dpa_sse.pipeline.engines.slurm.queue import JobView

Cause = Literal[
    "timeout", "node", "preempted", "memory", "cancelled", "killed", "vanished", "never", "failed", "at once", "disk"
]
LOST: dict[str, Cause] = {
    "timeout": "timeout", "node": "node", "preempted": "preempted", "memory": "memory", "cancelled": "cancelled",
}
"""States of the batch system after which the work may be repeated."""
KILLED = (134, 135, 137, 139, 143)
LIMITS = {"cancelled": 1, "killed": 2, "vanished": 2, "at once": 2}
"""How often a job is repeated that was lost in these ways, at most."""
LEAST_MORE = 1.05
"""A job that ran out of memory is not repeated with less than this many times as much."""
WORDS: dict[Cause, str] = {
    "timeout": "reached its time limit", "node": "lost its node", "preempted": "was preempted",
    "memory": "ran out of memory", "cancelled": "was cancelled", "killed": "was killed",
    "vanished": "is not known to the batch system any more, and left no exit code",
    "never": "cannot start", "failed": "failed", "at once": "failed before its first task",
    "disk": "could not write into the run folder: no space is left, or the quota is used up",
}
AT_ITS_WORD: dict[int, tuple[Cause, str]] = {
    OUT_OF_MEMORY: ("memory", ""), NO_SPACE: ("disk", ""),
    HOPELESS: ("failed", f"exit code {HOPELESS}, which is not repeated"),
}
"""What a job says about itself by its exit code."""
HOPELESS_CAUSES: dict[Cause, str] = {"never": "", "failed": "", "disk": "make room, and start the run again"}
"""Causes after which nothing is repeated, and what to do."""
UNSEEN = "no exit code in the run folder: does the node see its file system, and has it room?"


@dataclass(frozen=True)
class Sight:
    """What is known about a job.

    Attributes
    ----------
    view : JobView, optional
        Its state in the latest answer of the batch system; None if the system does not know it.
    asked_after_s : float
        How long after its submission the system was asked; negative if it was not.
    ended : tuple, optional
        Exit code, early signal and node, from its exit file.
    unchanged_s : float
        For how long all this has been so.
    now : float
        Seconds since the epoch.
    patience_s : float
        How late a new file may be seen.
    begun : bool
        It has come to its first task.
    node : str
        That it was on, if it is known.
    """

    view: JobView | None
    asked_after_s: float
    ended: tuple[int, str, str] | None
    unchanged_s: float
    now: float
    patience_s: float = 60.0
    begun: bool = True
    node: str = ""

    @property
    def soon_s(self) -> float:
        """How late the batch system may say why a job has ended."""
        return self.patience_s / 12

    @property
    def late_s(self) -> float:
        """How late a file may be seen: a client of NFS may keep the list of a folder for all of patience_s."""
        return self.patience_s * 1.5

    @property
    def never_s(self) -> float:
        """How long a reason for not starting has to last: partitions are reconfigured, nodes boot."""
        return self.patience_s * 0.4


def verdict(sight: Sight) -> tuple[Cause, str] | None:
    """Return why a job that lacks results has none, and details for people; None if it is too early to tell."""
    view, ended = sight.view, sight.ended
    if view is not None and view.never and ended is None:
        return ("never", view.reason) if sight.now - view.since >= sight.never_s else None
    if view is not None and view.state in LOST and sight.unchanged_s >= sight.soon_s:
        return LOST[view.state], view.word
    if ended is not None:
        return _ended(sight, *ended)
    if view is not None and view.state in ("done", "failed"):
        what = f"{view.word}{f' on {sight.node}' if sight.node else ''}, but {UNSEEN}"
        early: Cause = "failed" if sight.begun else "at once"
        return (early, what) if sight.unchanged_s >= sight.late_s else None
    if view is None and sight.asked_after_s > sight.soon_s and sight.unchanged_s >= sight.late_s:
        return "vanished", ""
    return None


def _ended(sight: Sight, code: int, early: str, node: str) -> tuple[Cause, str] | None:
    """Return why a job with an exit file has no result."""
    if early == "time":
        return "timeout", ""
    if code in AT_ITS_WORD:
        return AT_ITS_WORD[code]
    cause: Cause = "failed" if sight.begun or code == 0 else "at once"
    detail, wait_s = f"exit code {code} on {node}", sight.soon_s / 2 if sight.begun else sight.soon_s
    if code in KILLED:  # the system says why, a little later
        known = sight.view is None or sight.view.state not in IN_QUEUE
        cause, wait_s = "killed", sight.soon_s if known else sight.patience_s
    elif code == 0:
        detail, wait_s = f"{detail}, but no result", sight.late_s
    return (cause, detail) if sight.unchanged_s >= wait_s else None


def may_repeat(
    cause: Cause, losses: dict[str, int], job: Job, mem_GB: float | None, *, most_GB: float | None = None,
    elsewhere: bool = False,
) -> tuple[bool, str]:
    """Return whether the work of a lost job is submitted again, and how people are told.

    Parameters
    ----------
    cause : str
    losses : dict
        How often this work was lost before, by cause.
    job : Job
        What it asks for.
    mem_GB : float, optional
        Memory that it had.
    most_GB : float, optional
        Memory of the largest node that it could run on, as far as the system tells.
    elsewhere : bool
        It can be kept off the node that it was on.
    """
    if cause in HOPELESS_CAUSES:
        return False, HOPELESS_CAUSES[cause]
    if cause == "memory":
        return _may_grow(job, mem_GB, most_GB)
    if cause == "at once" and not elsewhere:
        return False, "not submitted again, since no further node can be left out"
    before = losses.get(cause, 0)
    most = min(LIMITS.get(cause, job.restarts), job.restarts)
    if before >= most:
        earlier = f" ({before} time{'s' * (before != 1)} before)" if before else ""
        return False, f"not submitted again{earlier}"
    return True, f"submitted again ({before + 1} of at most {most} times)"


def _may_grow(job: Job, mem_GB: float | None, most_GB: float | None) -> tuple[bool, str]:
    """Return whether a job that ran out of memory is submitted again, and how people are told."""
    if job.max_mem_GB is None or mem_GB is None:
        return False, "give it more (mem_GB), or let it grow (mem_GB and max_mem_GB)"
    if mem_GB >= job.max_mem_GB:
        return False, f"it had {mem_GB:g} GB, which is max_mem_GB"
    if most_GB is not None and most_GB < mem_GB * LEAST_MORE:
        place = f"partition {job.partition}" if job.partition else "the default partition"
        return False, (
            f"not submitted again: it had {mem_GB:g} GB, and no node of {place} that it could run on has more than "
            f"{most_GB:.4g} GB"
        )
    return True, f"submitted again with {more_memory(mem_GB, job, most_GB):.4g} GB"


def more_memory(mem_GB: float, job: Job, most_GB: float | None = None) -> float:
    """Return the memory for a job that ran out of it: twice as much, or what the settings and the nodes allow."""
    return min(mem_GB * 2, job.max_mem_GB or mem_GB, mem_GB * 2 if most_GB is None else most_GB)
