"""The progress of a run by stage, from its plan and its event log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dpa_sse.ops.runtime.events import Event
from dpa_sse.pipeline.runs.plan import PlannedStep
from dpa_sse.pipeline.runs.stage_times import StageClock, counted, split_starts, stage_clocks

TASK_EVENTS = ("start", "done", "cached", "failed")
RunState = Literal["running", "ended"]


@dataclass(frozen=True)
class TaskFailure:
    """A failure of a task: its name, the reason, its folder (on a cluster, its pods)."""

    task: str
    reason: str
    folder: str


@dataclass(frozen=True)
class StageStatus:
    """Progress of one stage.

    Attributes
    ----------
    name, title : str
        Name of the stage; title for people.
    tasks : int
        Number of its tasks; in a loop it grows with the iterations that have started.
    done, failed, cached, running : int
        Tasks with a result, failed ones, those of ``done`` with an earlier result, those at work.
    seconds : float
        Time in which at least one task was at work, up to ``since``.
    began, ended : float, optional
        Times of the first and of the last event of its tasks.
    since : float, optional
        Time since which tasks have been at work.
    last : float
        Time of the last event of the run.
    held : bool
        No task of it is at work, while tasks of other stages are.
    over : bool
        The run has ended.
    stopped : bool
        No process is working on the run any more.
    failures : tuple of TaskFailure
        All failures of its tasks.
    """

    name: str
    title: str
    tasks: int = 0
    done: int = 0
    failed: int = 0
    cached: int = 0
    running: int = 0
    seconds: float = 0.0
    began: float | None = None
    ended: float | None = None
    since: float | None = None
    last: float = 0.0
    held: bool = False
    over: bool = False
    stopped: bool = False
    failures: tuple[TaskFailure, ...] = ()

    def elapsed(self, at: float) -> float:
        """Return the seconds in which tasks of this stage were at work until the time ``at``."""
        end = self.last if self.stopped else at
        return self.seconds + (max(0.0, end - self.since) if self.since is not None else 0.0)  # the clock may be set

    @property
    def status(self) -> str:
        """One word: waiting, running, interrupted, done or failed."""
        started = "interrupted" if self.stopped else "running"
        if self.running:
            return started
        if self.failed and (not self.done or (self.over and self.done + self.failed < self.tasks)):
            return "failed"
        if self.done and self.done + self.failed >= self.tasks:
            return "done"
        return started if self.done and not (self.held and not self.stopped) else "waiting"


def stage_status(
    plan: Sequence[PlannedStep], events: Sequence[Event], run_state: RunState = "running"
) -> list[StageStatus]:
    """Summarise the latest start of a run by stage.

    Parameters
    ----------
    plan : sequence of PlannedStep
        Steps of the DAG.
    events : sequence of Event
        Of all its starts: the time of earlier ones counts where their results are reused.
    run_state : {"running", "ended"}
        Whether a process is working on the run.

    Returns
    -------
    list of StageStatus
        In the order of the DAG.
    """
    before, latest = split_starts(events)
    clocks = stage_clocks([*counted(before, latest), *latest])
    of_tasks = [event for event in latest if event.stage and event.kind in TASK_EVENTS]
    splits = [split_task(event.task) for event in of_tasks]
    iterations = len({iteration for _, looped, iteration in splits if looped})
    run = StageStatus(
        "", "", over=any(event.kind == "run-end" for event in latest),
        last=max((event.time for event in latest), default=0.0), stopped=run_state == "ended",
    )
    stages = [
        _one_stage(
            run, [step for step in plan if step.stage == name], [event for event in of_tasks if event.stage == name],
            clocks.get(name, StageClock()), iterations,
        )
        for name in dict.fromkeys(step.stage for step in plan)
    ]
    at_work = any(stage.running for stage in stages)
    return [replace(stage, held=at_work and not stage.running) for stage in stages]


def _one_stage(
    run: StageStatus, steps: list[PlannedStep], events: list[Event], clock: StageClock, iterations: int
) -> StageStatus:
    """Return the status of a stage; ``run`` has what all stages share."""
    name = steps[0].stage
    outcomes = list({event.task: event.kind for event in events}.values())
    return replace(
        run,
        name=name,
        title=next((step.title for step in steps if step.title not in ("", name)), steps[-1].title),
        tasks=sum(step.tasks * (max(1, iterations) if step.loop else 1) for step in steps),
        done=sum(kind in ("done", "cached") for kind in outcomes),
        failed=outcomes.count("failed"),
        cached=outcomes.count("cached"),
        running=outcomes.count("start"),
        seconds=clock.seconds,
        began=events[0].time if events else None,
        ended=events[-1].time if events else None,
        since=clock.since,
        failures=tuple(
            TaskFailure(event.task, event.reason or "", event.folder or "")
            for event in events if event.kind == "failed"
        ),
    )


def split_task(task: str) -> tuple[str, bool, str]:
    """Split ``train-i001-003`` into the step's name, whether it is in a loop, and the iteration."""
    parts = task.split("-")
    for number, part in enumerate(parts[1:], start=1):
        if len(part) == 4 and part[0] == "i" and part[1:].isdigit():
            return "-".join(parts[:number]), True, part
    if parts[-1].isdigit() and len(parts[-1]) >= 3:
        parts = parts[:-1]
    return "-".join(parts), False, ""
