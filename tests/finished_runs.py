"""Run folders with results of finished tasks, without running them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.runtime.events import Event
from dpa_sse.pipeline.config import load_project, resolved_yaml
from dpa_sse.pipeline.runs.folder import CONFIG, Run
from dpa_sse.pipeline.runs.provenance import record_provenance

PROJECT = """name: mine
type_map: [Li, P, S]
systems: [{name: A, structure: Li3PS4}]
labeler: {kind: mock}
distill: {temperatures_K: [900], steps: 20, sample_every: 5}
md: {temperatures_K: [600], production_ps: 2}
"""


def finished_run(
    folder: Path, tasks: Mapping[str, Path], code: int = 0, reasons: Mapping[str, str] | None = None
) -> Run:
    """Make a run folder; the results of tasks are copied into it. Tasks with a reason have failed."""
    run = Run(folder)
    run.create()
    write_text(folder / "project.yaml", PROJECT)
    write_text(folder / CONFIG, resolved_yaml(load_project(folder / "project.yaml")))
    record_provenance(folder / "manifest.json", 1)
    events = [Event(time=1.0, kind="run-start")]
    for number, (task, source) in enumerate(tasks.items()):
        place = f"tasks/01-stage/{task}--{number:010d}"
        shutil.copytree(source, folder / place)
        reason = (reasons or {}).get(task)
        kind = "done" if reason is None else "failed"
        events.append(Event(
            time=2.0 + number, kind=kind, stage="01-stage", task=task, folder=place, reason=reason  # type: ignore[arg-type]
        ))
    events.append(Event(time=100.0, kind="run-end", code=code))
    write_text(run.log, "".join(event.line() for event in events))
    return run
