"""One page of figures about a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.audit.frames import Table
from dpa_sse.ops.audit.labels import BOND_FRACTION, LARGE_FORCE_EV_A
from dpa_sse.ops.conductivity.figures.style import BLACK, COLOURS, GREEN, ORANGE, RED, new_figure, save, shorten, styled
from dpa_sse.ops.results.audit import DataSetAudit

MOST_SYSTEMS = 6


def audit_figure(
    entry: DataSetAudit, table: Table, residual: np.ndarray, bond_ratio: np.ndarray, path: Path
) -> Path:
    """Draw counts, energies, forces, pressures, distances and temperatures of one data set.

    Parameters
    ----------
    entry : DataSetAudit
        The audit.
    table : Table
        Its frames.
    residual, bond_ratio : ndarray, shape (n,)
        Of each frame: residual energy (eV/atom), shortest distance over the sum of covalent radii.
    path : Path
        The SVG file; a PNG file is written next to it.
    """
    with styled():
        figure, axes = new_figure(2, 3, 3.5, 2.8)
        figure.suptitle(shorten(entry.title, 90), fontsize=10, x=0.01, ha="left")
        colours = _colours(table)
        _counts(axes[0, 0], entry)
        _energies(axes[0, 1], table, residual, colours)
        _forces(axes[0, 2], table)
        _pressures(axes[1, 0], table, colours)
        _distances(axes[1, 1], bond_ratio)
        _temperatures(axes[1, 2], entry)
        return save(figure, path)


def _colours(table: Table) -> dict[str, str]:
    names = list(dict.fromkeys(table.system.tolist()))
    largest = sorted(names, key=lambda name: -int((table.system == name).sum()))[:MOST_SYSTEMS]
    return {name: COLOURS[k] for k, name in enumerate(name for name in names if name in largest)}


def _counts(axes: Any, entry: DataSetAudit) -> None:
    systems = entry.systems[:12]
    left = np.zeros(len(systems))
    for split, colour in (("train", COLOURS[0]), ("validation", ORANGE), ("test", GREEN)):
        values = np.array([getattr(one, split) for one in systems], float)
        if values.any():
            axes.barh(range(len(systems)), values, left=left, color=colour, label=split)
        left += values
    axes.set_yticks(range(len(systems)), [shorten(one.system, 18) for one in systems])
    axes.invert_yaxis()
    more = len(entry.systems) - len(systems)
    axes.set_title(f"frames per system{f' (and {more} more)' if more > 0 else ''}")
    axes.set_xlim(0, 1.4 * float(left.max()))  # room for the legend
    axes.legend(loc="lower right")


def _energies(axes: Any, table: Table, residual: np.ndarray, colours: dict[str, str]) -> None:
    bins = np.histogram_bin_edges(1000 * residual, 40)
    for name, colour in colours.items():
        axes.hist(1000 * residual[table.system == name], bins, histtype="step", color=colour, label=shorten(name, 18))
    axes.set_title("energy after a fit per element")
    axes.set_xlabel("meV/atom")
    axes.set_ylabel("frames")
    axes.legend()


def _forces(axes: Any, table: Table) -> None:
    sizes = np.concatenate([np.linalg.norm(block.force, axis=2).ravel() for block in table.blocks])
    sizes = np.maximum(sizes, 1e-4)
    bins = np.logspace(np.log10(max(sizes.min(), 1e-3)), np.log10(max(sizes.max(), 1.0) * 1.1), 50)
    for k, element in enumerate(table.type_map):
        own = np.concatenate(
            [np.linalg.norm(block.force[:, block.types == k], axis=2).ravel() for block in table.blocks]
        )
        if len(own):
            axes.hist(np.maximum(own, bins[0]), bins, histtype="step", color=COLOURS[k % len(COLOURS)], label=element)
    axes.axvline(LARGE_FORCE_EV_A, color=BLACK, lw=0.8, ls=":")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title("forces on atoms")
    axes.set_xlabel("eV/Å")
    axes.set_ylabel("atoms")
    axes.legend()


def _pressures(axes: Any, table: Table, colours: dict[str, str]) -> None:
    has = np.isfinite(table.pressure_GPa)
    if not has.any():
        axes.text(0.5, 0.5, "no virials", ha="center", transform=axes.transAxes)
    for name, colour in colours.items():
        own = has & (table.system == name)
        axes.plot(table.volume[own] / table.n_atoms[own], table.pressure_GPa[own], ".", ms=3, color=colour,
                  label=shorten(name, 18))
    axes.set_title("pressure must fall with volume")
    axes.set_xlabel("volume (Å$^3$/atom)")
    axes.set_ylabel("pressure (GPa)")


def _distances(axes: Any, ratio: np.ndarray) -> None:
    axes.hist(ratio[np.isfinite(ratio)], 40, color=COLOURS[0])
    axes.axvline(BOND_FRACTION, color=RED, lw=1, ls=":")
    axes.set_title("closest contact of each frame")
    axes.set_xlabel("distance / sum of covalent radii")
    axes.set_ylabel("frames")


def _temperatures(axes: Any, entry: DataSetAudit) -> None:
    counts = entry.temperatures_K or {}
    axes.bar(range(len(counts)), list(counts.values()), 0.6, color=COLOURS[0])
    axes.set_xlim(-0.7, max(len(counts), 4) - 0.3)
    axes.set_xticks(range(len(counts)), list(counts), rotation=45 if len(counts) > 5 else 0)
    axes.set_title("frames per temperature")
    axes.set_xlabel("K")
