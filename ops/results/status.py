"""``status.json``: how a task ended; and the failure policy of a fan-out.

The policy (``failure.min_success_ratio``) is the same for all fan-outs: labels, short AIMD, exploration, teacher MD,
self-exploration, production MD. Trainings are different: a step with several models needs all of them.

- The items of a task (frames to label) are counted if it has several, otherwise the task itself.
- An item with a usable result counts as a success, even if the task failed later (``partial``).
- A task that failed as a whole counts as many items as the largest of the others.
- A run that ended for a physical reason (``final``: exploded, melted) is a result about the model, not a failed task;
  other steps decide whether the model is good enough. In teacher MD it has failed, because its frames are needed.
- Empty tasks, which a loop has for iterations with more work, do not count.
- A task without ``status.json`` has failed: it did not finish.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.results.base import Result, ResultPart
from dpa_sse.ops.results.level import LevelOfTheory

Status = Literal["ok", "partial", "failed", "empty"]
ItemStatus = Literal["ok", "not converged", "failed"]
LISTED = 20
LEFT_OUT = "left out: "
"""Begins the reason of a task that had nothing to work on, because an earlier one of its target failed."""


class TaskItem(ResultPart):
    """The outcome of one item of a task, e.g. of one frame to label."""

    index: int
    status: ItemStatus
    reason: str = ""


class DroppedStep(ResultPart):
    """A sampled step of a trajectory without a usable label."""

    step: int
    status: ItemStatus
    reason: str


class TrajectoryRecord(ResultPart):
    """Origin of a labelled trajectory."""

    system: str
    trajectory: str
    temperature_K: float
    end_temperature_K: float
    frames: int
    steps: int


class TaskStatus(Result):
    """How a task ended.

    Attributes
    ----------
    status : {"ok", "partial", "failed", "empty"}
        ``partial``: there is a usable result, but not all of it; ``empty``: there was nothing to do.
    reason : str
        Why it is not ``ok``; may hold a remark if it is.
    items : tuple of TaskItem
        One for each item of the task.
    final : bool
        The run ended for a physical reason, which a retry would not change.
    level : LevelOfTheory, optional
        Level of theory of the labels.
    dropped : tuple of DroppedStep
        Steps of a trajectory without a label.
    run : TrajectoryRecord, optional
        Of a trajectory.
    """

    FILE: ClassVar[str] = "status.json"

    status: Status
    reason: str = ""
    items: tuple[TaskItem, ...] = ()
    final: bool = False
    level: LevelOfTheory | None = None
    dropped: tuple[DroppedStep, ...] = ()
    run: TrajectoryRecord | None = None

    @classmethod
    def of_items(cls, items: Iterable[tuple[ItemStatus, str]], **more: Any) -> TaskStatus:
        """Return the status of a task from the status and reason of its items, in order."""
        listed = tuple(TaskItem(index=k, status=status, reason=reason) for k, (status, reason) in enumerate(items))
        good = sum(item.status == "ok" for item in listed)
        reasons = sorted({item.reason or item.status for item in listed if item.status != "ok"})
        status: Status = "empty" if not listed else "ok" if good == len(listed) else "partial" if good else "failed"
        return cls(status=status, reason="; ".join(reasons), items=listed, **more)

    @classmethod
    def of_folder(cls, folder: Path) -> TaskStatus:
        """Return the status of a task folder; without ``status.json`` the task has failed."""
        try:
            return cls.read(folder)
        except FileNotFoundError:
            what = "status.json: it did not finish" if folder.is_dir() else "folder"
            return cls(status="failed", reason=f"the task left no {what}")

    @property
    def usable(self) -> bool:
        """Whether there is a result that later steps can use."""
        return self.status in ("ok", "partial")

    def successes(self, items_per_task: int = 1, *, count_final: bool = True) -> tuple[int, int]:
        """Return the number of successes and the total that the failure policy counts.

        ``items_per_task`` is the weight of a task that failed as a whole and so lists no items.
        """
        if self.status == "empty":
            return 0, 0
        if len(self.items) > 1:
            return sum(item.status == "ok" for item in self.items), len(self.items)
        good = self.usable or (self.final and count_final)
        weight = 1 if good or self.items else items_per_task
        return weight * good, weight


EMPTY = TaskStatus(status="empty")


def is_finished(folder: Path) -> bool:
    """Return whether a task is finished; one that failed, other than for a physical reason, is retried."""
    status = TaskStatus.read_if_there(folder)
    return status is not None and (status.status != "failed" or status.final)


def require_success(
    folders: Sequence[Path], ratio: float, what: str, *, usable: bool = True, count_final: bool = True,
    some: bool = False,
) -> list[tuple[Path, TaskStatus]]:
    """Apply the failure policy to the results of a fan-out.

    Parameters
    ----------
    folders : sequence of Path
        Result folders.
    ratio : float
        Fraction that must have succeeded (``failure.min_success_ratio``).
    what : str
        Name of the tasks, for the message.
    usable : bool
        At least one task must have a usable result.
    count_final : bool
        A run that ended for a physical reason and left nothing usable counts as a success. False where later steps
        need its frames.
    some : bool
        At least one task must have succeeded, whatever the ratio: with ``count_final``, runs that ended for a physical
        reason are enough, tasks that failed for technical reasons are not.

    Returns
    -------
    list of tuple of Path and TaskStatus
        All tasks that were not empty, including failed ones.

    Raises
    ------
    FatalError
        Too many failed, or no result is usable; the message lists the reasons.
    """
    found = [(folder, status) for folder in folders if (status := TaskStatus.of_folder(folder)).status != "empty"]
    weight = max((len(status.items) for _, status in found), default=1) or 1
    counts = [status.successes(weight, count_final=count_final) for _, status in found]
    good, total = sum(one for one, _ in counts), sum(one for _, one in counts)
    none_usable = usable and found and not any(status.usable for _, status in found)
    none_good = some and total > 0 and good == 0
    if good < ratio * total - 1e-9 or none_usable or none_good:
        failed = [f"  {_name(folder)}: {status.reason}" for folder, status in found if status.status != "ok"]
        more = [f"  and {len(failed) - LISTED} more"] if len(failed) > LISTED else []
        why = "none with a usable result" if none_usable else f"fewer than min_success_ratio = {ratio:g}"
        why = "at least one is needed" if none_good and ratio == 0 else why
        raise FatalError(f"{what}: {good} of {total} succeeded, {why}\n" + "\n".join([*failed[:LISTED], *more]))
    return found


def _name(folder: Path) -> str:
    """Return the folder's name with its group's: ``group.001/task.003``."""
    return f"{folder.parent.name}/{folder.name}"
