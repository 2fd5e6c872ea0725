"""Section on the self-check: the model against the labeler on frames of the production runs."""

from __future__ import annotations

from dpa_sse.ops.results.self_check import CheckedPoint, CheckedSystem, ModelErrors, SelfCheck, Trust
from dpa_sse.pipeline.report.context import estimate_text, label_source
from dpa_sse.pipeline.report.figures import FigureBook
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.page import (
    ABSENT,
    Cell,
    DetailsBlock,
    Level,
    PageSection,
    TableBlock,
    count,
    kelvin,
    plural,
    show,
)
from dpa_sse.pipeline.report.plots.self_check import plot_self_check

TRUST_LEVEL: dict[Trust, Level] = {
    "trusted": "good", "to be taken with care": "warn", "not checked": "warn", "not trusted": "bad",
}


def trust_cell(trust: Trust) -> Cell:
    """Return a marked cell with the verdict."""
    return Cell(trust, TRUST_LEVEL[trust])


def self_check(data: ReportData, book: FigureBook) -> PageSection:
    """Return the section on the errors of the model in its own production runs."""
    section = PageSection("self-check", "Self-check of the production runs")
    found = data.self_check
    if found is None:
        section.absent = "the production was not compared with the labeler"
        return section
    section.text(
        f"{plural(len(found.frames), 'frame')} of the production runs, evenly spaced in time, were labelled "
        f"({label_source(data)}) and compared with the model that ran them. {_bars(found)} Intervals are 95 % of the "
        "mean; a temperature with few labels is judged together with the others."
    )
    conditions = {_conditions(point) for point in found.points}
    common = f"All at {conditions.copy().pop()}. " if len(conditions) == 1 else ""
    section.table(
        ("system", "T (K)", "conditions", "runs", "labels", "energy error (meV/atom)", "pressure error (GPa)",
         "force MAE (meV/Å)", "verdict", "reasons"),
        [_row(point, common=bool(common)) for point in found.points],
        common + _shift_text(found),
        "system|conditions|verdict|reasons",
        "conditions|reasons",
    )
    section.figures([plot_self_check(book, found)])
    section.table(
        (
            "system", "model", "energy error (meV/atom)", "pressure error (GPa)", "force MAE (meV/Å)",
            "held-out force MAE", "ratio",
        ),
        [row for system in found.systems for row in _system_rows(system)],
        "The teacher is compared on the same frames: if it is as wrong as the student, labels are missing, not a "
        "better student.",
        "system|model",
    )
    if len(found.rounds) > 1:
        rows: list[list[str | Cell]] = [
            [
                str(one.round), "corrected" if one.corrected else "as before", system.system, count(one.labels),
                *_numbers(system.errors), trust_cell(system.verdict), "; ".join(system.reasons) or ABSENT,
            ]
            for one in found.rounds for system in one.systems
        ]
        section.table(
            (
                "round", "models", "system", "labels", "energy error (meV/atom)", "pressure error (GPa)",
                "force MAE (meV/Å)", "verdict", "reasons",
            ),
            rows,
            "Where the errors of a round are beyond the bars, the next one trains teacher and student on with the "
            "labelled production frames, and starts the MD again. All energy errors are relative to those on the first "
            "training frames. Errors on held-out frames in the other tables are those of the teacher before it was "
            "corrected.",
            "models|system|verdict|reasons",
            "reasons",
        )
    if found.failed:
        failures = [[one.task, one.reason] for one in found.failed]
        table = TableBlock(("task", "reason"), failures, words=("task", "reason"))
        section.blocks.append(DetailsBlock(f"Labels that failed ({len(failures)})", blocks=[table]))
    return section


def _bars(found: SelfCheck) -> str:
    bars = found.bars
    return (
        f"Allowed are an energy error of {bars.max_energy_bias_meV_atom:g} meV/atom, a pressure error of "
        f"{bars.max_pressure_error_GPa:g} GPa and {bars.max_force_mae_ratio:g} times the force MAE on held-out frames."
    )


def _shift_text(found: SelfCheck) -> str:
    if not found.shifts:
        return "Energies are not compared: no labelled training frame has the composition of the runs."
    shifts = "; ".join(
        f"{shift.composition}: student {_shift(shift.model_meV_atom, shift.half95_meV_atom)}, "
        f"teacher {_shift(shift.teacher_meV_atom, shift.teacher_half95_meV_atom)} meV/atom "
        f"({plural(shift.n_frames, 'frame')})"
        for shift in found.shifts
    )
    return f"Energies after subtracting one constant per composition, the mean on its training frames: {shifts}."


def _shift(value: float, half95: float | None) -> str:
    return show(value) if half95 is None else f"{show(value)} ± {show(half95)}"


def _conditions(point: CheckedPoint) -> str:
    return f"{point.pressure_GPa:g} GPa, {point.ensemble.upper()}, {point.n_atoms} atoms"


def _row(point: CheckedPoint, *, common: bool) -> list[str | Cell]:
    return [
        f"{point.system} ({point.composition})", kelvin(point.temperature_K), ABSENT if common else _conditions(point),
        count(point.runs), count(point.labels), *_numbers(point.errors), trust_cell(point.verdict),
        "; ".join(point.reasons) or ABSENT,
    ]


def _numbers(errors: ModelErrors | None) -> list[str]:
    if errors is None:
        return [ABSENT] * 3
    return [
        estimate_text(errors.energy_bias_meV_atom, "") if errors.energy_bias_meV_atom else ABSENT,
        estimate_text(errors.pressure_error_GPa, "") if errors.pressure_error_GPa else ABSENT,
        estimate_text(errors.force_mae_meV_A, ""),
    ]


def _system_rows(system: CheckedSystem) -> list[list[str]]:
    if system.errors is None:
        return []
    return [
        [
            system.system, "student", *_numbers(system.errors), show(system.held_out_force_mae_meV_A),
            show(system.force_mae_ratio),
        ],
        [system.system, "teacher", *_numbers(system.teacher), ABSENT, ABSENT],
    ]
