"""Figures of ordered beside disordered members of a series: what moves, and the potential energy of the cell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from dpa_sse.ops.core.palette import BLUE, GREEN, ORANGE, PURPLE, RED, SKY
from dpa_sse.ops.structures.series import base_name
from dpa_sse.pipeline.report.context import mobile_elements
from dpa_sse.pipeline.report.figures import FigureBook, PageFigure, Row, legend, panel, plain
from dpa_sse.pipeline.report.inputs import ProductionRun
from dpa_sse.pipeline.report.plots.targets import MEMBER
from dpa_sse.pipeline.report.targets import Outcome
from dpa_sse.pipeline.report.transport import lag_column, msd_curves, species_columns

COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)
DISORDER = "d"
MSD_COLUMNS = ("target", "system", "site_disorder", "temperature_K", "run", "lag_ps", "msd_A2")
ENERGY_COLUMNS = ("target", "system", "site_disorder", "temperature_K", "run", "time_ps", "energy_meV_atom")
MOST_POINTS = 200
BLOCKS = 40
"""Parts of a run whose mean energies are drawn: single frames scatter by kT."""


def plot_order(book: FigureBook, found: Sequence[Outcome]) -> Iterator[PageFigure]:
    """Draw, for each series of site disorder, MSD and potential energy at the highest temperature that all have."""
    for one in found:
        bases: dict[str, dict[str, float]] = {}
        for system in one.data.config.simulate:
            match = MEMBER.match(base_name(system.name))
            if match and match["variable"] == DISORDER:
                bases.setdefault(match["base"], {})[match[0]] = float(match["value"])
        for base, members in bases.items():
            runs = {name: [run for run in one.data.md if base_name(run.info.system) == name] for name in members}
            common = set.intersection(*({run.info.temperature_K for run in own} for own in runs.values()))
            if len(members) < 2 or not common:
                continue
            temperature = max(common)
            hot = {name: [run for run in own if run.info.temperature_K == temperature] for name, own in runs.items()}
            figures = (_msd(book, one, base, members, temperature), _energy(book, one, base, members, hot))
            yield from (figure for figure in figures if figure is not None)


def _msd(
    book: FigureBook, one: Outcome, base: str, members: dict[str, float], temperature: float
) -> PageFigure | None:
    rows: list[Row] = []
    figure, axes = panel()
    curves, mobile = msd_curves(one.data), mobile_elements(one.data)
    for number, (name, value) in enumerate(sorted(members.items(), key=lambda pair: pair[1])):
        labelled = False
        for point, table in curves:
            lag, columns = lag_column(table), species_columns(table)
            species = next((ion for ion in mobile if ion in columns), None)
            if point.system != name or point.numbers.temperature_K != temperature or lag is None or species is None:
                continue
            every = max(1, len(table[lag]) // MOST_POINTS)
            x, y = table[lag][::every], table[columns[species]][::every]
            axes.plot(x, y, color=COLOURS[number % len(COLOURS)], linewidth=1.2,
                      label=None if labelled else f"{plain(name, 20)}")
            labelled = True
            rows += [
                {"target": one.name, "system": name, "site_disorder": value, "temperature_K": temperature,
                 "run": point.title, "lag_ps": a, "msd_A2": b} for a, b in zip(x, y, strict=True)
            ]
    if not rows:
        import matplotlib.pyplot as plt

        plt.close(figure)
        return None
    axes.set(xlabel="time lag (ps)", ylabel=f"MSD of {', '.join(mobile)} (Å²)", xlim=(0, None))
    axes.set_ylim(bottom=0)
    legend(axes)
    return book.add(
        figure, f"order_msd_{base}", f"Order and disorder of {base}: what moves",
        f"Mean squared displacements at {temperature:g} K, a line for each run. The number in a name is the site "
        "disorder.", rows=rows, columns=MSD_COLUMNS,
    )


def _energy(
    book: FigureBook, one: Outcome, base: str, members: dict[str, float], hot: dict[str, list[ProductionRun]]
) -> PageFigure | None:
    found: list[tuple[str, ProductionRun, np.ndarray, np.ndarray]] = []
    for name, runs in hot.items():
        for run in runs:
            time, energy = run.thermo.get("time_ps"), run.thermo.get("potential_eV")
            if time and energy and all(isinstance(value, float) for value in (*time, *energy)):
                parts = np.array_split(np.arange(len(time)), min(BLOCKS, len(time)))
                per_atom = 1000 * np.array(energy) / run.info.n_atoms
                found.append((name, run, np.array([np.array(time)[part].mean() for part in parts]),
                              np.array([per_atom[part].mean() for part in parts])))
    formulas = {_reduced(run.info.composition) for _, run, *_ in found}
    if len({name for name, *_ in found}) < 2 or len(formulas) != 1:
        return None
    lowest = min(float(mean[len(mean) // 2 :].mean()) for *_, mean in found)
    if not math.isfinite(lowest):
        return None
    figure, axes = panel()
    order = sorted(members, key=lambda name: members[name])
    rows: list[Row] = []
    seen: set[str] = set()
    for name, run, when, mean in found:
        axes.plot(when, mean - lowest, color=COLOURS[order.index(name) % len(COLOURS)], linewidth=1.2,
                  label=None if name in seen else plain(name, 20))
        seen.add(name)
        rows += [
            {"target": one.name, "system": name, "site_disorder": members[name],
             "temperature_K": run.info.temperature_K, "run": run.name, "time_ps": a, "energy_meV_atom": b}
            for a, b in zip(when.tolist(), (mean - lowest).tolist(), strict=True)
        ]
    axes.set(xlabel="time (ps)", ylabel="potential energy (meV/atom)")
    legend(axes)
    return book.add(
        figure, f"order_energy_{base}", f"Order and disorder of {base}: energy",
        f"Potential energy of the production runs at {found[0][1].info.temperature_K:g} K, means over parts of them, "
        "above that of the second half of the lowest run. The cells have the same composition.",
        rows=rows, columns=ENERGY_COLUMNS,
    )


def _reduced(composition: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Return the elements with their numbers in the formula unit: a repeated cell has the same."""
    divisor = math.gcd(*composition.values()) if composition else 1
    return tuple((element, count // divisor) for element, count in sorted(composition.items()))
