"""Pictures of the structure: the simulated cell with its bonds, and radial distribution functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dpa_sse.ops.core.palette import BLACK, COLOURS, GREY
from dpa_sse.ops.md.trajectory import Frame
from dpa_sse.ops.structures.neighbour_list import neighbour_pairs
from dpa_sse.pipeline.report.figures import LINES, FigureBook, PageFigure, Row, legend, panel, plain
from dpa_sse.pipeline.report.structure import Pair, Roles, StructureAt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BOND_FACTOR = 1.25
"""Of the sum of the covalent radii of a framework cation and an anion."""
VIEW = "-80x,14y,5z"
SLABS = 14
"""Layers in depth: within one, bonds are below atoms."""
VECTOR_ATOMS = 600
"""Larger cells are drawn as pixels: a path for each atom would be megabytes."""
BALL = {"mobile": 0.3, "cation": 0.42, "anion": 0.5}
"""Radius over the covalent radius."""


def plot_structure(
    book: FigureBook, name: str, title: str, frame: Frame, roles: Roles, caption: str
) -> PageFigure | None:
    """Draw a frame as balls and sticks with the edges of its cell, the directions of its axes and a legend."""
    from ase.utils import rotate

    symbols, positions, bonds = balls_and_sticks(frame, roles)
    if not symbols:
        return None
    kinds = list(dict.fromkeys(f"{symbols[a]}–{symbols[b]}" for a, b in bonds))
    if kinds:
        caption += f" Sticks: {', '.join(kinds)} below {BOND_FACTOR:g} times the sum of the covalent radii; polyhedra"
        caption += " at the faces are completed with atoms of the neighbouring cells."
    turn = rotate(VIEW)
    centre = frame.cell.sum(axis=0) / 2
    seen = (positions - centre) @ turn
    figure, axes = panel((5.0, 4.9))
    _cell_edges(axes, frame.cell, centre, turn)
    _layers(axes, symbols, seen, bonds, roles)
    _axis_arrows(axes, frame.cell, turn, seen)
    axes.set_aspect("equal")
    axes.set_axis_off()
    for symbol in dict.fromkeys(symbols):
        axes.plot([], [], "o", color=_colour(symbol), mec=BLACK, mew=0.5, ms=7, label=plain(symbol))
    legend(axes, ncols=6)
    rows: list[Row] = [
        {"element": symbol, "x_A": x, "y_A": y, "z_A": z} for symbol, (x, y, z) in zip(symbols, positions, strict=True)
    ]
    return book.add(figure, name, title, caption, rows=rows, columns=("element", "x_A", "y_A", "z_A"))


def balls_and_sticks(frame: Frame, roles: Roles) -> tuple[list[str], np.ndarray, list[tuple[int, int]]]:
    """Return elements, positions (n, 3) and bonds (pairs of indices) of the atoms to draw.

    Framework cations are drawn in the cell with all anions that they bind, also those beyond its faces, so that
    polyhedra are complete; other atoms are drawn in the cell.
    """
    from ase.data import covalent_radii

    atoms = frame.atoms()
    symbols = list(atoms.get_chemical_symbols())
    positions: list[np.ndarray] = list(atoms.positions)
    radii = covalent_radii[atoms.numbers]
    i, j, shift, distance = neighbour_pairs(atoms, 2 * BOND_FACTOR * float(radii.max()))
    near = distance < BOND_FACTOR * (radii[i] + radii[j])
    bonds: list[tuple[int, int]] = []
    images: dict[tuple[int, tuple[int, ...]], int] = {}
    bound: set[int] = set()
    in_place: set[int] = set()
    for first, second, translation in zip(i[near], j[near], shift[near], strict=True):
        for cation, anion, move in ((first, second, translation), (second, first, -translation)):
            if symbols[cation] not in roles.cations or symbols[anion] not in roles.anions:
                continue
            bound.add(int(anion))
            key = (int(anion), tuple(np.rint(100 * move).astype(int).tolist()))
            if not any(key[1]):
                in_place.add(int(anion))
                images[key] = int(anion)
            elif key not in images:
                images[key] = len(positions)
                positions.append(positions[int(anion)] + move)
                symbols.append(symbols[int(anion)])
            bonds.append((int(cation), images[key]))
    hidden = bound - in_place  # they are drawn at the cation that they belong to
    kept = [k for k in range(len(symbols)) if k not in hidden]
    new = {old: k for k, old in enumerate(kept)}
    return [symbols[k] for k in kept], np.array([positions[k] for k in kept]), [(new[a], new[b]) for a, b in bonds]


def _layers(
    axes: Axes, symbols: Sequence[str], seen: np.ndarray, bonds: Sequence[tuple[int, int]], roles: Roles
) -> None:
    """Draw atoms and bonds from the back to the front."""
    from ase.data import atomic_numbers, covalent_radii
    from matplotlib.collections import EllipseCollection, LineCollection

    raster = len(symbols) > VECTOR_ATOMS
    depth = seen[:, 2]
    edges = np.linspace(depth.min(), depth.max() + 1e-9, SLABS + 1)
    slab = np.clip(np.searchsorted(edges, depth, side="right") - 1, 0, SLABS - 1)
    role = {**dict.fromkeys(roles.anions, "anion"), **dict.fromkeys(roles.mobile, "mobile")}
    ball = [BALL[role.get(symbol, "cation")] for symbol in symbols]
    sizes = 2 * np.array(ball) * covalent_radii[[atomic_numbers[symbol] for symbol in symbols]]
    colours = [_colour(symbol) for symbol in symbols]
    for k in range(SLABS):
        ends = [(a, b) for a, b in bonds if max(slab[a], slab[b]) == k]
        for part in (0, 1):  # each half in the colour of its atom
            lines = [(seen[pair[part], :2], (seen[pair[0], :2] + seen[pair[1], :2]) / 2) for pair in ends]
            tints = [colours[pair[part]] for pair in ends]
            axes.add_collection(LineCollection(lines, colors=tints, linewidths=2.2, zorder=2 + k, rasterized=raster))
        own = np.flatnonzero(slab == k)
        own = own[np.argsort(depth[own])]
        axes.add_collection(
            EllipseCollection(
                sizes[own], sizes[own], np.zeros(len(own)), units="xy", offsets=seen[own, :2],
                offset_transform=axes.transData, facecolors=[colours[a] for a in own], edgecolors=BLACK, linewidths=0.4,
                zorder=2.5 + k, rasterized=raster,
            )
        )
    low, high = seen[:, :2].min(axis=0) - 1.2, seen[:, :2].max(axis=0) + 1.2
    axes.set(xlim=(min(low[0], axes.get_xlim()[0]), max(high[0], axes.get_xlim()[1])),
             ylim=(min(low[1], axes.get_ylim()[0]), max(high[1], axes.get_ylim()[1])))


def _cell_edges(axes: Axes, cell: np.ndarray, centre: np.ndarray, turn: np.ndarray) -> None:
    for axis in range(3):
        others = [k for k in range(3) if k != axis]
        for m in (0, 1):
            for n in (0, 1):
                start = m * cell[others[0]] + n * cell[others[1]]
                line = (np.array([start, start + cell[axis]]) - centre) @ turn
                axes.plot(line[:, 0], line[:, 1], color=GREY, linewidth=0.8, zorder=1)


def _axis_arrows(axes: Axes, cell: np.ndarray, turn: np.ndarray, seen: np.ndarray) -> None:
    """Draw the directions of a, b and c at the lower left, as long as they appear."""
    size = 0.13 * float(np.ptp(seen[:, 0]))
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    corner = np.array([left + 0.2 * size, bottom - 0.4 * size])
    for label, vector in zip("abc", cell, strict=True):
        arrow = size * (vector / np.linalg.norm(vector) @ turn)[:2]
        tip, name = corner + arrow, corner + 1.25 * arrow
        options: Any = {"arrowstyle": "-|>", "color": BLACK, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (tip[0], tip[1]), (corner[0], corner[1]), arrowprops=options, annotation_clip=False)
        axes.annotate(label, (name[0], name[1]), fontsize=9, fontstyle="italic", ha="center", va="center",
                      annotation_clip=False)
    axes.set(xlim=(left - 0.6 * size, right), ylim=(bottom - 1.1 * size, top))


def _colour(symbol: str) -> str:
    from ase.data import atomic_numbers
    from ase.data.colors import jmol_colors
    from matplotlib.colors import to_hex

    return str(to_hex(jmol_colors[atomic_numbers[symbol]]))


def plot_rdf(book: FigureBook, pair: Pair, found: Sequence[StructureAt], several: bool) -> PageFigure | None:
    """Draw g(r) of one pair of elements at all temperatures of a system."""
    shown = [one for one in found if pair in one.pairs]
    if not shown:
        return None
    figure, axes = panel()
    rows: list[Row] = []
    for k, one in enumerate(shown):
        distribution = one.pairs[pair]
        axes.plot(distribution.r_A, distribution.g, color=COLOURS[k % 7], linestyle=LINES[k // 7 % 4],
                  label=f"{one.temperature_K:g} K", linewidth=1.2)
        rows += [
            {"system": one.system, "temperature_K": one.temperature_K, "r_A": r, "g": g, "neighbours": n}
            for r, g, n in zip(distribution.r_A, distribution.g, distribution.neighbours, strict=True)
        ]
    axes.axhline(1, color=GREY, linewidth=0.7, linestyle=":")
    axes.set(xlabel="r (Å)", ylabel="g(r)", xlim=(0, max(one.reach_A for one in shown)))
    axes.set_ylim(bottom=0)
    legend(axes, ncols=4)
    system, name = shown[0].system, f"{pair[0]}–{pair[1]}"
    frames = sorted({one.frames for one in shown})
    count = " to ".join(str(n) for n in dict.fromkeys((frames[0], frames[-1])))
    return book.add(
        figure, f"rdf_{system}_{pair[0]}-{pair[1]}", f"{system}: {name}" if several else name,
        f"Mean of {count} frames at each temperature, up to half the width of the cell.",
        rows=rows, columns=("system", "temperature_K", "r_A", "g", "neighbours"),
    )
