"""Rank arrangements of the same atoms by their Ewald energy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ase import Atoms

MOST_ATOMS = 1000  # the matrix of the Ewald sum takes seconds above


def ewald_energy(atoms: Atoms) -> float:
    """Return the Ewald energy of a cell with formal charges, eV.

    Raises
    ------
    InputError
        An element has no known oxidation state, or the cell is not neutral.
    """
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.core import Lattice, Species, Structure

    from dpa_sse.ops.structures.disorder import oxidation_states

    symbols = atoms.get_chemical_symbols()
    states = oxidation_states({one: float(symbols.count(one)) for one in set(symbols)}, str(atoms.symbols))
    ions = [Species(one, states[one]) for one in symbols]
    crystal = Structure(Lattice(atoms.cell.array), ions, atoms.positions, coords_are_cartesian=True)
    return float(EwaldSummation(crystal).total_energy)


def rank_by_ewald(cells: Sequence[Atoms]) -> list[Atoms]:
    """Return cells of one composition, lowest Ewald energy first; ``info["ewald_eV"]`` is relative to the best."""
    if len(cells) < 2 or len(cells[0]) > MOST_ATOMS:
        return list(cells)
    return ranked(cells, [ewald_energy(cell) for cell in cells], "ewald_eV")


def ranked(cells: Sequence[Atoms], energies: list[float], key: str) -> list[Atoms]:
    """Return the cells sorted by energy; those equal to within 1e-6 eV keep their order."""
    best = min(energies)
    for cell, energy in zip(cells, energies, strict=True):
        cell.info[key] = round(energy - best, 6) + 0.0
    return sorted(cells, key=lambda cell: float(cell.info[key]))
