"""Section on the thinning of the data."""

from __future__ import annotations

from dpa_sse.ops.results.simplify import SimplifyIteration
from dpa_sse.pipeline.report.figures import FigureBook
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.page import ABSENT, Cell, PageSection, count, show
from dpa_sse.pipeline.report.plots.simplify import plot_simplify

COLUMNS = (
    "trained on", "others", "not needed", "needed", "of these, not covered only", "left out", "added",
    "mean deviation (eV/Å)", "largest", "force MAE (meV/Å)", "95 %", "energy MAE (meV/atom)", "95 % ",
    "force MAE on the others", "on those not needed",
)


def simplify(data: ReportData, book: FigureBook) -> PageSection | None:
    """Return the section on the iterations of the thinning; None where the data were not thinned."""
    found = data.simplified
    if found is None or not found.history:
        return None
    section = PageSection("simplify", "Thinned data")
    if found.outcome:
        section.text(f"{found.outcome}.")
    section.table(
        COLUMNS, [_iteration(one) for one in found.history],
        "In each iteration, an ensemble is trained on the frames kept so far. A frame is needed if its models disagree "
        "on it by the lower limit or more, or if it has environments that the kept frames do not have. Errors without "
        "further words are those on test frames.",
    )
    section.figures([plot_simplify(book, found)])
    return section


def _iteration(one: SimplifyIteration) -> list[str | Cell]:
    return [
        count(one.training_frames), count(one.other_frames), count(one.accurate), count(one.candidate),
        count(one.uncovered), count(one.failed), count(one.selected), show(one.mean_devi_f_eV_A),
        show(one.max_devi_f_eV_A), show(one.force_mae_meV_A), _interval(one.force_mae_ci95_meV_A),
        show(one.energy_mae_meV_atom), _interval(one.energy_mae_ci95_meV_atom), show(one.other_force_mae_meV_A),
        show(one.accurate_force_mae_meV_A),
    ]


def _interval(ci95: tuple[float, float] | None) -> str:
    return ABSENT if ci95 is None else f"{show(ci95[0])} to {show(ci95[1])}"
