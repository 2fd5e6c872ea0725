"""Links to the results of a run under plain names: ``models/``, ``data/`` and ``conductivity`` of the run folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dpa_sse.ops.core.errors import InputError, PipelineError
from dpa_sse.ops.core.foreign import printable
from dpa_sse.ops.results.self_check import SelfCheck
from dpa_sse.ops.runtime.events import Event
from dpa_sse.pipeline.commands.model_usage import write_usage
from dpa_sse.pipeline.report.gather import BASE_DATA, base_data, final_student, self_check_folder
from dpa_sse.pipeline.runs.configuration import load_run_config
from dpa_sse.pipeline.runs.folder import Run
from dpa_sse.pipeline.runs.stage_status import split_task
from dpa_sse.pipeline.runs.targets import TargetView, target_views

STEPS = {
    "models/pretrained": ("pretrain",),
    "models/finetuned": ("finetune",),
    "models/student": ("student", "correct-student"),
    "data/base": BASE_DATA,
    "data/downstream": ("collect-new",),
    "data/distilled": ("teacher-labels",),
    "conductivity": ("conductivity",),
}
"""Links, and the steps of the DAG whose results they lead to."""
SHARED = ("pretrain", *BASE_DATA)
"""Steps that all targets of a project share."""


def publish(run: Run) -> None:
    """Set the links to the results that there are, and remove those that lead to results of another configuration."""
    views = target_views(run)
    for view in views.values():
        _publish_target(run, view)
    _remove_targets(run, views)
    finished = {
        task: folder for task, folder in run.finished().items() if not views or split_task(task)[0] in SHARED
    }
    targets = {
        "models/pretrained": finished.get("pretrain"),
        "models/finetuned": finished.get("finetune-000"),
        "models/student": final_student(finished),
        "data/base": base_data(finished),
        "data/downstream": finished.get("collect-new"),
        "data/distilled": finished.get("teacher-labels"),
        "conductivity": finished.get("conductivity"),
    }
    stale = _stale_steps(run)
    for name, target in targets.items():
        if target is not None:
            place_link(run.folder / name, target)
        elif stale is not None and all(stale(step) for step in STEPS[name]):
            remove_link(run.folder / name)
    if not (run.folder / "models").is_symlink():
        write_usage(run.folder / "models", _self_check(finished))


def _publish_target(run: Run, view: TargetView) -> None:
    """Set the links to the results of one of many targets."""
    name, finished = view.target, view.finished
    targets = {
        f"models/{name}/finetuned": finished.get("finetune-000"),
        f"models/{name}/student": final_student(finished),
        f"data/{name}-downstream": finished.get("collect-new"),
        f"data/{name}-distilled": finished.get("teacher-labels"),
        f"conductivities/{name}": finished.get("conductivity"),
    }
    for link, target in targets.items():
        if target is not None:
            place_link(run.folder / link, target)
        else:
            remove_link(run.folder / link)
    models = run.folder / "models" / name
    if not models.parent.is_symlink() and models.is_dir():
        write_usage(models, _self_check(finished))


def _remove_targets(run: Run, views: Mapping[str, TargetView]) -> None:
    """Remove the links to results of targets that the configuration no longer has."""
    try:
        names = {*views, *(one.name for one in load_run_config(run).project.targets)}
    except InputError:  # of another version of the program
        return
    links = [
        (path.parent.name, path) for one in ("finetuned", "student") for path in run.folder.glob(f"models/*/{one}")
    ]
    links += [
        (path.name.rpartition("-")[0], path) for one in ("downstream", "distilled")
        for path in run.folder.glob(f"data/*-{one}")
    ]
    links += [(path.name, path) for path in run.folder.glob("conductivities/*")]
    for name, path in links:
        if name not in names and path.is_symlink() and "tasks" in path.readlink().parts:
            remove_link(path)


def _self_check(finished: Mapping[str, Path]) -> SelfCheck | None:
    if (folder := self_check_folder(finished)) is not None:
        with suppress(PipelineError, OSError):
            return SelfCheck.read(folder)
    return None


def _stale_steps(run: Run) -> Callable[[str], bool] | None:
    """Return whether the result of a step, if there is one, was made with another configuration.

    That is so for steps that the DAG does not have, and for those that the latest start computes again. None where the
    DAG is not known.
    """
    known = {step.name for step in run.plan()}
    again = {step for event in run.latest_attempt() if event.kind == "changed" for step in event.again or ()}
    return (lambda step: step not in known or step in again) if known else None


def place_link(link: Path, target: Path) -> None:
    """Make ``link`` point to ``target`` by a relative path, which survives moving the run folder.

    Only a link is replaced, and no link is placed in a folder that is a link itself: that belongs to somebody else.
    """
    if link.parent.is_symlink() or (link.exists() and not link.is_symlink()):
        print(printable(f"{link}: not linked to {target.name}, because something else is there"), file=sys.stderr)
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    temporary = link.with_name(f".{link.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(target, link.parent))
    temporary.replace(link)


def remove_link(link: Path) -> None:
    """Remove a link that :func:`place_link` has made; anything else stays."""
    if link.is_symlink() and not link.parent.is_symlink():
        link.unlink()


class Publisher:
    """Sets the links while a run is in progress, whenever one of their steps has a result."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.seen = len(run.events())

    def tick(self, events: Sequence[Event]) -> None:
        """Look at the events that are new."""
        fresh, self.seen = events[self.seen :], len(events)
        steps = {step for names in STEPS.values() for step in names}
        if any(event.kind in ("done", "cached") and split_task(event.task)[0] in steps for event in fresh):
            try:
                publish(self.run)
            except (InputError, OSError):  # reported at the end
                return
