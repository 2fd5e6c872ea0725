"""Commands about an existing run on this machine: status, watch, logs, stop, report."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import sys
import textwrap
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.exit_codes import DONE, FAILED
from dpa_sse.ops.core.foreign import printable
from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.ops.core.tools import tail
from dpa_sse.ops.runtime.events import Event
from dpa_sse.pipeline.commands.batch import cancel_left, queue_of, usage_of_run
from dpa_sse.pipeline.commands.run_target import RunTarget
from dpa_sse.pipeline.runs.estimate import Estimate, read_estimate
from dpa_sse.pipeline.runs.folder import Run, now, open_run
from dpa_sse.pipeline.runs.lock import LOCK, Holder
from dpa_sse.pipeline.runs.outcome import exit_code, run_state
from dpa_sse.pipeline.runs.places import known_runs, runs_folders
from dpa_sse.pipeline.runs.progress import Progress, status_rows, table
from dpa_sse.pipeline.runs.stage_status import RunState, StageStatus, stage_status
from dpa_sse.pipeline.runs.targets import TargetView, target_views

if TYPE_CHECKING:
    from dpa_sse.pipeline.engines.slurm.usage import Usage

STOP_SECONDS = 10
MIN_WIDTH = 72


def show_status(name: str, *, as_json: bool, only: Sequence[str] = ()) -> int:
    """Print the stages of a run with their progress; with ``only``, those of some of its targets.

    Raises
    ------
    InputError
        The run has no such target.
    """
    run = open_run(name)
    state = run_state(run)
    now_or_ended: RunState = "running" if state == "running" else "ended"
    for target, view in _views(run, only).items():
        stages = stage_status(view.plan, view.events, now_or_ended)
        print_status(f"{run.name}, {target}", state, stages, as_json=as_json)
    if only:
        return DONE
    stages = stage_status(run.plan(), run.events(), now_or_ended)
    print_status(
        run.name, state, stages, as_json=as_json, estimate=read_estimate(run.folder), queue=queue_of(run),
        usage=usage_of_run(run),
    )
    return DONE


def list_runs(*, as_json: bool) -> int:
    """Print the runs in ``runs/`` here and in the folders above, the nearest first."""
    rows = []
    for runs in runs_folders():
        for folder in known_runs(runs):
            run = Run(folder.resolve())
            events = run.events()
            rows.append({
                "run": folder.name, "status": run_state(run), "folder": str(folder),
                "last": time.strftime("%Y-%m-%d %H:%M", time.localtime(events[-1].time)) if events else "",
            })
    if as_json:
        print(json.dumps(rows, indent=1))
        return DONE
    if not rows:
        print("No runs here or in the folders above; start one with `dpa-sse run CONFIG`.")
        return DONE
    width = max(len(row["run"]) for row in rows)
    for row in rows:
        print(printable(f"{row['run']:{width}s}  {row['status']:12s}  {row['last']:16s}  {row['folder']}"))
    return DONE


def _views(run: Run, only: Sequence[str]) -> dict[str, TargetView]:
    """Return what a run has of some of its targets."""
    if not only:
        return {}
    views = target_views(run)
    for name in only:
        if name not in views:
            known = f" (targets: {', '.join(views)})" if views else ": this run has no targets"
            raise InputError(f"{run.name}: '{name}' is not one of its targets{did_you_mean(name, list(views))}{known}")
    return {name: views[name] for name in only}


def print_status(
    name: str, state: str, stages: list[StageStatus], *, as_json: bool, place: str = "",
    estimate: Estimate | None = None, queue: Sequence[str] = (), usage: Usage | None = None,
) -> None:
    """Print the stages of a run, local or on a cluster, and which tasks have failed.

    Parameters
    ----------
    place : str
        Label of the folder of a failed task; empty if the folder is self-explanatory.
    estimate : Estimate, optional
        Of the run, for the time that is left.
    queue : sequence of str
        Lines about jobs in the queue of a batch system.
    usage : Usage, optional
        What its jobs have used.
    """
    if as_json:
        data = [{**dataclasses.asdict(stage), "status": stage.status} for stage in stages]
        used = usage.as_json() if usage else None
        print(json.dumps({"run": name, "status": state, "stages": data, "queue": list(queue), "used": used}, indent=1))
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.width = max(console.width, MIN_WIDTH)  # a narrow terminal breaks the lines; better than only ellipses
    console.print(table(status_rows(stages, now(), estimate), f"{name}: {state}"))
    for line in [*queue, *(usage.lines() if usage else [])]:
        console.print(line, markup=False, soft_wrap=True)
    for stage in stages:
        for failure in stage.failures:
            console.print(
                printable(f"{failure.task}: {failure.reason}  ({place}{failure.folder})"), markup=False, soft_wrap=True
            )


def watch_run(name: str) -> int:
    """Show the progress of a run that another process executes, until it ends."""
    run = open_run(name)
    with Progress(run, run.name, live=sys.stdout.isatty(), queue=lambda: queue_of(run)) as progress:
        if run.holder():  # also show what has happened so far
            progress.offset, progress.events = 0, []
        try:
            while run.holder() is not None:
                progress.tick()
                time.sleep(0.5)
        except KeyboardInterrupt:
            return DONE  # the run itself continues
    state = run_state(run)
    print(f"{run.name}: {state}")
    return exit_code(state)


def show_logs(name: str, task: str | None, lines: int) -> int:
    """Print the last lines of the logs of a task, or of all failed tasks; list the tasks if none failed."""
    run = open_run(name)
    events = run.latest_attempt()
    if task is None:
        chosen = [event.task for event in events if event.kind == "failed"]
        if not chosen:
            print_task_names(name, [event for event in events if event.folder])
            return DONE
    else:
        chosen = [task]
    folders = {event.task: event.folder for event in events if event.folder}
    reasons = {event.task: event.reason for event in events if event.kind == "failed" and event.reason}
    for one in dict.fromkeys(chosen):
        if one not in folders and one in reasons:  # it never started
            print(printable(f"{one}: {reasons[one]}"))
            continue
        if one not in folders:
            near = [known for known in folders if known.startswith(one)]
            hint = printable(f"; tasks that start with it: {', '.join(near[:8])}" if near else "")
            raise InputError(f"{one}: no such task in {run.name}{hint}")
        print_logs(run.place(folders[one]), lines)
    return DONE


def print_task_names(name: str, events: Sequence[Event]) -> None:
    """Print the tasks of a run in which none has failed, by stage, under the names that `logs` accepts."""
    stages: dict[str, list[str]] = {}
    for event in events:
        if event.stage:
            stages.setdefault(event.stage, []).append(event.task)
    if not stages:
        print("No task failed, and none has written anything yet.")
        return
    print(f"No task failed. To see the logs of a task: dpa-sse logs {name} TASK")
    width = max(map(len, stages)) + 4
    columns = max(shutil.get_terminal_size().columns, width + 40)
    for stage, tasks in sorted(stages.items()):
        head = f"  {printable(stage)}".ljust(width)
        print(textwrap.fill(
            printable(", ".join(ranges(tasks))), columns, initial_indent=head, subsequent_indent=" " * width,
            break_on_hyphens=False, break_long_words=False,
        ))


def ranges(tasks: Iterable[str]) -> list[str]:
    """Return task names in order, with consecutive numbers as ranges: ``aimd-000..011``."""
    split = []
    for task in set(tasks):
        stem, _, number = task.rpartition("-")
        split.append((stem, number) if stem and number.isdigit() else (task, ""))
    found: list[tuple[str, list[str]]] = []
    for stem, number in sorted(split, key=lambda one: (one[0], int(one[1] or -1))):
        last = found[-1] if found else ("", [])
        if number and last[0] == stem and last[1] and int(number) == int(last[1][-1]) + 1:
            last[1].append(number)
        else:
            found.append((stem, [number] if number else []))
    return [
        stem if not numbers else f"{stem}-{numbers[0]}" + (f"..{numbers[-1]}" if len(numbers) > 1 else "")
        for stem, numbers in found
    ]


def print_logs(folder: Path, lines: int) -> None:
    """Print the last lines of all logs in a task folder."""
    found = [*folder.rglob("*.log"), *folder.rglob("log.lammps")]
    files = sorted((path for path in found if path.is_file()), key=lambda path: path.stat().st_mtime)
    print(printable(f"{folder}:") + ("" if files else " no logs"))
    for path in files:
        print(printable(f"--- {path.relative_to(folder)}"))
        print(printable(tail(path, lines)))


def stop_run(name: str) -> int:
    """End the process that executes a run, and everything that it started."""
    run = open_run(name)
    holder = run.holder()
    if holder is None:
        left = cancel_left(run)
        print(f"{run.name}: {cancelled(left)}" if left else f"{run.name}: nothing is running")
        return DONE
    signal_holder(run, holder)
    deadline = time.monotonic() + STOP_SECONDS
    while run.holder() is not None:
        if time.monotonic() > deadline:
            print(f"{run.name}: process {holder.pid} did not end within {STOP_SECONDS} s", file=sys.stderr)
            return FAILED
        time.sleep(0.1)
    left = cancel_left(run)
    more = f"; {cancelled(left)}" if left else ""
    print(f"{run.name}: stopped{more}; continue it with: dpa-sse resume {name}")
    return DONE


def cancelled(jobs: Sequence[str]) -> str:
    """Return how many jobs have been cancelled, for people."""
    return f"{len(jobs)} job{'s' * (len(jobs) != 1)} cancelled ({', '.join(jobs)})"


def signal_holder(run: Run, holder: Holder) -> None:
    """Ask the process that holds the lock of a run to end.

    Raises
    ------
    InputError
        It is on another machine, or the process of that number on this machine is another one.
    """
    if holder.host and not holder.here:
        raise InputError(f"{run.name}: runs on {printable(holder.host)} (pid {holder.pid}): stop it there")
    if not holder.alive:
        raise InputError(
            f"{run.name}: locked by a process ({printable(str(holder))}) that cannot be found on this machine; "
            f"nothing was stopped; `lsof {run.folder / LOCK}` may show who holds it"
        )
    os.kill(holder.pid, signal.SIGTERM)


def print_run_location(name: str) -> int:
    """Print where the results of a local run are: nothing has to be downloaded."""
    print(f"{open_run(name).folder}: a run on this machine; its results are in this folder")
    return DONE


def rebuild_report(name: str, out: Path | None = None) -> int:
    """Write the report of a run again, from the results of its finished tasks, into ``out`` or the run folder.

    Raises
    ------
    InputError
        That folder cannot be written to.
    """
    from dpa_sse.pipeline.commands.run_end import results_of, write_report
    from dpa_sse.pipeline.report.result_lines import result_lines

    run = open_run(name)
    try:
        path = write_report(run, run_state(run), rebuild=True, out=out)
    except OSError as error:
        hint = "" if out else "; dpa-sse report RUN --out FOLDER writes it elsewhere"
        raise InputError(f"{error.filename or out or run.folder}: {error.strerror}{hint}") from error
    print(f"Report: {path}")
    for line in result_lines(results_of(run)):
        print(line)
    return DONE


class LocalTarget(RunTarget):
    """A run folder on this machine."""

    def __init__(self, name: str) -> None:
        self.name = name

    def show_status(self, *, as_json: bool, only: Sequence[str] = ()) -> int:
        """Print the stages with their progress, and which tasks failed."""
        return show_status(self.name, as_json=as_json, only=only)

    def watch(self) -> int:
        """Show the progress until the run ends."""
        return watch_run(self.name)

    def show_logs(self, task: str | None, lines: int) -> int:
        """Print the logs of a task, or of all failed tasks; else the names of the tasks."""
        return show_logs(self.name, task, lines)

    def stop(self) -> int:
        """End the process that executes the run."""
        return stop_run(self.name)

    def resume(self) -> int:
        """Execute the run folder with the configuration in it."""
        from dpa_sse.pipeline.commands.project import resume_run

        return resume_run(self.name)

    def download(self, steps: Sequence[str], out: Path | None) -> int:
        """Print where the results are: nothing has to be downloaded."""
        return print_run_location(self.name)

    def rebuild_report(self, out: Path | None) -> int:
        """Write the report again."""
        return rebuild_report(self.name, out)
