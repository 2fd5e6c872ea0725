"""Figures of all targets beside measurements: activation energies, and conductivities against measured ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dpa_sse.ops.core.palette import BLACK, BLUE, ORANGE
from dpa_sse.ops.results.conductivity import RankedSystem
from dpa_sse.pipeline.report.context import measured_of
from dpa_sse.pipeline.report.figures import SMALL, WIDE, FigureBook, PageFigure, Row, legend, panel, plain
from dpa_sse.pipeline.report.measured import MeasuredTransport
from dpa_sse.pipeline.report.targets import Line

MOST_BARS = 40
NEAR_K = 10.0
"""Largest difference between the temperature of a measurement and that of an extrapolation."""
ENERGY_COLUMNS = ("target", "system", "Ea_eV", "Ea_ci95_low_eV", "Ea_ci95_high_eV", "measured_Ea_eV", "reference")
PARITY_COLUMNS = (
    "target", "system", "temperature_K", "sigma_mS_cm", "sigma_ci95_low_mS_cm", "sigma_ci95_high_mS_cm",
    "measured_K", "measured_low_mS_cm", "measured_high_mS_cm", "reference", "remark",
)


def plot_energies(book: FigureBook, found: Sequence[Line]) -> PageFigure | None:
    """Draw the activation energy of each system as a bar, and measured ones as dots."""
    drawn = [one for one in found if one.line.determined and one.line.Ea_eV is not None][:MOST_BARS]
    if not drawn:
        return None
    figure, axes = panel((WIDE[0], 0.9 + 0.28 * len(drawn)))
    rows: list[Row] = []
    labelled = False
    for place, one in enumerate(drawn):
        Ea, ends = one.line.Ea_eV, one.line.Ea_ci95_eV
        assert Ea is not None and ends is not None  # noqa: S101  (determined)
        axes.barh(place, Ea, xerr=[[Ea - ends[0]], [ends[1] - Ea]], color=BLUE, height=0.6, capsize=2.5)
        measured: list[tuple[float | None, str | None]] = [
            (value.Ea_eV, value.reference) for value in _measured(one) if value.Ea_eV is not None
        ]
        if measured:
            axes.plot([value for value, _ in measured], [place] * len(measured), "D", color=ORANGE, markersize=4,
                      markeredgecolor=BLACK, markeredgewidth=0.4, label=None if labelled else "measured")
            labelled = True
        own: Row = {"target": one.target.name, "system": one.system, "Ea_eV": Ea, "Ea_ci95_low_eV": ends[0],
               "Ea_ci95_high_eV": ends[1]}
        rows += [{**own, "measured_Ea_eV": value, "reference": text} for value, text in measured or [(None, None)]]
    axes.set_yticks(range(len(drawn)), [plain(one.system, 28) for one in drawn])
    axes.invert_yaxis()
    axes.set(xlabel="activation energy (eV)", xlim=(0, None))
    if labelled:
        legend(axes)
    return book.add(
        figure, "activation_energies", "Activation energies",
        "Slopes of ln σT against 1/T; error bars: 95 %, statistical. Measured values are of the same composition, but "
        "samples and ranges of temperature may differ.", rows=rows, columns=ENERGY_COLUMNS, wide=True,
    )


def plot_parity(book: FigureBook, found: Sequence[Line], ranked: Mapping[str, RankedSystem]) -> PageFigure | None:
    """Draw extrapolated conductivities against measured ones near the same temperature."""
    pairs = [
        (one, value, ranked[one.system]) for one in found if one.system in ranked
        for value in near(_measured(one), ranked[one.system].temperature_K)
    ]
    if not pairs:
        return None
    figure, axes = panel(SMALL)
    rows: list[Row] = []
    for place, (one, value, mine) in enumerate(pairs):
        low, high = mine.sigma_ci95_mS_cm
        axes.errorbar(
            value.middle, mine.sigma_mS_cm, [[mine.sigma_mS_cm - low], [high - mine.sigma_mS_cm]],
            [[value.middle - value.low], [value.high - value.middle]], fmt="o", color=BLUE, markersize=4, capsize=2,
        )
        axes.annotate(plain(one.system, 16), (value.middle, mine.sigma_mS_cm), fontsize=6,
                      xytext=(3, 3 + 7 * (place % 4)), textcoords="offset points")
        rows.append({
            "target": one.target.name, "system": one.system, "temperature_K": mine.temperature_K,
            "sigma_mS_cm": mine.sigma_mS_cm, "sigma_ci95_low_mS_cm": low, "sigma_ci95_high_mS_cm": high,
            "measured_K": value.temperature_K, "measured_low_mS_cm": value.low, "measured_high_mS_cm": value.high,
            "reference": value.reference, "remark": value.remark,
        })
    ends = [
        min(min(value.low, mine.sigma_ci95_mS_cm[0]) for _, value, mine in pairs) / 1.5,
        max(max(value.high, mine.sigma_ci95_mS_cm[1]) for _, value, mine in pairs) * 1.5,
    ]
    axes.plot(ends, ends, "--", color=BLACK, linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="measured σ (mS/cm)", ylabel="computed σ (mS/cm)", xlim=ends, ylim=ends)
    return book.add(
        figure, "parity_experiment", "Conductivities against measured ones",
        f"Extrapolated to {pairs[0][2].temperature_K:g} K (bars: 95 %, statistical) against values of the same "
        f"composition measured within {NEAR_K:g} K of that; dashed: equal. Samples differ: see the table.",
        rows=rows, columns=PARITY_COLUMNS,
    )


def _measured(one: Line) -> tuple[MeasuredTransport, ...]:
    return measured_of(one.target.data, one.system).conductivities


def near(values: Sequence[MeasuredTransport], temperature_K: float) -> Iterator[MeasuredTransport]:
    """Yield the values that were measured near a temperature."""
    yield from (value for value in values if abs(value.temperature_K - temperature_K) <= NEAR_K)
