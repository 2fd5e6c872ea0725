"""The end of a run: links to its results in the run folder, failures, and the report."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.exit_codes import DONE, INTERRUPTED
from dpa_sse.ops.core.tools import tail
from dpa_sse.pipeline.report.gather import final_student
from dpa_sse.pipeline.runs.folder import Run

if TYPE_CHECKING:
    from dpa_sse.pipeline.report.inputs import ReportInputs

LOG_LINES = 15
FULL_BYTES = 20 * 2**20


def finish_run(run: Run, code: int) -> int:
    """Link the results, print failures and the path of the report; return the exit code of the command."""
    if code == INTERRUPTED:
        print(f"Interrupted. Run the same command again to resume; finished tasks are kept in {run.folder}")
        return code
    free = shutil.disk_usage(run.folder).free
    if code != DONE and free < FULL_BYTES:
        print(
            f"{run.folder}: the disk is full ({free // 2**20} MiB left). Free some space and run the same command "
            "again; finished tasks are kept.",
            file=sys.stderr,
        )
        return code
    if code != DONE:
        show_failures(run)
    publish(run)
    report = write_report(run, "done" if code == DONE else "failed")
    if report is not None:
        print(f"Report: {report}")
    return code


def show_failures(run: Run) -> None:
    """Print each failed task with its folder and the last lines of its logs."""
    events = run.latest_attempt()
    failed = {event.task: event for event in events if event.kind == "failed"}
    last = {event.task: event for event in events if event.task}
    killed = [event for event in last.values() if event.kind == "start"]
    for event in killed:
        print(f"\nENDED {event.task}: its process was killed; run the same command again\n  folder: "
              f"{run.folder / (event.folder or '')}", file=sys.stderr)
    for event in failed.values():
        folder = run.folder / (event.folder or "")
        print(f"\nFAILED {event.task}: {event.reason or ''}\n  folder: {folder}", file=sys.stderr)
        for log in sorted(folder.glob("*.log"))[:2]:
            print(f"  last lines of {log.name}:\n{tail(log, LOG_LINES)}", file=sys.stderr)
    errors = [event.reason for event in events if event.kind == "error"]
    for reason in errors:
        print(reason, file=sys.stderr)
    if not failed and not errors and not killed:
        log = run.engine / "dflow.log"
        print(f"The engine stopped although no task failed; last lines of {log}:\n{tail(log, 20)}", file=sys.stderr)


def publish(run: Run) -> None:
    """Link models and data in ``models/`` and ``data/`` of the run folder, under plain names."""
    finished = run.finished()
    links = {
        "models/pretrained": finished.get("pretrain"),
        "models/finetuned": finished.get("finetune-000"),
        "models/student": final_student(finished),
        "data/downstream": finished.get("collect-new"),
        "data/distilled": finished.get("teacher-labels"),
        "conductivity": finished.get("conductivity"),
    }
    merged = [folder for task, folder in sorted(finished.items()) if task.startswith("merge-i")]
    links["data/base"] = merged[-1] if merged else finished.get("user-data") or finished.get("collect")
    for name, target in links.items():
        if target is not None:
            place_link(run.folder / name, target)


def place_link(link: Path, target: Path) -> None:
    """Make ``link`` point to ``target`` by a relative path, which survives moving the run folder."""
    link.parent.mkdir(parents=True, exist_ok=True)
    temporary = link.with_name(f".{link.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(target, link.parent))
    temporary.replace(link)


def write_report(run: Run, state: str, *, rebuild: bool = False) -> Path | None:
    """Write the report of the tasks that have finished into the run folder.

    Parameters
    ----------
    run : Run
        The run folder.
    state : str
        State of the whole run, for ``summary.json``.
    rebuild : bool
        Write the report again, even if the workflow has already written that of a finished run.

    Returns
    -------
    Path or None
        ``report.html``; None if there is nothing to report on.
    """
    from dpa_sse.pipeline.report.build import build_report
    from dpa_sse.pipeline.report.gather import inputs_of_run

    made = run.finished().get("report")
    if made is not None and state == "done" and not rebuild:
        for name in ("report.html", "summary.json"):
            shutil.copyfile(made / name, run.folder / name)
        shutil.rmtree(run.folder / "figures", ignore_errors=True)  # an earlier report may have had other figures
        if (made / "figures").is_dir():  # there may be no figures, and a bucket has no empty folders
            shutil.copytree(made / "figures", run.folder / "figures")
        return run.folder / "report.html"
    work = run.engine / "report"
    work.mkdir(parents=True, exist_ok=True)
    inputs = inputs_of_run(run, work)
    if rebuild:
        _keep_report_with_more(run, inputs)
    summary = build_report(inputs, run.folder)
    if state != "done":
        summary.model_copy(update={"status": state}).write(run.folder)
    return run.folder / "report.html"


def _keep_report_with_more(run: Run, inputs: ReportInputs) -> None:
    """Keep the present report under another name if some results can no longer be read, and print which ones."""
    from dpa_sse.pipeline.report.inputs import load_data

    notes = load_data(inputs).notes
    if not notes or not (run.folder / "report.html").is_file():
        return
    for name in ("report.html", "summary.json"):
        kept = run.folder / name.replace(".", ".previous.")
        if (run.folder / name).is_file() and not kept.exists():
            shutil.copyfile(run.folder / name, kept)
    print(
        "Some results could not be read; the new report is without them:\n"
        + "\n".join(f"  {note}" for note in notes)
        + f"\nThe previous report is kept: {run.folder / 'report.previous.html'}",
        file=sys.stderr,
    )
