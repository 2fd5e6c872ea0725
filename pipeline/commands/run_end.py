"""The end of a run: links to its results in the run folder, failures, and the report."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.exit_codes import DONE, INTERRUPTED
from dpa_sse.ops.core.foreign import printable
from dpa_sse.ops.core.tools import tail
from dpa_sse.pipeline.commands.on_end import Ended, announce_end
from dpa_sse.pipeline.commands.run_links import publish
from dpa_sse.pipeline.report.inputs import ReportData, ReportInputs, load_data
from dpa_sse.pipeline.report.result_lines import result_lines
from dpa_sse.pipeline.report.targets import inputs_of
from dpa_sse.pipeline.runs.folder import Run
from dpa_sse.pipeline.runs.outcome import ended_word, exit_code, failed_word, run_state

if TYPE_CHECKING:
    from dpa_sse.pipeline.config import Located

LOG_LINES = 15
FULL_BYTES = 20 * 2**20


def finish_run(run: Run, code: int, located: Located | None = None) -> int:
    """Link the results, print failures, the path of the report and the outcome; return the exit code of the command.

    A run that was not interrupted is announced as ``located``, its configuration, asks for.
    """
    if code == INTERRUPTED:
        publish(run)
        print(printable(f"Interrupted. Run the same command again to resume; finished tasks are kept in {run.folder}"))
        return code
    free = shutil.disk_usage(run.folder).free
    if code != DONE and free < FULL_BYTES:
        print(
            f"{run.folder}: the disk is full ({free // 2**20} MiB left). Free some space and run the same command "
            "again; finished tasks are kept.",
            file=sys.stderr,
        )
        return _announced(run, code, located, ["the disk is full"])
    word = "done"
    if code != DONE:
        word = failed_word(run.latest_attempt())
        if word != "suspended":
            show_failures(run)
        code = exit_code(word) if word in ("refused", "suspended") else code
    publish(run)
    report = write_report(run, word)
    if report is not None:
        print(printable(f"Report: {report}"))
    data = results_of(run)
    lines = result_lines(data)
    for line in lines:
        print(printable(line))
    word = run_state(run) if data.targets else ended_word(data.conductivity)
    return _announced(run, code if code != DONE else exit_code(word), located, lines)


def _announced(run: Run, code: int, located: Located | None, lines: Sequence[str]) -> int:
    """Announce the end of a run as its configuration asks for; return the exit code, whether that works or not."""
    if located is not None:
        sys.stdout.flush()
        ended = Ended(run.name, run.folder, run_state(run), code, tuple(map(printable, lines)))
        for fault in announce_end(located.project, located.base_dir, ended):
            print(fault, file=sys.stderr)
    return code


def results_of(run: Run) -> ReportData:
    """Return the results that decide how a run has ended, without models and figures."""
    with tempfile.TemporaryDirectory() as work:
        inputs = inputs_of(run, Path(work))
        return load_data(_without_models(inputs))


def _without_models(inputs: ReportInputs) -> ReportInputs:
    targets = {
        name: replace(one, evaluations={}, parity=None, teacher_filter=None) for name, one in inputs.targets.items()
    }
    return replace(inputs, models={}, evaluations={}, parity=None, teacher_filter=None, targets=targets)


def show_failures(run: Run) -> None:
    """Print each failed task with its folder and the last lines of its logs."""
    events = run.latest_attempt()
    failed = {event.task: event for event in events if event.kind == "failed"}
    last = {event.task: event for event in events if event.task}
    killed = [event for event in last.values() if event.kind == "start"]
    for event in killed:
        print(printable(f"\nENDED {event.task}: its process was killed; run the same command again\n  folder: "
                        f"{run.folder / (event.folder or '')}"), file=sys.stderr)
    for event in failed.values():
        folder = run.place(event.folder) if event.folder else run.folder
        print(printable(f"\nFAILED {event.task}: {event.reason or ''}\n  folder: {folder}"), file=sys.stderr)
        for log in sorted(folder.glob("*.log"))[:2]:
            print(printable(f"  last lines of {log.name}:\n{tail(log, LOG_LINES)}"), file=sys.stderr)
    errors = list(dict.fromkeys(event.reason or "" for event in events if event.kind == "error"))
    for reason in errors:
        print(printable(reason), file=sys.stderr)
    if not failed and not errors and not killed:
        log = run.engine / "dflow.log"
        text = printable(f"The engine stopped although no task failed; last lines of {log}:\n{tail(log, 20)}")
        print(text, file=sys.stderr)


def write_report(run: Run, state: str, *, rebuild: bool = False, out: Path | None = None) -> Path | None:
    """Write the report of the tasks that have finished into the run folder.

    Parameters
    ----------
    run : Run
        The run folder.
    state : str
        State of the whole run, for the page and ``summary.json``.
    rebuild : bool
        Write the report again, even if the workflow has already written that of a finished run.
    out : Path, optional
        Folder of the report; the run folder by default. With it, nothing is written into the run folder.

    Returns
    -------
    Path or None
        ``report.html``; None if there is nothing to report on.
    """
    from dpa_sse.pipeline.report.build import build_report
    from dpa_sse.pipeline.report.figures import copy_report

    made = run.finished().get("report")
    if made is not None and state in ("done", "inconclusive") and not rebuild:
        copy_report(made, run.folder)
        return run.folder / "report.html"
    target = out or run.folder
    with tempfile.TemporaryDirectory() as work:
        inputs = replace(inputs_of(run, Path(work)), state=state if state != "inconclusive" else "done")
        if rebuild:
            _keep_report_with_more(target, inputs)
        build_report(inputs, target)
    return target / "report.html"


def _keep_report_with_more(folder: Path, inputs: ReportInputs) -> None:
    """Keep the present report under another name if some results can no longer be read, and print which ones."""
    notes = load_data(inputs).notes
    if not notes or not (folder / "report.html").is_file():
        return
    for name in ("report.html", "summary.json"):
        kept = folder / name.replace(".", ".previous.")
        if (folder / name).is_file() and not kept.exists():
            shutil.copyfile(folder / name, kept)
    print(
        printable(
            "Some results could not be read; the new report is without them:\n"
            + "\n".join(f"  {note}" for note in notes)
            + f"\nThe previous report is kept: {folder / 'report.previous.html'}"
        ),
        file=sys.stderr,
    )
