"""The figures of the report for programs: ``summary.json``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dpa_sse.ops.results.summary import (
    ArrheniusSummary,
    ConductivitySummary,
    ErrorSummary,
    IterationSummary,
    MdSummary,
    StageSummary,
    Summary,
    TargetSummary,
)
from dpa_sse.pipeline.report.context import label_level
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.targets import FOLDER, Outcome, outcomes, ranking
from dpa_sse.pipeline.report.transport import Point, arrhenius_parts, line_trust, transport_points
from dpa_sse.pipeline.runs.outcome import ended_word, project_word

ROOM_TEMPERATURE_K = 300.0
OPEN = {"unfinished", "skipped"}
"""States of stages that have not ended."""


def run_word(data: ReportData) -> str | None:
    """Return the word for the run that all commands use, see :mod:`dpa_sse.pipeline.runs.outcome`.

    None where neither the state of the run nor its stages are known.
    """
    if data.state not in ("", "done"):
        return data.state
    if data.targets:
        words = [one.word for one in outcomes(data) if one.word != "unfinished"]
        return project_word(words, data.config.failure.min_success_ratio)
    if not data.state:
        if not data.stages:
            return None
        states = {stage.status for stage in data.stages}
        if "failed" in states:
            return "failed"
        if states & OPEN:
            return "interrupted"
    return ended_word(data.conductivity)


def make_summary(data: ReportData) -> Summary:
    """Return the content of ``summary.json``; of a project with targets, with the results of all of them."""
    if not data.targets:
        return _summary(data)
    found = [_summary(one) for one in data.targets.values()]
    return _summary(data).model_copy(update={
        "md": tuple(run for one in found for run in one.md),
        "conductivity": tuple(point for one in found for point in one.conductivity),
        "arrhenius": tuple(line for one in found for line in one.arrhenius),
        "self_check": tuple(system for one in found for system in one.self_check),
        "ranking": ranking(data),
        "targets": tuple(_target(one) for one in outcomes(data)),
    })


def _target(found: Outcome) -> TargetSummary:
    data = found.data
    tuned, errors = data.models.get("finetune"), data.evaluations.get("student_vs_teacher")
    return TargetSummary(
        name=found.name, folder=f"{FOLDER}/{found.name}", status=found.word, reason=found.reason,
        systems=tuple(one.name for one in data.config.simulate),
        labels_trained_on=tuned.info.frames if tuned else None,
        gates=data.gates.verdict if data.gates else None,
        force_mae_meV_A=errors.errors.force_mae_meV_A if errors else None,
    )


def _summary(data: ReportData) -> Summary:
    level, points = label_level(data), transport_points(data)
    labels = level.name if level else None
    return Summary(
        name=data.title,
        status=run_word(data),
        stages=tuple(
            StageSummary(
                name=stage.name, status=stage.status, seconds=stage.seconds, tasks=stage.tasks,
                tasks_failed=stage.tasks_failed, core_hours=stage.core_hours, gpu_hours=stage.gpu_hours,
            )
            for stage in data.stages
        ),
        errors={
            name: ErrorSummary(
                split=found.errors.split,
                labels=found.errors.level.name if found.errors.level else None,
                energy_mae_meV_atom=found.errors.energy_mae_meV_atom,
                energy_mae_ci95_meV_atom=found.errors.energy_mae_ci95_meV_atom,
                force_mae_meV_A=found.errors.force_mae_meV_A,
                force_mae_ci95_meV_A=found.errors.force_mae_ci95_meV_A,
                virial_mae_meV_atom=found.errors.virial_mae_meV_atom,
                virial_mae_ci95_meV_atom=found.errors.virial_mae_ci95_meV_atom,
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
                system=point.system,
                temperature_K=point.temperature_K,
                state=point.numbers.state,
                labels=labels,
                replicas=point.replicas,
                verdict=point.verdict or None,
                trust=point.trust,
                trust_reasons=point.check.reasons if point.check else (),
                sigma_mS_cm=point.sigma_mS_cm,
                sigma_ci95_mS_cm=point.sigma_ci95_mS_cm,
                D_cm2_s=point.D_cm2_s,
                D_ci95_cm2_s=point.D_ci95_cm2_s,
            )
            for point in points
        ),
        arrhenius=tuple(_arrhenius(data, points, labels)),
        ranking=data.conductivity.ranking if data.conductivity else (),
        self_check=data.self_check.systems if data.self_check else (),
        finetune_rounds=data.rounds.rounds if data.rounds else (),
        finetune_curve=tuple(data.curve),
        simplify=data.simplified.history if data.simplified else (),
        self_check_rounds=max(0, len(data.self_check.rounds) - 1) if data.self_check else 0,
    )


def _arrhenius(data: ReportData, points: Sequence[Point], labels: str | None) -> Iterator[ArrheniusSummary]:
    for system, line, own in arrhenius_parts(data, points):
        determined = line.Ea_eV is not None and line.determined
        room = line.at(ROOM_TEMPERATURE_K) if determined else None
        yield ArrheniusSummary(
            system=system, state=next((point.numbers.state for point in own), None), labels=labels,
            trust=line_trust(line, own),
            Ea_eV=line.Ea_eV if determined else None, Ea_ci95_eV=line.Ea_ci95_eV,
            sigma_300K_mS_cm=room.sigma_mS_cm if room else None,
            sigma_300K_ci95_mS_cm=room.sigma_ci95_mS_cm if room else None,
        )
