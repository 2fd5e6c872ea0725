"""A project with many targets in the report: the results of each, how each has ended, and what they have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dpa_sse.ops.conductivity.ranking import rank_systems
from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.results.conductivity import ArrheniusResult, RankedSystem
from dpa_sse.pipeline.config.load import resolved_yaml
from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.config.targets import target_project
from dpa_sse.pipeline.report.advice import why_none
from dpa_sse.pipeline.report.figures import TARGETS as FOLDER
from dpa_sse.pipeline.report.gather import FinishedSteps, finished_steps, inputs_of_run, report_inputs
from dpa_sse.pipeline.report.inputs import ReportData, ReportInputs
from dpa_sse.pipeline.report.transport import Point, arrhenius_parts, transport_points
from dpa_sse.pipeline.runs.configuration import load_run_config
from dpa_sse.pipeline.runs.folder import Run
from dpa_sse.pipeline.runs.outcome import TargetWord, target_word
from dpa_sse.pipeline.runs.targets import TargetView, target_views


@dataclass(frozen=True)
class Outcome:
    """How a target has ended.

    Attributes
    ----------
    name : str
    data : ReportData
        Its results.
    word : {"done", "inconclusive", "failed", "unfinished"}
        ``unfinished``: of a run that is at work, or was interrupted.
    reason : str
        Why it is not ``done``.
    """

    name: str
    data: ReportData
    word: TargetWord | Literal["unfinished"]
    reason: str = ""

    @property
    def place(self) -> str:
        """Its page, beside that of the project."""
        return f"{FOLDER}/{self.name}/report.html"


@dataclass(frozen=True)
class Line:
    """The Arrhenius line of a system of a target, and its points."""

    target: Outcome
    system: str
    line: ArrheniusResult
    points: list[Point]


def project_inputs(
    project: Project, found: Mapping[str, FinishedSteps], lost: Mapping[str, str], config: Path, run: Path | None,
    work: Path,
) -> ReportInputs:
    """Return the inputs of the report on a project with targets.

    Parameters
    ----------
    project : Project
    found : mapping
        Results of the steps of each target.
    lost : mapping
        Why steps of a target had nothing to work on, empty if none were left out.
    config : Path
        Resolved configuration of the project.
    run : Path or None
        Run folder, for times and failures; None in a pod.
    work : Path
        Receives the configuration of each target.
    """
    views = target_views(Run(run)) if run else {}
    shared = next(iter(found.values()), FinishedSteps())
    base = FinishedSteps(training_data=shared.training_data, pretrained=shared.pretrained)
    return replace(
        report_inputs(base, config, run, work),
        targets={
            name: _of_target(project, name, steps, lost.get(name, ""), run, work, views.get(name))
            for name, steps in found.items()
        },
    )


def inputs_of(run: Run, work: Path) -> ReportInputs:
    """Return the inputs of the report from a run folder: all steps that have finished."""
    views = target_views(run)
    if not views:
        return inputs_of_run(run, work)
    project = load_run_config(run).project
    config = run.folder / "config.resolved.yaml"
    base = finished_steps(run.finished(), run.ended())
    shared = FinishedSteps(training_data=base.training_data, pretrained=base.pretrained)
    return replace(
        report_inputs(shared, config, run.folder, work),
        targets={
            name: _of_target(
                project, name, finished_steps(view.finished, view.ended), view.left_out, run.folder, work, view
            )
            for name, view in views.items() if name in {one.name for one in project.chosen_targets}
        },
    )


def _of_target(
    project: Project, name: str, steps: FinishedSteps, left_out: str, run: Path | None, work: Path,
    view: TargetView | None,
) -> ReportInputs:
    config = work / FOLDER / name / "config.resolved.yaml"
    write_text(config, resolved_yaml(target_project(project, name)))
    found = report_inputs(steps, config, run, work, view)
    return replace(found, title=f"{project.name}: {name}", left_out=left_out, target=True)


def outcomes(data: ReportData) -> list[Outcome]:
    """Return how each target has ended, in their order."""
    ended = data.state not in ("running", "interrupted")
    return [_outcome(name, one, ended=ended) for name, one in data.targets.items()]


def _outcome(name: str, data: ReportData, *, ended: bool) -> Outcome:
    word = target_word(
        data.conductivity, wanted=data.config.md is not None, student="student" in data.models, lost=data.left_out
    )
    if word == "failed":
        failures = [failure.reason for stage in data.stages for failure in stage.failures if failure.reason]
        if not (failures or data.left_out or ended):
            return Outcome(name, data, "unfinished", "not finished")
        missing = data.left_out or next(reversed(failures), "") or "not finished"  # earlier ones were tolerated
        return Outcome(name, data, word, missing.partition("\n")[0].removeprefix(f"{name}: "))
    points = transport_points(data) if word == "inconclusive" else []
    return Outcome(name, data, word, why_none(points) if points else "")


def lines(found: Sequence[Outcome]) -> Iterator[Line]:
    """Yield the Arrhenius line of each system of all targets."""
    for one in found:
        points = transport_points(one.data)
        yield from (Line(one, system, line, own) for system, line, own in arrhenius_parts(one.data, points) if own)


def ranking(data: ReportData) -> tuple[RankedSystem, ...]:
    """Return the systems of all targets by their extrapolated conductivity, the highest first."""
    found = {one.system: one.line for one in lines(outcomes(data))}
    counts = Counter(
        point.temperature_K for line in found.values() for point in line.extrapolated if point.sigma_mS_cm is not None
    )
    # that of most systems; of several, the lowest
    best = min(counts, key=lambda temperature: (-counts[temperature], temperature), default=None)
    return rank_systems(found, [] if best is None else [best])
