"""Progress of a run: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dpa_sse.ops.core.foreign import printable
from dpa_sse.ops.runtime.events import Event
from dpa_sse.pipeline.runs.folder import Run, now, read_events
from dpa_sse.pipeline.runs.stage_status import StageStatus, stage_status

if TYPE_CHECKING:
    from rich.table import Table

MIN_WIDTHS = {"stage": 14, "what": 12, "tasks": 5, "elapsed": 7, "left": 5, "status": 7}
"""Least widths of the columns; what a narrow terminal has no room for ends in an ellipsis, not on a new line."""
SYMBOLS = {"done": "done", "running": "running", "interrupted": "interrupted", "failed": "FAILED", "waiting": ""}


def clock(seconds: float) -> str:
    """Return ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def remaining(stage: StageStatus, at: float) -> float | None:
    """Return a rough estimate of the time left in seconds, from the finished tasks of the stage; None without any."""
    computed = stage.done - stage.cached
    if stage.status != "running" or computed < 1 or stage.done >= stage.tasks:
        return None
    return stage.elapsed(at) / computed * (stage.tasks - stage.done)


def status_rows(stages: list[StageStatus], at: float) -> list[dict[str, str]]:
    """Return the table of the stages as text."""
    rows = []
    for stage in stages:
        left = remaining(stage, at)
        rows.append(
            {
                "stage": stage.name,
                "what": stage.title,
                "tasks": f"{stage.done}/{stage.tasks}" + (f" ({stage.failed} failed)" if stage.failed else ""),
                "elapsed": clock(stage.elapsed(at)) if stage.began is not None else "",
                "left": f"~{clock(left)}" if left is not None else "",
                "status": SYMBOLS[stage.status] or ("waiting" if stage.done else ""),
            }
        )
    return rows


def table(rows: list[dict[str, str]], title: str) -> Table:
    """Return the table of the stages for a terminal."""
    from rich.markup import escape
    from rich.table import Table

    stages = Table(title=escape(printable(title, keep="")), title_justify="left", box=None, pad_edge=False)
    for name in ("stage", "what", "tasks", "elapsed", "left", "status"):
        right = name in ("tasks", "elapsed", "left")
        stages.add_column(name, justify="right" if right else "left", no_wrap=True, min_width=MIN_WIDTHS.get(name))
    colours = {"done": "green", "running": "cyan", "FAILED": "red"}
    for row in rows:
        stages.add_row(*(escape(printable(value, keep="")) for value in row.values()), style=colours.get(row["status"]))
    return stages


def event_line(event: Event) -> str | None:
    """Return an event as one plain line without control characters, None for those that a person need not see."""
    text = _event_text(event)
    return None if text is None else printable(text)


def _event_text(event: Event) -> str | None:
    place = f"{event.stage}  {event.task}  "
    if event.kind == "done":
        return f"{place}done in {clock(event.seconds or 0.0)}" + (f"  ({event.reason})" if event.reason else "")
    if event.kind == "cached":
        return f"{place}finished earlier" + (f"; {event.reason}" if event.reason else "")
    if event.kind in ("failed", "retry"):
        what = "FAILED" if event.kind == "failed" else "retrying after a transient failure"
        return f"{place}{what}: {event.reason or ''}  (folder: {event.folder or '?'})"
    if event.kind == "changed":
        return (
            f"The configuration changed. Recomputed: {', '.join(event.again or [])}."
            + (f" Reused: {', '.join(event.kept)}." if event.kept else "")
            + " Individual tasks with unchanged inputs are also reused."
        )
    return event.reason or "" if event.kind in ("error", "note") else None


class Progress:
    """Displays the event log of a run as it grows; a context manager that is called several times a second."""

    def __init__(self, run: Run, title: str, *, live: bool, print_line: Callable[[str], None] = print) -> None:
        self.run = run
        self.title = title
        self.print_line = print_line
        self.offset = run.log.stat().st_size if run.log.exists() else 0
        self.events = run.events()
        self.live: Any = None
        self._wants_live = live
        self._drawn = 0.0
        self._cached: dict[str, int] = {}
        self._remarks: dict[str, Counter[str]] = {}
        self._errors: set[str] = set()

    def __enter__(self) -> Self:
        """Start the live display where there is a terminal."""
        if self._wants_live:
            from rich.live import Live

            self.live = Live(auto_refresh=False, redirect_stderr=False)
            self.live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Draw the last state and end the display."""
        self.tick(final=True)
        if self.live is not None:
            self.live.__exit__(kind, value, trace)

    def tick(self, *, final: bool = False) -> None:
        """Read the new events and show them."""
        fresh = list(read_events(self.run.log, self.offset))
        if fresh:
            self.offset += _complete_bytes(self.run, self.offset)
            self.events += fresh
            for event in fresh:
                self._show(event)
            if self.live is None:
                sys.stdout.flush()
        if final:
            self._flush_cached()
        if self.live is not None and (fresh or final or now() - self._drawn > 1):
            self._drawn = now()
            rows = status_rows(stage_status(self.run.plan(), self.events), self._drawn)
            self.live.update(table(rows, self.title), refresh=True)

    def _show(self, event: Event) -> None:
        if event.kind == "cached":  # one line per stage, not one per task
            self._cached[event.stage] = self._cached.get(event.stage, 0) + 1
            if event.reason:
                self._remarks.setdefault(event.stage, Counter())[printable(event.reason, keep="")] += 1
            return
        if event.kind in ("start", "run-end"):
            self._flush_cached()
        text = event_line(event)
        if text is None or (self.live is not None and event.kind == "done"):
            return
        if event.kind == "error":  # several tasks may report the same
            if text in self._errors:
                return
            self._errors.add(text)
        if self.live is not None:
            self.live.console.print(text, markup=False, highlight=False)
        else:
            self.print_line(text)

    def _flush_cached(self) -> None:
        for stage, count in self._cached.items():
            text = f"{printable(stage)}  {count} task{'' if count == 1 else 's'} finished earlier"
            remarks = sorted(self._remarks.pop(stage, Counter()).items())
            text = "; ".join([text, *(one if times == count else f"{times} of them {one}" for one, times in remarks)])
            if self.live is not None:
                self.live.console.print(text, markup=False, highlight=False)
            else:
                self.print_line(text)
        self._cached.clear()


def _complete_bytes(run: Run, offset: int) -> int:
    """Return how many bytes of whole lines follow ``offset``."""
    with run.log.open("rb") as stream:
        stream.seek(offset)
        return stream.read().rfind(b"\n") + 1
