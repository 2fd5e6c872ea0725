"""Section on active fine-tuning."""

from __future__ import annotations

from dpa_sse.ops.results.active import FinetuneRound
from dpa_sse.pipeline.report.figures import FigureBook
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.page import ABSENT, Cell, PageSection, count, plural, show
from dpa_sse.pipeline.report.plots.rounds import plot_rounds

COLUMNS = (
    "round", "trained on", "chosen", "labelled", "left out", "force MAE on new frames (meV/Å)", "95 %",
    "energy MAE on new frames (meV/atom)", "held-out force MAE (meV/Å)",
)


def finetune_rounds(data: ReportData, book: FigureBook) -> PageSection | None:
    """Return the section on the rounds of active fine-tuning; None where there were none."""
    if data.rounds is None or not data.rounds.rounds:
        return None
    found = data.rounds
    section = PageSection("finetune_rounds", "Active fine-tuning")
    section.table(
        COLUMNS, [_round(number + 1, one) for number, one in enumerate(found.rounds)],
        "In each round, a model fine-tuned on the frames so far runs MD, and some frames of it are labelled. Errors on "
        "these new frames are those of the model that has not seen them: they say what it is worth where it is used.",
        "chosen",
    )
    if found.enough:
        section.text(
            f"The error on new frames is below the wanted {show(found.wanted_force_mae_meV_A)} meV/Å in round "
            f"{len(found.rounds)}: no further one followed."
        )
    section.figures([plot_rounds(book, found.rounds)])
    if found.label_failures:
        section.text(f"{plural(len(found.label_failures), 'label')} failed, e.g. {found.label_failures[0].reason}.")
    return section


def _round(number: int, found: FinetuneRound) -> list[str | Cell]:
    interval = found.on_policy_force_mae_ci95_meV_A
    return [
        str(number), count(found.training_frames), f"{found.selection}, of {found.candidates}",
        count(found.labelled), count(found.extreme + found.failed), show(found.on_policy_force_mae_meV_A),
        ABSENT if interval is None else f"{show(interval[0])} to {show(interval[1])}",
        show(found.on_policy_energy_mae_meV_atom), show(found.held_out_force_mae_meV_A),
    ]
