"""The figures of the report for programs: ``summary.json``."""

from __future__ import annotations

from collections.abc import Sequence

from dpa_sse.ops.results.summary import (
    ConductivitySummary,
    ErrorSummary,
    IterationSummary,
    MdSummary,
    StageSummary,
    Summary,
)
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.records import StageRecord
from dpa_sse.pipeline.report.transport import transport_points


def overall_status(stages: Sequence[StageRecord]) -> str | None:
    """Return ``failed``, ``partial`` (a task was lost or a stage was not reached) or ``ok``; None without stages."""
    if not stages:
        return None
    states = {stage.status for stage in stages}
    if "failed" in states:
        return "failed"
    return "partial" if states != {"ok"} or any(stage.tasks_failed for stage in stages) else "ok"


def make_summary(data: ReportData) -> Summary:
    """Return the content of ``summary.json``."""
    return Summary(
        name=data.title,
        status=overall_status(data.stages),
        stages=tuple(
            StageSummary(
                name=stage.name, status=stage.status, seconds=stage.seconds, tasks=stage.tasks,
                tasks_failed=stage.tasks_failed,
            )
            for stage in data.stages
        ),
        errors={
            name: ErrorSummary(
                energy_mae_meV_atom=found.errors.energy_mae_meV_atom,
                force_mae_meV_A=found.errors.force_mae_meV_A,
                virial_mae_meV_atom=found.errors.virial_mae_meV_atom,
                n_frames=found.errors.n_frames,
            )
            for name, found in data.evaluations.items()
        },
        concurrent_learning=tuple(
            IterationSummary(
                iteration=report.iteration, accurate=report.accurate, candidate=report.candidate,
                failed=report.failed, labelled=report.labelled,
            )
            for report in data.history
        ),
        md=tuple(
            MdSummary(
                name=run.name, system=run.info.system, temperature_K=run.info.temperature_K, status=run.info.status,
                steps_per_s=run.info.steps_per_s,
            )
            for run in data.md
        ),
        conductivity=tuple(
            ConductivitySummary(
                temperature_K=point.temperature_K,
                replicas=point.replicas,
                verdict=point.verdict or None,
                sigma_mS_cm=point.sigma_mS_cm,
                sigma_ci95_mS_cm=point.sigma_ci95_mS_cm,
            )
            for point in transport_points(data)
        ),
    )
