"""Figures of the stages and the models: times, exploration, training curves, parity, errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dpa_sse.pipeline.report.figures import (
    BLUE,
    CYCLE,
    GREY,
    LINES,
    ORANGE,
    RED,
    SKY,
    SMALL,
    Figure,
    FigureBook,
    legend,
    panel,
    plain,
)
from dpa_sse.pipeline.report.inputs import Evaluation, Model, number

STAGE_COLOURS = {"ok": BLUE, "partial": ORANGE, "failed": RED}
COLOURS = {"zero_shot": GREY, "zero_shot_bias": SKY, "from_scratch": ORANGE, "fine_tuned": BLUE}
"""Of the models that are compared on the downstream system, the same in every figure."""
UNITS = {"energy": "meV/atom", "force": "eV/Å", "virial": "meV/atom"}


def plot_stage_times(book: FigureBook, stages: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Draw the seconds of every stage as bars; the colour (and a word) tells the status."""
    timed = [(stage, value) for stage in stages if (value := number(stage.get("seconds"))) is not None]
    if not timed:
        return None
    figure, axes = panel((7.2, 0.55 + 0.27 * len(timed)))
    axes.grid(axis="y", visible=False)
    seconds = [s for _, s in timed]
    colours = [STAGE_COLOURS.get(str(stage.get("status")), GREY) for stage, _ in timed]
    axes.barh(range(len(timed)), seconds, color=colours, height=0.68)
    axes.set_yticks(range(len(timed)), [plain(stage.get("title") or stage.get("name"), 40) for stage, _ in timed])
    axes.invert_yaxis()
    for i, (stage, value) in enumerate(timed):
        status = str(stage.get("status"))
        axes.annotate(
            f"{value:,.1f} s" + ("" if status == "ok" else f"  {plain(status)}"),
            (value, i),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
        )
    axes.set_xlim(0, max(seconds) * 1.18 or 1)
    axes.set_xlabel("time at work (s)")
    rows = [{"stage": s.get("name"), "status": s.get("status"), "seconds": v} for s, v in timed]
    return book.add(
        figure,
        "stage_times",
        "Time per stage",
        "Time in which tasks of the stage were at work; stages may overlap, and starting a task is not counted.",
        rows=rows,
        columns=("stage", "status", "seconds"),
        wide=True,
    )


def plot_learning(book: FigureBook, history: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Draw accurate, candidate and failed frames of every iteration as stacked shares."""
    keys = ("accurate", "candidate", "failed")
    table = np.array([[number(entry.get(key)) or 0.0 for key in keys] for entry in history])
    if not history or not table.sum():
        return None
    shares = 100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1e-300)
    figure, axes = panel((max(SMALL[0], min(7.2, 1.6 + 0.45 * len(history))), SMALL[1]))
    axes.grid(axis="x", visible=False)
    bottom = np.zeros(len(history))
    for key, share, colour, hatch in zip(keys, shares.T, (BLUE, ORANGE, RED), ("", "///", "xxx"), strict=True):
        axes.bar(
            range(len(history)),
            share,
            bottom=bottom,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            width=0.62,
            linewidth=0.5,
            label=key,
        )
        for i, (height, base, n) in enumerate(zip(share, bottom, table[:, keys.index(key)], strict=True)):
            if height > 9 and len(history) <= 12:
                axes.text(
                    i,
                    base + height / 2,
                    f"{n:.0f}",
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2, "alpha": 0.85},
                )
        bottom += share
    labels = [str(entry.get("iteration", i)) for i, entry in enumerate(history)]
    axes.set_xticks(range(len(history)), [plain(label, 6) for label in labels])
    axes.set(xlabel="iteration", ylabel="share of explored frames (%)", ylim=(0, 100))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    rows = [
        {"iteration": label, **dict(zip(keys, line, strict=True))} for label, line in zip(labels, table, strict=True)
    ]
    return book.add(
        figure,
        "concurrent_learning",
        "Explored frames by model deviation",
        "Accurate: the ensemble agrees; candidate: worth a label; failed: too far away. Numbers are frames.",
        rows=rows,
        columns=("iteration", *keys),
    )


def plot_training(book: FigureBook, group: str, title: str, models: Mapping[str, Model]) -> Figure | None:
    """Draw RMSE of energy and force against the step for the models of one group, on logarithmic axes."""
    curves = {name: model.curve for name, model in models.items() if _steps(model.curve)}
    quantities = [
        (k, label)
        for k, label in (("e", "energy RMSE\n(meV/atom)"), ("f", "force RMSE\n(meV/Å)"))
        if any(f"rmse_{k}_{part}" in curve for curve in curves.values() for part in ("val", "trn"))
    ]
    if not curves or not quantities:
        return None
    figure, grid = panel((SMALL[0], 1.0 + 1.35 * len(quantities)), len(quantities), sharex=True, squeeze=False)
    rows: list[dict[str, Any]] = []
    for axes, (key, label) in zip(grid[:, 0], quantities, strict=True):
        for i, (name, curve) in enumerate(curves.items()):
            for part, style in (("trn", {"alpha": 0.35, "linewidth": 0.9}), ("val", {"linestyle": LINES[i // 7 % 4]})):
                values = 1000 * np.array(curve.get(f"rmse_{key}_{part}", []), dtype=float)
                if not np.isfinite(values).any():
                    continue
                axes.plot(
                    curve["step"],
                    np.where(values > 0, values, np.nan),
                    color=CYCLE[i % 7],
                    label=plain(name, 22) if part == "val" or f"rmse_{key}_val" not in curve else None,
                    **style,
                )
                rows += [
                    {"model": name, "quantity": key, "part": part, "step": s, "rmse_meV": v}
                    for s, v in zip(curve["step"], values, strict=True)
                ]
        axes.set_yscale("log")
        axes.set_ylabel(label)
    if len(curves) > 1:
        legend(grid[0, 0], ncols=2 if len(curves) > 4 else 1)
    grid[-1, 0].set_xlabel("training step")
    return book.add(
        figure,
        f"training_{group}",
        title,
        "Strong lines: validation frames; faint lines: the training batch of that step."
        if any(row["part"] == "val" for row in rows)
        else "Faint lines: the training batch of that step; no validation frames were set aside.",
        rows=rows,
        columns=("model", "quantity", "part", "step", "rmse_meV"),
    )


def _steps(curve: Mapping[str, list[Any]]) -> bool:
    numeric = all(isinstance(v, float) for column in curve.values() for v in column[:1])
    return bool(curve.get("step")) and numeric


def plot_parity(
    book: FigureBook, group: str, title: str, quantity: str, evaluations: Mapping[str, tuple[str, Evaluation]]
) -> Figure | None:
    """Draw predicted against reference values of one quantity; several models share the axes."""
    tables = {key: (label, getattr(found, quantity), found.numbers) for key, (label, found) in evaluations.items()}
    tables = {key: entry for key, entry in tables.items() if entry[1]}
    if not tables:
        return None
    figure, axes = panel((SMALL[0], SMALL[0] - 0.15))
    rows: list[dict[str, Any]] = []
    low, high = math.inf, -math.inf
    for i, (key, (label, table, _)) in enumerate(tables.items()):
        x, y = _parity_values(table, quantity)
        good = np.isfinite(x) & np.isfinite(y)
        many = {"s": 7, "alpha": 0.45} if quantity == "force" else {"s": 14, "alpha": 0.7}
        style = {"color": COLOURS.get(key, CYCLE[i % 7]), "marker": "os^Dv"[i % 5], "linewidths": 0, "rasterized": True}
        axes.scatter(x[good], y[good], label=plain(label, 24), **many, **style)
        if good.any():
            low, high = min(low, x[good].min(), y[good].min()), max(high, x[good].max(), y[good].max())
        groups = table.get("group", [""] * len(x))
        rows += [
            {"model": key, "group": g, "reference": a, "predicted": b} for g, a, b in zip(groups, x, y, strict=True)
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
    legend(axes, markerscale=1.6, loc="upper left")
    return book.add(
        figure,
        f"parity_{group}_{quantity}",
        f"{title}: {quantity}",
        _parity_caption(quantity, tables),
        rows=rows,
        columns=("model", "group", "reference", "predicted"),
    )


def _parity_values(table: Mapping[str, list[Any]], quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """Return reference and prediction; energies in meV/atom from the mean reference of their system."""
    x, y = np.array(table["reference"], dtype=float), np.array(table["predicted"], dtype=float)
    if quantity == "force":
        return x, y
    if quantity == "virial":
        return 1000 * x, 1000 * y
    groups = np.array([str(group) for group in table.get("group", [""] * len(x))])
    means = {group: np.nanmean(x[groups == group]) for group in np.unique(groups)}
    centre = np.array([means[group] for group in groups])
    return 1000 * (x - centre), 1000 * (y - centre)


def _parity_caption(quantity: str, tables: Mapping[str, tuple[str, Any, Mapping[str, Any]]]) -> str:
    key, unit = {
        "energy": ("energy_mae_meV_atom", "meV/atom"),
        "force": ("force_mae_meV_A", "meV/Å"),
        "virial": ("virial_mae_meV_atom", "meV/atom"),
    }[quantity]
    found = [(label, number(numbers.get(key))) for label, _, numbers in tables.values()]
    text = "; ".join(f"{label} {mae:.3g} {unit}" for label, mae in found if mae is not None)
    note = " Energies are counted from the mean reference of each system." if quantity == "energy" else ""
    return (f"MAE: {text}." if text else "") + note


def plot_errors(
    book: FigureBook, key: str, axis: str, caption: str, bars: Sequence[tuple[str, str, float]]
) -> Figure | None:
    """Draw one error of several models as bars; ``bars`` holds (name, label, value)."""
    if len(bars) < 2:
        return None
    figure, axes = panel((SMALL[0], 0.75 + 0.4 * len(bars)))
    axes.grid(axis="y", visible=False)
    colours = [COLOURS.get(name, BLUE) for name, _, _ in bars]
    axes.barh(range(len(bars)), [value for _, _, value in bars], height=0.62, color=colours)
    axes.set_yticks(range(len(bars)), [plain(label, 24) for _, label, _ in bars])
    axes.invert_yaxis()
    for i, (_, _, value) in enumerate(bars):
        axes.annotate(f"{value:.3g}", (value, i), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_xlim(0, max(value for _, _, value in bars) * 1.2 or 1)
    axes.set_xlabel(axis)
    rows = [{"model": name, key: value} for name, _, value in bars]
    title = axis.split(" (", maxsplit=1)[0]
    return book.add(figure, f"errors_{key}", title, caption, rows=rows, columns=("model", key))
