"""Rank arrangements of the same atoms by their energy, from any labeler."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.rank import ranked

if TYPE_CHECKING:
    from ase import Atoms

    from dpa_sse.ops.labelers.base import Labeler


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
    with tempfile.TemporaryDirectory() as work:  # the files of a program are not needed afterwards
        found = labeler.label(cells, Path(work))
    for cell, result in zip(cells, found, strict=True):
        if result.atoms is None:
            raise InputError(f"{cell.info.get('system', cell.symbols)}: no energy to rank it by: {result.reason}")
        energies.append(float(result.atoms.get_potential_energy()))
    return ranked(cells, energies, "labeler_eV")
