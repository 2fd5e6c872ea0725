"""How long tasks of each stage were at work, from the event log of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from dpa_sse.ops.runtime.events import Event


@dataclass
class StageClock:
    """Time in which at least one task of a stage was at work; stages may overlap."""

    seconds: float = 0.0
    since: float | None = None
    at_work: set[str] = field(default_factory=set)

    def start(self, task: str, time: float) -> None:
        """Note that a task has started."""
        self.since = time if self.since is None else self.since
        self.at_work.add(task)

    def end(self, task: str, time: float) -> None:
        """Note that a task has ended."""
        self.at_work.discard(task)
        if not self.at_work:
            self.stop(time)

    def stop(self, time: float) -> None:
        """Note that no task is at work any more."""
        if self.since is not None:
            self.seconds += max(0.0, time - self.since)
        self.since = None
        self.at_work.clear()


def stage_clocks(events: Iterable[Event]) -> dict[str, StageClock]:
    """Return the clock of each stage.

    Parameters
    ----------
    events : iterable of Event
        Of one or several starts of a run. Tasks that were at work when a start ended have ended with it; after a kill,
        which leaves no event, with the last event before the next start.
    """
    clocks: dict[str, StageClock] = {}
    last = 0.0
    for event in events:
        if event.kind in ("run-start", "run-end"):
            for clock in clocks.values():
                clock.stop(event.time if event.kind == "run-end" else last)
        elif event.stage and event.kind in ("start", "done", "cached", "failed"):
            clock = clocks.setdefault(event.stage, StageClock())
            (clock.start if event.kind == "start" else clock.end)(event.task, event.time)
        last = event.time
    return clocks


def split_starts(events: Sequence[Event]) -> tuple[Sequence[Event], Sequence[Event]]:
    """Return the events before a run was last started, and those since."""
    starts = [number for number, event in enumerate(events) if event.kind == "run-start"]
    last = starts[-1] if starts else 0
    return events[:last], events[last:]


def counted(before: Sequence[Event], latest: Sequence[Event]) -> list[Event]:
    """Return the events of earlier starts that belong to tasks whose results the latest start has.

    Parameters
    ----------
    before : sequence of Event
        Of earlier starts.
    latest : sequence of Event
        Of the last one.
    """
    folders = {event.folder for event in latest if event.folder}
    return [event for event in before if event.kind in ("run-start", "run-end") or event.folder in folders]
