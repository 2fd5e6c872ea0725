"""Figures of all targets together: Arrhenius lines, and conductivity along a series of compositions."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle

from dpa_sse.ops.core.palette import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY
from dpa_sse.ops.results.conductivity import RankedSystem
from dpa_sse.pipeline.report.context import measured_of
from dpa_sse.pipeline.report.figures import LINES, WIDE, FigureBook, PageFigure, Row, legend, panel, plain
from dpa_sse.pipeline.report.plots.arrhenius import AXIS, log_sigma_T, temperature_axis
from dpa_sse.pipeline.report.plots.compared import NEAR_K, near
from dpa_sse.pipeline.report.targets import Line, Outcome
from dpa_sse.pipeline.report.transport import arrhenius_line

COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
MOST_LINES = 24
"""More lines than this in one figure cannot be told apart."""
LINE_COLUMNS = ("target", "system", "temperature_K", "sigma_mS_cm", "sigma_ci95_low_mS_cm", "sigma_ci95_high_mS_cm",
                "log10_sigma_T_S_K_cm", "kind")
SERIES_COLUMNS = ("target", "system", "variable", "value", "temperature_K", "sigma_mS_cm", "sigma_ci95_low_mS_cm",
                  "sigma_ci95_high_mS_cm", "reference")
MEMBER = re.compile(r"^(?P<base>.+)-(?P<variable>[a-z]+)(?P<value>\d+(?:\.\d+)?)$")
"""Name of a member of a series: LGPS-x0.25, Li6PS5Cl-d0.5."""
VARIABLES = {"d": "site disorder"}
"""Variables that are not compositions: samples do not tell theirs, so nothing measured is drawn."""


def plot_lines(book: FigureBook, found: Sequence[Line]) -> PageFigure | None:
    """Draw the conductivities of all targets against 1000/T, with their Arrhenius lines where they are determined."""
    drawn = [one for one in found if any(p.sigma_mS_cm and p.temperature_K for p in one.points)]
    if not drawn:
        return None
    shown, rows = drawn[:MOST_LINES], []
    figure, axes = panel((WIDE[0], WIDE[1] + 0.16 * math.ceil(len(shown) / 3)))
    for one, colour, (number, marker) in zip(shown, cycle(COLOURS), enumerate(cycle(MARKERS))):
        values = [(p.temperature_K, p.sigma_mS_cm, p.sigma_ci95_mS_cm) for p in one.points]
        points = [(T, sigma, ends) for T, sigma, ends in values if T and sigma]
        y = [log_sigma_T(sigma, T) for T, sigma, _ in points]
        low, high = [], []
        for (T, sigma, ends), middle in zip(points, y, strict=True):
            low.append(middle - log_sigma_T(ends[0], T) if ends and ends[0] > 0 else 0.0)
            high.append(log_sigma_T(ends[1], T) - middle if ends else 0.0)
            rows.append(_line_row(one, T, sigma, ends, "value"))
        axes.errorbar([1000 / T for T, _, _ in points], y, [low, high], fmt=marker, ms=4.5, capsize=2, color=colour,
                      label=plain(one.system))
        line = arrhenius_line(one.line, one.points) if one.line.determined else None
        if line is not None and line.sigma_T is not None:
            logs = [math.log10(value) for value in line.sigma_T * line.D]
            axes.plot(line.inverse_1000K, logs, LINES[number // len(COLOURS) % len(LINES)], color=colour, lw=1)
            for value in one.line.extrapolated:
                if value.sigma_mS_cm:
                    rows.append(_line_row(
                        one, value.temperature_K, value.sigma_mS_cm, value.sigma_ci95_mS_cm, "extrapolated"
                    ))
    axes.set(xlabel="1000 / T (1/K)", ylabel=AXIS)
    temperature_axis(axes)
    legend(axes, "lower center", fontsize=7)
    left_out = len(drawn) - len(shown)
    caption = (
        "Nernst–Einstein conductivities of all targets, bars: 95 %; lines where the activation energy is determined, "
        "drawn to the lowest temperature of extrapolation."
        + (f" {left_out} more systems are in the table only." if left_out else "")
    )
    return book.add(figure, "arrhenius_targets", "Arrhenius lines of all targets", caption, rows=rows,
                    columns=LINE_COLUMNS, wide=True)


def _line_row(one: Line, T: float, sigma: float, ends: tuple[float, float] | None, kind: str) -> Row:
    return {
        "target": one.target.name, "system": one.system, "temperature_K": T, "sigma_mS_cm": sigma,
        "sigma_ci95_low_mS_cm": ends and ends[0], "sigma_ci95_high_mS_cm": ends and ends[1],
        "log10_sigma_T_S_K_cm": log_sigma_T(sigma, T), "kind": kind,
    }


def plot_series(
    book: FigureBook, found: Sequence[Outcome], ranked: Mapping[str, RankedSystem]
) -> Iterator[PageFigure]:
    """Draw, for each series of compositions with two members or more, the extrapolated conductivity."""
    for one in found:
        for (base, variable), members in _series(one, ranked).items():
            if len(members) < 2:
                continue
            figure, axes = panel()
            x = [value for value, _ in members]
            y = [member.sigma_mS_cm for _, member in members]
            low = [member.sigma_mS_cm - member.sigma_ci95_mS_cm[0] for _, member in members]
            high = [member.sigma_ci95_mS_cm[1] - member.sigma_mS_cm for _, member in members]
            axes.errorbar(x, y, [low, high], fmt="o", capsize=3, color=BLUE, label="computed")
            known = [
                (value, one_measured) for value, member in (members if variable not in VARIABLES else ())
                for one_measured in near(measured_of(one.data, member.system).conductivities, member.temperature_K)
            ]
            if known:
                axes.errorbar(
                    [value for value, _ in known], [each.middle for _, each in known],
                    [[each.middle - each.low for _, each in known], [each.high - each.middle for _, each in known]],
                    fmt="D", markersize=4, color=ORANGE, capsize=2, label="measured",
                )
                legend(axes)
            axes.set(xlabel=VARIABLES.get(variable, variable), ylabel=f"σ at {members[0][1].temperature_K:g} K (mS/cm)")
            axes.set_yscale("log")
            rows: list[Row] = [
                {
                    "target": one.name, "system": member.system, "variable": variable, "value": value,
                    "temperature_K": member.temperature_K, "sigma_mS_cm": member.sigma_mS_cm,
                    "sigma_ci95_low_mS_cm": member.sigma_ci95_mS_cm[0],
                    "sigma_ci95_high_mS_cm": member.sigma_ci95_mS_cm[1],
                }
                for value, member in members
            ]
            rows += [
                {
                    "target": one.name, "system": each.material, "variable": variable, "value": value,
                    "temperature_K": each.temperature_K, "sigma_mS_cm": each.middle, "sigma_ci95_low_mS_cm": None,
                    "sigma_ci95_high_mS_cm": None, "reference": each.reference,
                }
                for value, each in known
            ]
            yield book.add(
                figure, f"series_{base}_{variable}", f"Series {base}",
                f"Extrapolated Nernst–Einstein conductivity of {base}; bars: 95 %, statistical."
                + (f" Measured: within {NEAR_K:g} K of that temperature; bars: range." if known else ""), rows=rows,
                columns=SERIES_COLUMNS,
            )


def _series(
    one: Outcome, ranked: Mapping[str, RankedSystem]
) -> dict[tuple[str, str], list[tuple[float, RankedSystem]]]:
    """Return the ranked members of each series of a target, by base name and variable."""
    found: dict[tuple[str, str], list[tuple[float, RankedSystem]]] = {}
    for system in one.data.config.simulate:
        match = MEMBER.match(system.name)
        if match and system.name in ranked:
            found.setdefault((match["base"], match["variable"]), []).append(
                (float(match["value"]), ranked[system.name])
            )
    return {key: sorted(members, key=lambda pair: pair[0]) for key, members in found.items()}
