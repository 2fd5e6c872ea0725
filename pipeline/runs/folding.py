"""One line for many tasks of a step that are done, instead of a line for each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dpa_sse.ops.runtime.events import Event
from dpa_sse.pipeline.runs.plan import PlannedStep
from dpa_sse.pipeline.runs.stage_status import split_task

MANY = 12
"""Steps with more tasks are folded."""
EVERY_S = 10.0
_NUMBER = re.compile(r"-\d{3,}$")


@dataclass
class _Count:
    stage: str
    name: str
    total: int
    done: int = 0
    said: int = 0
    since: float = 0.0


class FoldedTasks:
    """Counts the tasks that are done of each large step, and says so now and then."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], _Count] = {}

    def take(self, event: Event, plan: Callable[[], Sequence[PlannedStep]], at: float) -> bool:
        """Count an event; False if it needs a line of its kind: another event, a small step, a task with a remark."""
        if event.kind != "done" or event.reason or not _NUMBER.search(event.task):
            return False
        key = (event.stage, _NUMBER.sub("", event.task))
        if key not in self._counts:
            total = next((step.tasks for step in plan() if step.name == split_task(event.task)[0]), 0)
            self._counts[key] = _Count(*key, total)
        count = self._counts[key]
        if count.total <= MANY:
            return False
        if count.done == count.said:
            count.since = at
        count.done += 1
        return True

    def lines(self, at: float, *, final: bool = False) -> Iterator[str]:
        """Yield what has to be said: every few seconds, and when a step is complete."""
        for count in self._counts.values():
            due = final or count.done >= count.total or at - count.since >= EVERY_S
            if due and count.done > count.said:
                count.said = count.done
                yield f"{count.stage}  {count.name}: {count.done} of {count.total} tasks done"
