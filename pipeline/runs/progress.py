"""Progress of a run: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dpa_sse.ops.core.errors import SUSPENSION
from dpa_sse.ops.core.foreign import printable
from dpa_sse.ops.runtime.events import Event
from dpa_sse.pipeline.runs.estimate import Estimate, read_estimate
from dpa_sse.pipeline.runs.folder import Run, now, read_events
from dpa_sse.pipeline.runs.folding import FoldedTasks
from dpa_sse.pipeline.runs.stage_status import StageStatus, stage_status

if TYPE_CHECKING:
    from rich.table import Table

MIN_WIDTHS = {"stage": 14, "what": 12, "tasks": 5, "elapsed": 7, "left": 5, "status": 7}
"""Least widths of the columns; what a narrow terminal has no room for ends in an ellipsis, not on a new line."""
SILENCE_S = 25.0
"""Without a terminal, a line says what is at work when nothing has been printed for this long."""
SLOWEST = 4.0
"""A run is not thought to be this many times slower, or faster, than estimated."""
LEAST = 0.1
"""Share of its estimate that a task has at least left, as long as it has not ended."""
UNSTABLE = ("exploded: ", "melted: ")
"""Beginnings of the reasons of MD that ran as it should, but whose crystal did not hold."""
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


def times_left(stages: Sequence[StageStatus], estimate: Estimate, at: float) -> dict[str, float]:
    """Return the time that each stage will still take, seconds: as estimated, at the pace of the run so far.

    Stages for which there is no estimate are left out.
    """
    shares = {one.name: (one.done - one.cached) / one.tasks for one in stages if one.tasks}
    spent = sum(one.elapsed(at) for one in stages if shares.get(one.name) and one.name in estimate.stages)
    expected = sum(estimate.stages.get(name, 0.0) * share for name, share in shares.items())
    pace = min(SLOWEST, max(1 / SLOWEST, spent / expected)) if expected > 0 else 1.0
    left = {}
    for stage in stages:
        whole = estimate.stages.get(stage.name)
        if whole is None:
            continue
        rest = whole * pace * (1 - min(1.0, stage.done / stage.tasks)) if stage.tasks else 0.0
        if stage.status == "running" and not stage.done:  # a single long task
            rest = max(rest - stage.elapsed(at), LEAST * rest)
        left[stage.name] = 0.0 if stage.status in ("done", "failed") else rest
    return left


def status_rows(stages: list[StageStatus], at: float, estimate: Estimate | None = None) -> list[dict[str, str]]:
    """Return the table of the stages as text; with an estimate, the last row is that of the whole run."""
    rows = []
    estimated = times_left(stages, estimate, at) if estimate else {}
    for stage in stages:
        left = remaining(stage, at)
        if left is None and stage.status == "running":
            left = estimated.get(stage.name)
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
    if estimate and any(stage.status == "running" for stage in stages):
        elapsed, left = sum(stage.elapsed(at) for stage in stages), sum(estimated.values())
        rows.append({"stage": "in all", "what": "", "tasks": "", "elapsed": clock(elapsed), "left": f"~{clock(left)}",
                     "status": ""})
    return rows


def table(rows: list[dict[str, str]], title: str) -> Table:
    """Return the table of the stages for a terminal."""
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    stages = Table(title=escape(printable(title, keep="")), title_justify="left", box=None, pad_edge=False)
    for name in ("stage", "what", "tasks", "elapsed", "left", "status"):
        shortened = name in ("stage", "what")  # these give way on a narrow terminal, by an ellipsis
        stages.add_column(
            name, justify="left" if shortened or name == "status" else "right", no_wrap=not shortened,
            min_width=MIN_WIDTHS.get(name),
        )
    colours = {"done": "green", "running": "cyan", "FAILED": "red"}
    for row in rows:
        cells = (Text(printable(value, keep=""), no_wrap=True, overflow="ellipsis") for value in row.values())
        stages.add_row(*cells, style=colours.get(row["status"]))
    return stages


def with_lines(stages: Table, lines: Sequence[str]) -> Any:
    """Return the table of the stages with lines below it."""
    from rich.console import Group
    from rich.text import Text

    return Group(stages, *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines)) if lines else stages


def heartbeat(stages: Sequence[StageStatus], estimate: Estimate | None, at: float) -> str:
    """Return one line on the stages at work; empty if there are none."""
    running = [
        f"{one.name} {one.done}/{one.tasks} after {clock(one.elapsed(at))}" for one in stages if one.running
    ]
    left = f"; about {clock(sum(times_left(stages, estimate, at).values()))} left in all" if estimate else ""
    return f"at work: {', '.join(running)}{left}" if running else ""


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
        if event.kind == "failed" and (event.reason or "").startswith(SUSPENSION):
            return f"{place}{event.reason}"
        unstable = (event.reason or "").startswith(UNSTABLE)
        ended = "not usable" if unstable else "FAILED"
        what = ended if event.kind == "failed" else "retrying after a transient failure"
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

    def __init__(
        self, run: Run, title: str, *, live: bool, print_line: Callable[[str], None] = print,
        queue: Callable[[], list[str]] = list,
    ) -> None:
        self.run = run
        self.title = title
        self.print_line = print_line
        self.offset = run.log.stat().st_size if run.log.exists() else 0
        self.events = run.events()
        self.live: Any = None
        self.queue = queue
        self._wants_live = live
        self._drawn = 0.0
        self._cached: dict[str, int] = {}
        self._remarks: dict[str, Counter[str]] = {}
        self._errors: set[str] = set()
        self._folded = FoldedTasks()
        self._estimate: Estimate | None = None
        self._spoke = now()

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
            self._spoke = now()
            self.offset += _complete_bytes(self.run, self.offset)
            self.events += fresh
            for event in fresh:
                self._show(event)
        if final:
            self._flush_cached()
        if self.live is None:
            self._say_folded(final=final)
            sys.stdout.flush()
        if self.live is not None and (fresh or final or now() - self._drawn > 1):
            self._drawn = now()
            rows = status_rows(stage_status(self.run.plan(), self.events), self._drawn, self._estimated())
            self.live.update(with_lines(table(rows, self.title), [] if final else self.queue()), refresh=True)
        elif self.live is None and not final and now() - self._spoke > SILENCE_S:
            self._spoke = now()
            line = heartbeat(stage_status(self.run.plan(), self.events), self._estimated(), self._spoke)
            for text in [*([line] if line else []), *self.queue()]:
                self.print_line(text)
            sys.stdout.flush()

    def _estimated(self) -> Estimate | None:
        """Return the estimate in the run folder; None if there is none that can be read."""
        if self._estimate is None:
            self._estimate = read_estimate(self.run.folder)
        return self._estimate

    def _show(self, event: Event) -> None:
        if event.kind == "cached":  # one line per stage, not one per task
            self._cached[event.stage] = self._cached.get(event.stage, 0) + 1
            if event.reason:
                self._remarks.setdefault(event.stage, Counter())[printable(event.reason, keep="")] += 1
            return
        if event.kind in ("start", "run-end"):
            self._flush_cached()
        if self.live is None and self._folded.take(event, self.run.plan, now()):
            return
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

    def _say_folded(self, *, final: bool) -> None:
        for line in self._folded.lines(now(), final=final):
            self._spoke = now()
            self.print_line(printable(line))

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
