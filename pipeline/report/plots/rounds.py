"""Figure of active fine-tuning: errors on new and on held-out frames against the frames trained on."""

from __future__ import annotations

from collections.abc import Sequence

from dpa_sse.ops.core.palette import BLUE, ORANGE
from dpa_sse.ops.results.active import FinetuneRound
from dpa_sse.pipeline.report.figures import SMALL, FigureBook, PageFigure, Row, legend, panel

COLUMNS = (
    "round", "training_frames", "on_policy_force_mae_meV_A", "on_policy_low_meV_A", "on_policy_high_meV_A",
    "held_out_force_mae_meV_A",
)


def plot_rounds(book: FigureBook, rounds: Sequence[FinetuneRound]) -> PageFigure | None:
    """Draw the force errors of the models of the rounds."""
    rows: list[Row] = []
    for number, one in enumerate(rounds):
        low, high = one.on_policy_force_mae_ci95_meV_A or (None, None)
        values = (
            number + 1, one.training_frames, one.on_policy_force_mae_meV_A, low, high, one.held_out_force_mae_meV_A,
        )
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    new = [row for row in rows if row["on_policy_force_mae_meV_A"] is not None]
    if not new:
        return None
    figure, axes = panel(SMALL)
    for row in new:
        if row["on_policy_low_meV_A"] is not None:
            axes.plot([row["training_frames"]] * 2, [row["on_policy_low_meV_A"], row["on_policy_high_meV_A"]],
                      color=ORANGE, linewidth=1)
    parts = (("on_policy_force_mae_meV_A", "o-", ORANGE, "new frames from its MD"),
             ("held_out_force_mae_meV_A", "s--", BLUE, "held-out trajectories"))
    for name, style, colour, label in parts:
        own = [row for row in rows if row[name] is not None]
        if own:
            axes.plot([row["training_frames"] for row in own], [row[name] for row in own], style, color=colour,
                      markersize=4, label=label)
    axes.set(xlabel="frames trained on", ylabel="force MAE (meV/Å)")
    axes.set_ylim(bottom=0)
    legend(axes)
    return book.add(
        figure, "finetune_rounds", "Errors of the models of the rounds",
        "Each model is judged on frames that were labelled after it was trained. Bars: 95 % over MD runs.",
        rows=rows, columns=COLUMNS,
    )
