"""Figures of the models: training curves, parity, errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dpa_sse.ops.core.palette import BLUE, COLOURS, GREY, ORANGE, SKY
from dpa_sse.ops.results.evaluation import Evaluation
from dpa_sse.pipeline.report.figures import SMALL, FigureBook, PageFigure, Row, legend, panel, plain
from dpa_sse.pipeline.report.inputs import EvaluatedModel, ParityTable, Table, TrainedModel
from dpa_sse.pipeline.report.records import evaluation_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODEL_COLOURS = {"zero_shot": GREY, "zero_shot_bias": SKY, "from_scratch": ORANGE, "fine_tuned": BLUE}
"""Of the models that are compared on the downstream system, the same in every figure."""
UNITS = {"energy": "meV/atom", "force": "eV/Å", "virial": "meV/atom"}


def plot_training(
    book: FigureBook, group: str, title: str, models: Mapping[str, TrainedModel], tested: Mapping[str, Evaluation]
) -> PageFigure | None:
    """Draw smoothed RMSE of energy and force against the step for the models of one group, on logarithmic axes.

    ``tested`` holds the errors of models on held-out frames, which are drawn as squares at the end.
    """
    curves = {name: model.curve for name, model in models.items() if _steps(model.curve)}
    quantities = [
        (k, label)
        for k, label in (("e", "energy RMSE\n(meV/atom)"), ("f", "force RMSE\n(meV/Å)"))
        if any(f"rmse_{k}_{part}" in curve for curve in curves.values() for part in ("val", "trn"))
    ]
    if not curves or not quantities:
        return None
    figure, grid = panel((SMALL[0], 1.2 + 1.35 * len(quantities)), len(quantities), sharex=True, squeeze=False)
    rows: list[Row] = []
    validated = any(f"rmse_{key}_val" in curve for curve in curves.values() for key in "ef")
    styles = PARTS if validated else {**PARTS, "trn": ("training", PARTS["val"][1])}
    for axes, (key, label) in zip(grid[:, 0], quantities, strict=True):
        for i, (name, curve) in enumerate(curves.items()):
            for part in ("trn", "val"):
                rows += _draw_curve(axes, curve, key, part, {"color": COLOURS[i % 7], **styles[part][1]}, name)
            if name in tested:
                rows.append(_draw_test(axes, curve, key, tested[name], COLOURS[i % 7], name))
        axes.set_yscale("log")
        axes.set_ylabel(label)
    parts = [part for part in PARTS if any(row["part"] == part for row in rows)]
    if len(curves) > 1:
        for i, name in enumerate(curves):
            grid[0, 0].plot([], [], color=COLOURS[i % 7], label=plain(name, 22))
    for part in parts:
        grid[0, 0].plot([], [], color=GREY, label=styles[part][0], **styles[part][1])
    legend(grid[0, 0], ncols=2)
    grid[-1, 0].set_xlabel("training step")
    figure.align_ylabels(grid[:, 0])
    return book.add(
        figure,
        f"training_{group}",
        title,
        "Lines: running mean (root mean square) over a twelfth of the training; faint: the training batches. "
        + ("Validation and test frames are held out." if "val" in parts else "There are no validation frames.")
        + (" Squares: held-out test frames, after the training." if "test" in parts else ""),
        rows=rows,
        columns=("model", "quantity", "part", "step", "rmse_meV", "smoothed_meV"),
    )


PARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "val": ("validation", {"linestyle": "-", "linewidth": 1.7}),
    "trn": ("training", {"linestyle": ":", "linewidth": 1.5}),
    "test": ("test", {"linestyle": "", "marker": "s", "markersize": 5, "markerfacecolor": "white"}),
}
"""Name and style of the curves and of the final errors of a model."""


def _draw_test(axes: Axes, curve: Table, key: str, found: Evaluation, colour: str, name: str) -> Row:
    value = found.energy_rmse_meV_atom if key == "e" else found.force_rmse_meV_A
    axes.plot([curve["step"][-1]], [value], color=colour, clip_on=False, zorder=3, **PARTS["test"][1])
    return {"model": name, "quantity": key, "part": "test", "step": curve["step"][-1], "rmse_meV": value}


def _draw_curve(
    axes: Axes, curve: Table, key: str, part: str, style: Mapping[str, Any], name: str
) -> list[Row]:
    """Draw one curve and return its rows; nothing if the file has no such numbers."""
    values = 1000 * np.array(curve.get(f"rmse_{key}_{part}", []), dtype=float)
    if not np.isfinite(values).any():
        return []
    smooth = smoothed(values)
    if part == "trn":
        batches = np.where(values > 0, values, np.nan)
        axes.plot(curve["step"], batches, color=style["color"], alpha=0.22, linewidth=0.7)
    axes.plot(curve["step"], np.where(smooth > 0, smooth, np.nan), **style)
    return [
        {"model": name, "quantity": key, "part": part, "step": step, "rmse_meV": value, "smoothed_meV": mean}
        for step, value, mean in zip(curve["step"], values, smooth, strict=True)
    ]


def smoothed(values: np.ndarray) -> np.ndarray:
    """Return the root of the centred running mean of the squares, over a twelfth of the points (three at least).

    The window shrinks at both ends, and skips values that are missing.
    """
    half = max(1, round(len(values) / 24))
    result = np.full(len(values), np.nan)
    for i in range(len(values)):
        reach = min(half, i, len(values) - 1 - i)
        window = values[i - reach : i + reach + 1]
        window = window[np.isfinite(window)]
        if len(window):
            result[i] = np.sqrt((window**2).mean())
    return result


def _steps(curve: Table) -> bool:
    numeric = all(isinstance(v, float) for column in curve.values() for v in column[:1])
    return bool(curve.get("step")) and numeric


def plot_parity(
    book: FigureBook, group: str, title: str, quantity: str, evaluations: Mapping[str, EvaluatedModel]
) -> PageFigure | None:
    """Draw predicted against reference values of one quantity; several models share the axes."""
    tables = {name: found.parity[quantity] for name, found in evaluations.items() if quantity in found.parity}
    if not tables:
        return None
    figure, axes = panel((SMALL[0], SMALL[0] + 0.1))
    rows: list[Row] = []
    low, high = math.inf, -math.inf
    for i, (name, table) in enumerate(tables.items()):
        x, y = _parity_values(table, quantity)
        good = np.isfinite(x) & np.isfinite(y)
        many = {"s": 7, "alpha": 0.45} if quantity == "force" else {"s": 14, "alpha": 0.7}
        style = {
            "color": MODEL_COLOURS.get(name, COLOURS[i % 7]), "marker": "os^Dv"[i % 5], "linewidths": 0,
            "rasterized": True,
        }
        axes.scatter(x[good], y[good], label=plain(evaluation_label(name), 24), **many, **style)
        if good.any():
            low, high = min(low, x[good].min(), y[good].min()), max(high, x[good].max(), y[good].max())
        rows += [
            {"model": name, "group": g, "reference": a, "predicted": b}
            for g, a, b in zip(table.groups, x, y, strict=True)
        ]
    if not math.isfinite(low):
        low, high = 0.0, 1.0
    margin = 0.05 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, color="#444444", linewidth=0.8, zorder=0.5)
    axes.set(
        xlim=limits,
        ylim=limits,
        xlabel=f"reference {quantity} ({UNITS[quantity]})",
        ylabel=f"predicted {quantity} ({UNITS[quantity]})",
    )
    axes.set_aspect("equal")
    legend(axes, markerscale=1.6, ncols=2)
    return book.add(
        figure,
        f"parity_{group}_{quantity}",
        f"{title}: {quantity}",
        _parity_caption(quantity, {name: evaluations[name] for name in tables}),
        rows=rows,
        columns=("model", "group", "reference", "predicted"),
    )


def _parity_values(table: ParityTable, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """Return reference and prediction; energies in meV/atom relative to the mean reference of their system."""
    x, y = np.array(table.reference), np.array(table.predicted)
    if quantity == "force":
        return x, y
    if quantity == "virial":
        return 1000 * x, 1000 * y
    groups = np.array(table.groups)
    means = {group: np.nanmean(x[groups == group]) for group in np.unique(groups)}
    centre = np.array([means[group] for group in groups])
    return 1000 * (x - centre), 1000 * (y - centre)


def _parity_caption(quantity: str, evaluations: Mapping[str, EvaluatedModel]) -> str:
    unit = "meV/Å" if quantity == "force" else "meV/atom"
    values = {name: _mae(found.errors, quantity) for name, found in evaluations.items()}
    text = "; ".join(f"{evaluation_label(name)} {mae:.3g} {unit}" for name, mae in values.items() if mae is not None)
    note = " Energies are relative to the mean reference energy of each system." if quantity == "energy" else ""
    return (f"MAE: {text}." if text else "") + note


def _mae(errors: Evaluation, quantity: str) -> float | None:
    if quantity == "force":
        return errors.force_mae_meV_A
    return errors.energy_mae_meV_atom if quantity == "energy" else errors.virial_mae_meV_atom


def plot_errors(
    book: FigureBook, key: str, axis: str, caption: str, bars: Sequence[tuple[str, float]]
) -> PageFigure | None:
    """Draw one error of several models as bars; ``bars`` holds (evaluation, value)."""
    if len(bars) < 2:
        return None
    figure, axes = panel((SMALL[0], 0.75 + 0.4 * len(bars)))
    axes.grid(axis="y", visible=False)
    colours = [MODEL_COLOURS.get(name, BLUE) for name, _ in bars]
    axes.barh(range(len(bars)), [value for _, value in bars], height=0.62, color=colours)
    axes.set_yticks(range(len(bars)), [plain(evaluation_label(name), 24) for name, _ in bars])
    axes.invert_yaxis()
    for i, (_, value) in enumerate(bars):
        axes.annotate(f"{value:.3g}", (value, i), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_xlim(0, max(value for _, value in bars) * 1.2 or 1)
    axes.set_xlabel(axis)
    rows: list[Row] = [{"model": name, key: value} for name, value in bars]
    title = axis.split(" (", maxsplit=1)[0]
    return book.add(figure, f"errors_{key}", title, caption, rows=rows, columns=("model", key))
