"""The results of a run with many targets, seen from each of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.results.status import LEFT_OUT, TaskStatus
from dpa_sse.ops.results.task_record import TaskRecord
from dpa_sse.ops.runtime.events import Event
from dpa_sse.pipeline.runs.folder import Run
from dpa_sse.pipeline.runs.plan import PlannedStep
from dpa_sse.pipeline.runs.stage_status import split_task


class OwnTask(NamedTuple):
    """A task of a run as the task of one target: which step of it, and which task if it is a fan-out.

    Its result is that of the targets that it serves, too.
    """

    target: str
    step: str
    number: int | None
    serves: tuple[str, ...] = ()

    def is_of(self, target: str) -> bool:
        """Return whether the result is one of this target."""
        return target == self.target or target in self.serves

    def name(self, iteration: str = "") -> str:
        """Return the name that the task has in a project with that target alone."""
        parts = [self.step, iteration, "" if self.number is None else f"{self.number:03d}"]
        return "-".join(filter(None, parts))


@dataclass
class TargetView:
    """What a run has of one target.

    Attributes
    ----------
    target : str
    finished, ended : dict
        Folders of tasks, as :class:`Run` returns them, by their names in a project with that target alone; tasks that
        had nothing to work on are not among them.
    plan : list of PlannedStep
        The steps of the target.
    events : list of Event
        Of its tasks, and of those that all targets share.
    left_out : str
        Why a step failed, or had nothing to work on; empty if neither.
    """

    target: str
    finished: dict[str, Path] = field(default_factory=dict)
    ended: dict[str, Path] = field(default_factory=dict)
    plan: list[PlannedStep] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    left_out: str = ""


def target_names(plan: Sequence[PlannedStep]) -> list[str]:
    """Return the targets of a run, in their order; empty for one without."""
    # the report, the last step, has all of them in their order
    return list(dict.fromkeys(str(member["target"]) for step in reversed(plan) for member in _members(step)))


def _members(step: PlannedStep) -> list[dict[str, object]]:
    settings = json.loads(step.settings or "{}")
    found = settings.get("members") if isinstance(settings, dict) else None
    return found if isinstance(found, list) else []


def own_tasks(step: PlannedStep) -> list[OwnTask]:
    """Return what each task of a step is for its target, in the order of the tasks; empty for a shared step."""
    found = []
    for member in _members(step):
        target, name, numbered = str(member["target"]), str(member["step"]), bool(member.get("numbered"))
        count = int(str(member.get("tasks", 1)))
        others = member.get("serves")
        serves = tuple(map(str, others)) if isinstance(others, list) else ()
        found += [OwnTask(target, name, number if numbered else None, serves) for number in range(count)]
    return found


def target_views(run: Run) -> dict[str, TargetView]:
    """Return what a run has of each target, in their order; empty for a run without targets."""
    plan = run.plan()
    views = {name: TargetView(name) for name in target_names(plan)}
    if not views:
        return {}
    tasks = {step.name: own_tasks(step) for step in plan}
    for step in plan:
        for view in views.values():
            own = sum(one.is_of(view.target) for one in tasks[step.name])
            if own or not tasks[step.name]:
                view.plan.append(step.model_copy(update={"tasks": own or step.tasks}))
    for name, ended in (("finished", run.finished()), ("ended", run.ended())):
        for task, folder in ended.items():
            _place(views, tasks, name, task, folder)
    for event in run.events():
        own_task, name = _own(tasks, event.task)
        for view in views.values():
            if own_task is None or own_task.is_of(view.target):
                view.events.append(event.model_copy(update={"task": name}))
    return views


def _place(
    views: dict[str, TargetView], tasks: dict[str, list[OwnTask]], name: str, task: str, folder: Path
) -> None:
    """Add the folder of a task to the view of its target, or to all if it is of a step that they share."""
    own, own_name = _own(tasks, task)
    if own is None:
        for view in views.values():
            getattr(view, name)[task] = folder
        return
    record = TaskRecord.read_if_there(folder)
    if record and record.subject and record.subject.partition(",")[0] != own.target:
        return  # the log was lost, and the targets have been put in another order since
    try:
        status = TaskStatus.read_if_there(folder)
    except FatalError:
        status = None
    for view in (view for view in views.values() if own.is_of(view.target)):
        if status is not None and status.status == "empty" and status.reason.startswith(LEFT_OUT):
            view.left_out = view.left_out or status.reason.removeprefix(LEFT_OUT)
            continue
        if status is not None and status.status == "failed" and not status.final and own.number is None:
            view.left_out = view.left_out or status.reason
        if not (status is not None and status.status == "failed" and not status.final and name == "finished"):
            getattr(view, name)[own_name] = folder


def _own(tasks: dict[str, list[OwnTask]], task: str) -> tuple[OwnTask | None, str]:
    """Return whose task it is, and its name there; None and its name for one of a step that all targets share."""
    step, _, iteration = split_task(task)
    own, number = tasks.get(step), task.rpartition("-")[2]
    if not own or not number.isdigit() or int(number) >= len(own):
        return None, task
    found = own[int(number)]
    return found, found.name(iteration)
