"""How long tasks of each stage were at work, from the event log of a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class StageClock:
    """Time in which at least one task of a stage was at work; stages may overlap."""

    seconds: float = 0.0
    since: float | None = None
    at_work: set[str] = field(default_factory=set)

    def start(self, task: str, time: float) -> None:
        """Note that a task has begun."""
        self.since = time if self.since is None else self.since
        self.at_work.add(task)

    def end(self, task: str, time: float) -> None:
        """Note that a task has ended."""
        self.at_work.discard(task)
        if not self.at_work:
            self.stop(time)

    def stop(self, time: float) -> None:
        """Note that nothing is at work any more."""
        if self.since is not None:
            self.seconds += max(0.0, time - self.since)
        self.since = None
        self.at_work.clear()


def stage_clocks(events: Iterable[dict[str, Any]]) -> dict[str, StageClock]:
    """Return the clock of each stage.

    Parameters
    ----------
    events : iterable of dict
        Of one or several starts of a run. What was at work when a start ended has ended with it; where that was a
        kill, which leaves no event, with the last event before the next start.
    """
    clocks: dict[str, StageClock] = {}
    last = 0.0
    for event in events:
        kind, time = event["event"], event.get("time", last)
        if kind in ("run-start", "run-end"):
            for clock in clocks.values():
                clock.stop(time if kind == "run-end" else last)
        elif event.get("stage") and kind in ("start", "done", "cached", "failed"):
            clock = clocks.setdefault(event["stage"], StageClock())
            (clock.start if kind == "start" else clock.end)(event["task"], time)
        last = time
    return clocks


def split_starts(events: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the events before a run was last started, and those since."""
    starts = [number for number, event in enumerate(events) if event["event"] == "run-start"]
    last = starts[-1] if starts else 0
    return events[:last], events[last:]


def counted(before: list[dict[str, Any]], latest: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those events of earlier starts that tell of tasks whose results the latest start has.

    Parameters
    ----------
    before : list of dict
        Of earlier starts.
    latest : list of dict
        Of the last one.
    """
    folders = {event["folder"] for event in latest if event.get("folder")}
    return [
        event for event in before
        if event["event"] in ("run-start", "run-end") or event.get("folder") in folders
    ]
