"""How a run has ended, in one word: the same for `run`, `status`, `watch`, the report and ``summary.json``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from dpa_sse.ops.core.errors import REFUSAL, SUSPENSION, FatalError
from dpa_sse.ops.core.exit_codes import DONE, FAILED, INTERRUPTED, REFUSED
from dpa_sse.ops.results.conductivity import ConductivityResult
from dpa_sse.ops.runtime.events import Event
from dpa_sse.pipeline.runs.configuration import load_run_config
from dpa_sse.pipeline.runs.folder import Run
from dpa_sse.pipeline.runs.stage_status import stage_status
from dpa_sse.pipeline.runs.targets import target_views

RunWord = Literal[
    "running", "done", "inconclusive", "partial", "refused", "suspended", "failed", "interrupted"
]
TargetWord = Literal["done", "inconclusive", "failed"]
EXIT_CODES: dict[str, int] = {
    "done": DONE, "inconclusive": REFUSED, "refused": REFUSED, "suspended": REFUSED, "interrupted": INTERRUPTED,
}
"""Exit codes of the commands that follow a run to its end; 1 for all other words."""


def ended_word(found: ConductivityResult | None) -> RunWord:
    """Return the word for a run whose steps have all ended well.

    Parameters
    ----------
    found : ConductivityResult or None
        None for a project without conductivities. Where they were asked for and no temperature has one (every run
        exploded, melted, was too short or showed no diffusion), the run is inconclusive.
    """
    return "inconclusive" if found is not None and not found.has_values else "done"


def target_word(
    found: ConductivityResult | None, *, wanted: bool, student: bool, lost: str = ""
) -> TargetWord:
    """Return the word for one of many targets.

    Parameters
    ----------
    found : ConductivityResult or None
        None where there is none.
    wanted : bool
        The project asks for conductivities.
    student : bool
        The student has been trained.
    lost : str
        Why a step of it failed, or had nothing to work on; it has then failed, even if it has a conductivity.
    """
    if lost:
        return "failed"
    if found is None:
        return "failed" if wanted or not student else "done"
    return "done" if found.has_values else "inconclusive"


def project_word(targets: Sequence[TargetWord], min_success_ratio: float) -> RunWord:
    """Return the word for a project with many targets; ``partial`` if too many of them have failed, but not all."""
    failed = targets.count("failed")
    if failed == len(targets):
        return "failed"
    if len(targets) - failed < min_success_ratio * len(targets) - 1e-9:
        return "partial"
    return "done" if "done" in targets else "inconclusive"


def run_state(run: Run) -> RunWord:
    """Return the word for a run folder."""
    if run.holder() is not None:
        return "running"
    ends = [event for event in run.latest_attempt() if event.kind == "run-end"]
    if not ends and not (not run.log.exists() and _complete(run)):
        return "interrupted"
    code = (ends[-1].code if ends else None) or DONE
    if code != DONE:
        return "interrupted" if code == INTERRUPTED else failed_word(run.latest_attempt())
    if views := target_views(run):
        project = load_run_config(run).project
        words = [
            target_word(
                _conductivity(view.finished), wanted=project.md is not None, student="student" in view.finished,
                lost=view.left_out,
            )
            for view in views.values()
        ]
        return project_word(words, project.failure.min_success_ratio)
    return ended_word(_conductivity(run.finished()))


def _conductivity(finished: Mapping[str, Path]) -> ConductivityResult | None:
    with suppress(FatalError):  # of another version of the program
        return ConductivityResult.read_if_there(finished.get("conductivity"))
    return None


def failed_word(events: Iterable[Event]) -> Literal["refused", "suspended", "failed"]:
    """Return the word for a run that has failed: refused or suspended, if nothing but a gate has ended it."""
    last = {event.task: event for event in events if event.task}
    reasons = [event.reason or "" for event in last.values() if event.kind == "failed"]
    if reasons and all(reason.startswith(REFUSAL) for reason in reasons):
        return "refused"
    return "suspended" if reasons and all(reason.startswith(SUSPENSION) for reason in reasons) else "failed"


def _complete(run: Run) -> bool:
    """Return whether every step of a run whose log is lost has its results."""
    stages = stage_status(run.plan(), run.events(), "ended")
    return bool(stages) and all(stage.done >= stage.tasks for stage in stages)


def exit_code(word: str) -> int:
    """Return the exit code of a command that has followed a run to its end."""
    return EXIT_CODES.get(word, FAILED)
