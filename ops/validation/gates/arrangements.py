"""G13: are arrangements of the anions ordered by energy as by the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.structures.host_lattice import FORMERS
from dpa_sse.ops.validation.gates.base import (
    NEEDS_LABELS,
    Array,
    GateSettings,
    Measurement,
    Potential,
    Reference,
    Value,
)

if TYPE_CHECKING:
    from ase import Atoms

BONDED = 1.23
"""An anion nearer to a network former than this times their covalent radii belongs to a unit and is not exchanged."""
TRIES = 50


def measure(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> Measurement:
    """Compare the energies of cells in which anions of different elements have exchanged their places."""
    if reference.potential is None:
        return Measurement(not_run=NEEDS_LABELS)
    found = Measurement()
    own: list[Array] = []
    other: list[Array] = []
    for number, atoms in enumerate(structures):
        rng = np.random.default_rng(derive_seed(settings.seed, "arrangements", number))
        cells = exchanged(atoms, settings.count("arrangements"), settings.mobile, rng)
        if len(cells) < 4:
            continue
        for potential, into in ((model, own), (reference.potential, other)):
            energy = np.array([float(potential.of_atoms([one]).energy[0]) for one in cells]) / len(atoms) * 1000
            into.append(energy - energy.mean())
    if not own:
        return Measurement(not_run="the structures have no free anions of two elements that could exchange places")
    mine, theirs = np.concatenate(own), np.concatenate(other)
    good = np.isfinite(mine) & np.isfinite(theirs)
    if good.sum() < 4:
        found.missing["rank_correlation"] = "fewer than four arrangements have labels"
        return found
    from scipy.stats import spearmanr

    n = int(good.sum())
    rho = float(spearmanr(mine[good], theirs[good]).statistic)
    z, half = np.arctanh(np.clip(rho, -0.9999, 0.9999)), 1.96 * 1.03 / np.sqrt(max(1, n - 3))
    found.values["rank_correlation"] = Value(
        rho, (float(np.tanh(z - half)), float(np.tanh(z + half))), n, more=f"{2 * n} arrangements"
    )
    found.values["arrangement_mae"] = Value(float(np.abs(mine[good] - theirs[good]).mean()), None, n)
    found.notes.append(f"{n} arrangements; energies of the reference spread over {np.ptp(theirs[good]):.1f} meV/atom")
    found.table = [
        {"arrangement": k, "model_meV_atom": float(a), "reference_meV_atom": float(b)}
        for k, (a, b) in enumerate(zip(mine, theirs, strict=True))
    ]
    return found


def exchanged(atoms: Atoms, count: int, mobile: Sequence[str], rng: np.random.Generator) -> list[Atoms]:
    """Return the cell and different arrangements in which free anions of two elements exchanged places."""
    from dpa_sse.ops.structures.host_lattice import covalent_sums

    symbols = atoms.get_chemical_symbols()
    formers = [k for k, symbol in enumerate(symbols) if symbol in FORMERS]
    free = [k for k, symbol in enumerate(symbols) if symbol not in FORMERS and symbol not in mobile]
    if formers:
        free = [
            k for k in free
            if all(
                distance > BONDED * covalent_sums([symbols[k], symbols[former]])[0, 1]
                for distance, former in zip(atoms.get_distances(k, formers, mic=True), formers, strict=True)
            )
        ]
    cells, seen = [atoms], {tuple(symbols)}
    for _ in range(TRIES * count):
        if len(cells) >= count:
            break
        names = list(symbols)
        for place, symbol in zip(free, rng.permutation([symbols[k] for k in free]), strict=True):
            names[place] = str(symbol)
        if tuple(names) not in seen:
            seen.add(tuple(names))
            cells.append(atoms.copy())
            cells[-1].set_chemical_symbols(names)
    return cells
