"""Pictures of a library entry: letters for a terminal, PNG for documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.files import atomic_path
from dpa_sse.ops.structures.library import Entry, cell_from_entry, expand_site, lattice_of

if TYPE_CHECKING:
    from ase import Atoms

COLUMNS = 60
LETTER_RATIO = 2.1  # height of a letter over its width


def entry_atoms(entry: Entry) -> Atoms:
    """Return all sites of an entry as atoms, with the main element of a shared site; tags: occupancy in percent."""
    from ase import Atoms

    if entry.ordered:
        full = cell_from_entry(entry)
        full.set_tags(100)
        return full
    cell, _ = lattice_of(entry)
    shared: dict[tuple[float, float, float], list[tuple[float, str]]] = {}
    for site in entry.sites:
        shared.setdefault(site.position, []).append((site.occupancy, site.element))
    symbols: list[str] = []
    positions, tags = [], []
    for position, species in shared.items():
        images = expand_site(position, entry.hall_number, cell)
        symbols += [max(species)[1]] * len(images)
        tags += [round(100 * sum(share for share, _ in species))] * len(images)
        positions.append(images)
    return Atoms(symbols, scaled_positions=np.concatenate(positions), cell=cell, pbc=True, tags=tags)


def draw_text(entry: Entry) -> list[str]:
    """Return the projection of the cell along its shortest axis as lines of text, showing the topmost atoms."""
    atoms = entry_atoms(entry)
    lengths = atoms.cell.lengths()
    down = int(np.argmin(lengths))
    right, up = [axis for axis in range(3) if axis != down]
    if lengths[up] > lengths[right]:
        right, up = up, right
    scaled = atoms.get_scaled_positions()
    rows = max(6, round(COLUMNS * lengths[up] / lengths[right] / LETTER_RATIO))
    symbols = [list(symbol) for symbol in set(atoms.get_chemical_symbols()) if len(symbol) == 2]
    grid = [[" "] * (COLUMNS + 1) for _ in range(rows + 1)]
    for number in np.argsort(scaled[:, down], kind="stable"):
        column = round(scaled[number, right] * (COLUMNS - 2))
        row = rows - round(scaled[number, up] * rows)
        for left in (column - 1, column):  # symbols that are covered are removed completely
            if left >= 0 and grid[row][left : left + 2] in symbols:
                grid[row][left : left + 2] = "  "
        if grid[row][column + 1 : column + 3] in symbols and len(atoms[int(number)].symbol) == 2:
            grid[row][column + 1 : column + 3] = "  "
        for offset, letter in enumerate(atoms[int(number)].symbol):
            grid[row][column + offset] = letter
    names = "abc"
    across = f"{names[right]} to the right ({lengths[right]:.2f} A), {names[up]} up ({lengths[up]:.2f} A)"
    head = f"  seen along {names[down]}: {across}"
    frame = "  +" + "-" * (COLUMNS + 1) + "+"
    return [head, frame, *(f"  |{''.join(line)}|" for line in grid), frame]


def draw_png(entry: Entry, path: Path) -> None:
    """Write a picture of the cell, seen slightly from the side."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from ase.visualize.plot import plot_atoms

    atoms = entry_atoms(entry)
    figure, axes = plt.subplots(figsize=(6, 6))
    plot_atoms(atoms, axes, radii=0.45, rotation="-80x,12y,4z")
    axes.set_axis_off()
    axes.set_title(f"{entry.name}   {entry.space_group}   a = {atoms.cell.lengths()[0]:.3f} $\\mathrm{{\\AA}}$")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, bbox_inches="tight")
    plt.close(figure)
