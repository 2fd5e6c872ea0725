"""Which of several arrangements of the same atoms is best: by Ewald energy, or by the energy of any labeler."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from dpa_sse.ops.labelers.base import Labeler

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
    return _ranked(cells, [ewald_energy(cell) for cell in cells], "ewald_eV")


def rank_by_labeler(cells: Sequence[Atoms], labeler: Labeler) -> list[Atoms]:
    """Return cells of one composition, lowest energy first.

    Parameters
    ----------
    cells : sequence of Atoms
        All with the same atoms.
    labeler : Labeler
        Gives the energies of the cells as they are, unrelaxed.

    Returns
    -------
    list of Atoms
        All of them; ``info["labeler_eV"]``: energy of the cell relative to the best, eV.

    Raises
    ------
    InputError
        The compositions differ, or the labeler fails for a cell.
    """
    formulas = sorted({cell.get_chemical_formula("hill") for cell in cells})
    if len(formulas) > 1:
        raise InputError(f"only cells of one composition can be ranked by energy, not {', '.join(formulas)}")
    energies = []
    with tempfile.TemporaryDirectory() as work:  # what a program writes for an energy alone is of no further use
        found = labeler.label(cells, Path(work))
    for cell, result in zip(cells, found, strict=True):
        if result.atoms is None:
            raise InputError(f"{cell.info.get('system', cell.symbols)}: no energy to rank it by: {result.reason}")
        energies.append(float(result.atoms.get_potential_energy()))
    return _ranked(cells, energies, "labeler_eV")


def _ranked(cells: Sequence[Atoms], energies: list[float], key: str) -> list[Atoms]:
    """Return the cells by energy; those that agree to 1e-6 eV keep their order."""
    best = min(energies)
    for cell, energy in zip(cells, energies, strict=True):
        cell.info[key] = round(energy - best, 6) + 0.0
    return sorted(cells, key=lambda cell: float(cell.info[key]))
