"""The Arrhenius figure: log10(sigma T) against 1000/T, with measured conductivities beside the calculated ones."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dpa_sse.ops.core.palette import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY
from dpa_sse.ops.results.conductivity import Interval
from dpa_sse.pipeline.report.figures import WIDE, FigureBook, PageFigure, Row, legend, panel, plain
from dpa_sse.pipeline.report.measured import MeasuredTransport
from dpa_sse.pipeline.report.transport import ArrheniusLine, Point

AXIS = "log₁₀(σT / S K cm⁻¹)"
_MARKERS = (("D", ORANGE), ("s", PURPLE), ("^", GREEN), ("v", SKY), ("P", GREY), ("X", ORANGE), ("h", PURPLE))
COLUMNS = (
    "source", "system", "temperature_K", "inverse_1000K", "log10_sigma_T_S_K_cm", "log10_low", "log10_high",
    "sigma_mS_cm", "sigma_ci95_low_mS_cm", "sigma_ci95_high_mS_cm", "sigma_upper95_mS_cm", "D_cm2_s",
    "D_ci95_low_cm2_s", "D_ci95_high_cm2_s", "D_upper95_cm2_s", "verdict",
)


@dataclass(frozen=True)
class ArrheniusSubject:
    """What one figure shows.

    Attributes
    ----------
    system : str
        Empty where there is only one.
    points : sequence of Point
    line : ArrheniusLine or None
        None where the activation energy is not determined.
    measured : sequence of MeasuredTransport
        Conductivities.
    holds : str
        State point and level of the labels.
    without_line : str
        Why there is no line.
    """

    system: str
    points: Sequence[Point]
    line: ArrheniusLine | None
    measured: Sequence[MeasuredTransport]
    holds: str
    without_line: str = ""


def log_sigma_T(sigma_mS_cm: float, temperature_K: float) -> float:  # noqa: N802
    """Return log10(sigma T), sigma T in S K / cm."""
    return math.log10(1e-3 * sigma_mS_cm * temperature_K)


def plot_arrhenius(book: FigureBook, subject: ArrheniusSubject) -> PageFigure | None:
    """Draw values with 95 % intervals, upper limits as arrows, the line with its band, and measured conductivities."""
    values = [p for p in subject.points if p.temperature_K and p.sigma_mS_cm]
    limits = [p for p in subject.points if p.temperature_K and not p.sigma_mS_cm and p.sigma_upper95_mS_cm]
    if not values and not limits:
        return None
    line = subject.line if subject.line is not None and subject.line.sigma_T is not None else None
    figure, axes = panel((WIDE[0], WIDE[1] + 0.2 * (4 + len(subject.measured))))
    if line is not None:
        _draw_line(axes, line)
    ours = wrapped(f"this work, 95 % interval ({subject.holds})")
    for i, point in enumerate(values):
        _draw_value(axes, point, ours if i == 0 else None)
    for i, point in enumerate(limits):
        x, y = 1000 / (point.temperature_K or math.nan), _log(point.sigma_upper95_mS_cm, point)
        name = "this work, inconclusive: upper limit, 95 %" if i == 0 else None
        axes.errorbar([x], [y], [[0.25], [0]], uplims=True, fmt="_", ms=8, capsize=3, color=RED, label=name)
    for one, (marker, colour) in zip(subject.measured, _MARKERS * 9, strict=False):
        _draw_measured(axes, one, marker, colour)
    axes.set(xlabel="1000 / T (1/K)", ylabel=AXIS)
    axes.margins(x=0.06, y=0.08)
    temperature_axis(axes)
    legend(axes, "lower left", ncols=1, fontsize=7)
    name = f"arrhenius_{subject.system}" if subject.system else "arrhenius"
    title = f"Arrhenius plot, {subject.system}" if subject.system else "Arrhenius plot"
    rows = [*(_row(point) for point in (*values, *limits)), *map(_measured_row, subject.measured), *_line_rows(line)]
    return book.add(figure, name, title, _caption(subject, line), rows=rows, columns=COLUMNS, wide=True)


def _caption(subject: ArrheniusSubject, line: ArrheniusLine | None) -> str:
    text = f"Nernst–Einstein conductivities of this run ({subject.holds}); bars: 95 %. "
    text += line.caption if line is not None else f"No line: {subject.without_line}."
    if line is not None and line.inverse_1000K.max() > line.coldest_1000K + 1e-9:
        text += f" Dashed: extrapolated beyond {1000 / line.coldest_1000K:.0f} K."
    if subject.measured:
        text += " Other symbols: measured conductivities of the library, as published."
    return text


def _draw_line(axes: Any, line: ArrheniusLine) -> None:
    x, low, middle, high = line.inverse_1000K, *_line_logs(line)
    for part, style, label in (
        (x <= line.coldest_1000K + 1e-9, "-", line.label),
        (x >= line.coldest_1000K - 1e-9, "--", "extrapolated, 95 % band"),
    ):
        if part.sum() > 1:
            axes.fill_between(x[part], low[part], high[part], color=BLUE, alpha=0.16 if style == "-" else 0.08, lw=0)
            axes.plot(x[part], middle[part], style, color=BLUE, label=label)


def _line_logs(line: ArrheniusLine) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    assert line.sigma_T is not None  # noqa: S101  (for the type checker)
    low, middle, high = (np.log10(line.sigma_T * D) for D in (line.low, line.D, line.high))
    return low, middle, high


def _draw_value(axes: Any, point: Point, label: str | None) -> None:
    x, y = 1000 / (point.temperature_K or math.nan), _log(point.sigma_mS_cm, point)
    ends = _ends(point.sigma_ci95_mS_cm, point)
    error = None if ends is None else [[max(y - ends[0], 0)], [max(ends[1] - y, 0)]]
    axes.errorbar([x], [y], yerr=error, fmt="o", color=BLACK, capsize=3, markersize=5, label=label)


def _draw_measured(axes: Any, one: MeasuredTransport, marker: str, colour: str) -> None:
    x, y = 1000 / one.temperature_K, log_sigma_T(one.middle, one.temperature_K)
    label = wrapped(measured_label(one))
    low, high = (log_sigma_T(value, one.temperature_K) for value in (one.low, one.high))
    error = [[y - low], [high - y]] if one.low < one.high else None
    axes.errorbar([x], [y], yerr=error, fmt=marker, mfc="white", color=colour, capsize=3, markersize=5, label=label)


def wrapped(text: str, width: int = 100) -> str:
    """Return text for a legend in lines that fit the width of the figure."""
    return "\n".join(plain(line, width) for line in textwrap.wrap(text, width))


def measured_label(one: MeasuredTransport) -> str:
    """Return material, sample, temperature and source of a measured value."""
    what = ", ".join(word for word in (one.material, one.remark, f"{one.temperature_K:g} K") if word)
    return f"{what}: {one.reference}"


def _log(sigma_mS_cm: float | None, point: Point) -> float:
    return log_sigma_T(sigma_mS_cm or math.nan, point.temperature_K or math.nan)


def _ends(ends: Interval, point: Point) -> tuple[float, float] | None:
    if ends is None or ends[0] <= 0:
        return None
    return _log(ends[0], point), _log(ends[1], point)


def _row(point: Point) -> Row:
    ends, sigma = _ends(point.sigma_ci95_mS_cm, point), point.sigma_ci95_mS_cm
    return {
        "source": "this work", "system": point.system, "temperature_K": point.temperature_K,
        "inverse_1000K": 1000 / (point.temperature_K or math.nan),
        "log10_sigma_T_S_K_cm": _log(point.sigma_mS_cm, point) if point.sigma_mS_cm else None,
        "log10_low": ends and ends[0], "log10_high": ends and ends[1],
        "sigma_mS_cm": point.sigma_mS_cm, "sigma_ci95_low_mS_cm": sigma and sigma[0],
        "sigma_ci95_high_mS_cm": sigma and sigma[1],
        "sigma_upper95_mS_cm": None if point.sigma_mS_cm else point.sigma_upper95_mS_cm,
        "D_cm2_s": point.D_cm2_s, "D_ci95_low_cm2_s": point.D_ci95_cm2_s and point.D_ci95_cm2_s[0],
        "D_ci95_high_cm2_s": point.D_ci95_cm2_s and point.D_ci95_cm2_s[1],
        "D_upper95_cm2_s": None if point.D_cm2_s is not None else point.D_upper95_cm2_s, "verdict": point.verdict,
    }


def _measured_row(one: MeasuredTransport) -> Row:
    low, high = (log_sigma_T(value, one.temperature_K) for value in (one.low, one.high))
    return {
        "source": f"measured: {one.reference}", "system": one.material, "temperature_K": one.temperature_K,
        "inverse_1000K": 1000 / one.temperature_K,
        "log10_sigma_T_S_K_cm": log_sigma_T(one.middle, one.temperature_K), "log10_low": low, "log10_high": high,
        "sigma_mS_cm": one.middle, "verdict": one.remark,
    }


def _line_rows(line: ArrheniusLine | None) -> list[Row]:
    if line is None:
        return []
    return [
        {
            "source": "fit" if x <= line.coldest_1000K + 1e-9 else "fit, extrapolated", "temperature_K": 1000 / x,
            "inverse_1000K": x, "log10_low": low, "log10_sigma_T_S_K_cm": middle, "log10_high": high,
        }
        for x, low, middle, high in zip(line.inverse_1000K, *_line_logs(line), strict=True)
    ]


def temperature_axis(axes: Any) -> None:
    """Put the temperatures in K on top."""
    low, high = axes.get_xlim()
    top = axes.secondary_xaxis("top", functions=(lambda x: x, lambda x: x))
    candidates = [200, 250, 300, 350, 400, 500, 600, 700, 800, 900, 1000, 1200, 1500, 2000, 3000]
    ticks: list[float] = []
    for t in reversed(candidates):  # hottest first: keep labels that do not touch the one before
        if low <= 1000 / t <= high and (not ticks or 1000 / t - ticks[-1] > 0.08 * (high - low)):
            ticks.append(1000 / t)
    top.set_xticks(ticks, [f"{1000 / x:.0f}" for x in ticks])
    top.set_xlabel("T (K)")
    axes.set_xlim(low, high)
