"""One figure for each gate, from the tables next to ``gates.json``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dpa_sse.ops.core.palette import BLACK, BLUE, COLOURS
from dpa_sse.ops.results.gates import GateResult
from dpa_sse.pipeline.report.figures import SMALL, FigureBook, PageFigure, Row, legend, panel, plain
from dpa_sse.pipeline.report.inputs import Table

Draw = Callable[[Any, Table], str]
LABEL = 13
"""Characters of a run in a legend: three of them fit above a figure."""
MOST_PAIRS = 7


def plot_gates(
    book: FigureBook, gates: Sequence[GateResult], tables: Mapping[str, Table]
) -> list[PageFigure]:
    """Draw what the gates that have tables measured."""
    found = []
    for gate in gates:
        table = tables.get(gate.key)
        if table and gate.key in DRAWN:
            figure, axes = panel(SMALL)
            caption = DRAWN[gate.key](axes, table)
            columns = list(table)
            rows: list[Row] = [dict(zip(columns, values, strict=True)) for values in zip(*table.values(), strict=True)]
            found.append(book.add(
                figure, f"gate_{gate.key}", f"{gate.key} {gate.name}: {gate.verdict}", caption, rows=rows,
                columns=columns,
            ))
    return found


def _groups(table: Table, name: str) -> list[tuple[str, np.ndarray]]:
    """Return the values of a text column and the rows of each."""
    values = np.array([str(value) for value in table[name]])
    return [(str(one), values == one) for one in dict.fromkeys(values.tolist())]


def _errors(axes: Any, table: Table) -> str:
    """Draw force against energy errors of frames, by trajectory or run."""
    name = "trajectory" if "trajectory" in table else "run"
    energy, force = (np.array(table[key], float) for key in ("energy_error_meV_atom", "force_mae_meV_A"))
    for k, (group, mine) in enumerate(_groups(table, name)[:MOST_PAIRS]):
        short = group if len(group) <= LABEL else f"…{group[1 - LABEL:]}"  # names of runs differ at their ends
        axes.plot(energy[mine], force[mine], "o", markersize=3.5, color=COLOURS[(k + 1) % 7], label=plain(short, LABEL))
    axes.set_xlabel("energy error (meV/atom)")
    axes.set_ylabel("force MAE (meV/Å)")
    axes.set_ylim(bottom=0)
    legend(axes, fontsize=6.5)
    return "Each dot is a frame; energies of G1 before the shift, those of G2 after it."


def _wall(axes: Any, table: Table) -> str:
    """Draw the energy of pairs that are pushed together."""
    energy, point = np.array(table["energy_eV"], float), np.array(table["point"], float)
    pairs = sorted(_groups(table, "pair"), key=lambda one: float(np.nanmin(energy[one[1]][-5:])))
    for k, (pair, mine) in enumerate(pairs[:MOST_PAIRS]):
        axes.plot(point[mine], energy[mine], "-", linewidth=1, color=COLOURS[(k + 1) % 7], label=plain(pair, 12))
    axes.set_xlabel("point of the approach, from far to near")
    axes.set_ylabel("energy above the crystal (eV)")
    axes.set_ylim(top=min(20.0, float(np.nanmax(energy)) * 1.05))
    legend(axes, fontsize=6.5)
    return "Two atoms are pushed together in the crystal; the pairs with the lowest ends are drawn. A fall is a hole."


def _conservation(axes: Any, table: Table) -> str:
    """Draw the total energy in NVE for both time steps."""
    time, energy = (np.array(table[key], float) for key in ("time_ps", "total_energy_meV_atom"))
    steps = np.array(table["timestep_fs"], float)
    for k, step in enumerate(sorted(set(steps.tolist()), reverse=True)):
        mine = steps == step
        axes.plot(time[mine], energy[mine], "-", linewidth=0.8, color=COLOURS[k + 1], label=f"{step:g} fs")
    axes.set_xlabel("time (ps)")
    axes.set_ylabel("total energy (meV/atom)")
    legend(axes, fontsize=6.5)
    return "Total energy without thermostat, with the intended time step and half of it."


def _forces(axes: Any, table: Table) -> str:
    """Draw forces against those of the reference."""
    own, other = (np.array(table[key], float) for key in ("model_eV_A", "reference_eV_A"))
    ends = float(np.abs(other).max()) if len(other) else 1.0
    axes.plot([-ends, ends], [-ends, ends], color=BLACK, linewidth=0.6)
    axes.plot(other, own, ".", markersize=2.5, color=BLUE, alpha=0.5)
    axes.set_xlabel("force of the reference (eV/Å)")
    axes.set_ylabel("force of the model (eV/Å)")
    return "Some force components of rattled and hot cells; the line is y = x."


def _structure(axes: Any, table: Table) -> str:
    """Draw g(r) of the pair that differs most."""
    r, own, other = (np.array(table[key], float) for key in ("r_A", "model", "reference"))
    pairs = _groups(table, "pair")
    pair, mine = max(pairs, key=lambda one: float(np.abs(own[one[1]] - other[one[1]]).sum() / max(
        1e-9, (own[one[1]] + other[one[1]]).sum())))
    axes.plot(r[mine], other[mine], "-", color=BLACK, linewidth=1, label="reference")
    axes.plot(r[mine], own[mine], "-", color=BLUE, linewidth=1, label="model")
    axes.set_xlabel(f"r({plain(pair, 12)}) (Å)")
    axes.set_ylabel("g(r)")
    legend(axes, fontsize=6.5)
    return "The pair whose distribution differs most, noise included."


def _volumes(axes: Any, table: Table) -> str:
    """Draw the energies at several volumes."""
    volume = np.array(table["volume_A3"], float)
    for system, mine in _groups(table, "system")[:1]:
        for name, colour in (("reference_eV", BLACK), ("model_eV", BLUE)):
            energy = np.array(table[name], float)[mine]
            axes.plot(
                volume[mine], energy - np.nanmin(energy), "o-", markersize=3, linewidth=1, color=colour,
                label=f"{name.removesuffix('_eV')}, {plain(system, 16)}",
            )
    axes.set_xlabel("volume (Å³)")
    axes.set_ylabel("energy above the lowest (eV)")
    legend(axes, fontsize=6.5)
    return "All distances scale with the cell; ions are not relaxed."


def _arrangements(axes: Any, table: Table) -> str:
    """Draw energies of arrangements against those of the reference."""
    _equal(axes, table, "energy", "meV_atom", "meV/atom")
    return "Each dot is an arrangement of the free anions, relative to the mean; the line is y = x."


def _equal(axes: Any, table: Table, quantity: str, unit: str, written: str) -> None:
    """Draw numbers of the model against those of the reference, with the line on which they are equal."""
    own, other = (np.array(table[f"{whose}_{unit}"], float) for whose in ("model", "reference"))
    ends = (float(np.nanmin(other)), float(np.nanmax(other)))
    axes.plot(ends, ends, color=BLACK, linewidth=0.6)
    axes.plot(other, own, "o", markersize=3, color=BLUE, alpha=0.6)
    axes.set_xlabel(f"{quantity} of the reference ({written})")
    axes.set_ylabel(f"{quantity} of the model ({written})")


def _modes(axes: Any, table: Table) -> str:
    """Draw frequencies against those of the reference."""
    _equal(axes, table, "frequency", "THz", "THz")
    return "Each dot is a mode at one q-point; imaginary ones are negative; the line is y = x."


def _phases(axes: Any, table: Table) -> str:
    """Draw energies of decomposition against those of the reference."""
    _equal(axes, table, "energy", "meV_atom", "meV/atom")
    return "Each dot is a phase, its energy above the best mixture of the others; the line is y = x."


def _hops(axes: Any, table: Table) -> str:
    """Draw the energies along the bands of model and reference."""
    for hop, mine in _groups(table, "hop")[:1]:
        image = np.array(table["image"], float)[mine]
        for name, colour in (("reference_eV", BLACK), ("model_eV", BLUE)):
            axes.plot(
                image, np.array(table[name], float)[mine], "o-", markersize=3, linewidth=1, color=colour,
                label=f"{name.removesuffix('_eV')}, {plain(hop, 32)}",
            )
    axes.set_xlabel("image of the band")
    axes.set_ylabel("energy above the start (eV)")
    legend(axes, fontsize=6.5)
    return "A mobile ion hops into a neighbouring vacancy; each potential has relaxed its own band."


def _forgotten(axes: Any, table: Table) -> str:
    """Draw the errors after fine-tuning over those before, by system."""
    before, after = (np.array(table[name], float) for name in ("before_meV_A", "after_meV_A"))
    ends = (0.0, float(max(before.max(), after.max())) * 1.05)
    axes.plot(ends, ends, color=BLACK, linewidth=0.6)
    axes.plot(before, after, "o", markersize=3.5, color=BLUE, alpha=0.7)
    axes.set_xlabel("force MAE before fine-tuning (meV/Å)")
    axes.set_ylabel("force MAE after it (meV/Å)")
    return "Each dot is a system of the base data; above the line, the model has become worse."


DRAWN: dict[str, Draw] = {
    "G1": _errors, "G2": _errors, "G4": _conservation, "G6": _wall, "G7": _forces, "G8": _structure, "G10": _hops,
    "G11": _volumes, "G12": _modes, "G13": _arrangements, "G14": _phases, "G15": _forgotten,
}
