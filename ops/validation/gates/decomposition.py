"""G14: energies of decomposition into competing phases against the reference.

The mixture of the other phases with the lowest energy at the composition of a phase is a linear programme. Only
reactions that balance are compared, in which constant shifts of the elements' energies cancel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

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


class Reaction(NamedTuple):
    """Energy of a phase above the best mixture of the others, eV/atom, and the shares of atoms in that mixture."""

    energy_eV: float
    shares: Array


def measure(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> Measurement:
    """Compare the energies of all phases, above the best mixture of the others, with those of the reference."""
    del settings
    if reference.potential is None:
        return Measurement(not_run=NEEDS_LABELS)
    cells = [*structures, *reference.phases]
    known = set(model.elements) & set(reference.potential.elements)
    left_out = [_name(one) for one in cells if not set(one.get_chemical_symbols()) <= known]
    cells = [one for one in cells if _name(one) not in left_out]
    elements = sorted({one for atoms in cells for one in atoms.get_chemical_symbols()})
    shares = np.array([[atoms.get_chemical_symbols().count(one) / len(atoms) for one in elements] for atoms in cells])
    possible = [k for k in range(len(cells)) if _mixture(k, shares, np.zeros(len(cells))) is not None]
    if not possible:
        names = ", ".join(dict.fromkeys(_name(one) for one in cells))
        return Measurement(not_run=(
            f"no phase can be made of the others ({names}): name competing phases, --phase Li2S --phase ..."
        ))
    found = Measurement()
    energies = [
        np.array([float(potential.of_atoms([atoms]).energy[0]) / len(atoms) for atoms in cells])
        for potential in (model, reference.potential)
    ]
    for whose, values, place in (("model", energies[0], found.broken), ("reference", energies[1], found.missing)):
        if not np.isfinite(values).all():
            bad = _name(cells[int(np.argmin(np.isfinite(values)))])
            place["decomposition_mae"] = f"the {whose} has no energy of {bad}"
    if found.broken or found.missing:
        return found
    errors = []
    for k in possible:
        own, other = (_mixture(k, shares, values) for values in energies)
        assert own is not None and other is not None  # noqa: S101  (the balance does not depend on the energies)
        errors.append(1000 * (own.energy_eV - other.energy_eV))
        found.table.append({
            "phase": _name(cells[k]), "products": _words(other, cells), "model_meV_atom": 1000 * own.energy_eV,
            "reference_meV_atom": 1000 * other.energy_eV,
        })
    worst = int(np.argmax(np.abs(errors)))
    found.values["decomposition_mae"] = Value(float(np.mean(np.abs(errors))), None, len(errors))
    found.notes.append(
        f"{len(errors)} of {len(cells)} phases can be made of the others, as given (not relaxed); largest error "
        f"{errors[worst]:.1f} meV/atom ({found.table[worst]['phase']})"
    )
    if left_out:
        found.notes.append(f"left out, with elements that model or reference do not know: {', '.join(left_out)}")
    return found


def _name(atoms: Atoms) -> str:
    return str(atoms.info.get("system") or atoms.get_chemical_formula())


def _words(reaction: Reaction, cells: Sequence[Atoms]) -> str:
    return " + ".join(
        f"{share:.3g} {_name(cells[k])}" for k, share in enumerate(reaction.shares) if share > 1e-6
    )


def _mixture(k: int, shares: Array, energies: Array) -> Reaction | None:
    """Return the energy of a phase above the best mixture of phases of other compositions; None if none balances."""
    from scipy.optimize import linprog

    others = np.flatnonzero(np.abs(shares - shares[k]).max(axis=1) > 1e-6)
    if not len(others):
        return None
    found = linprog(energies[others], A_eq=shares[others].T, b_eq=shares[k], bounds=(0, None), method="highs")
    if not found.success:
        return None
    amounts = np.zeros(len(shares))
    amounts[others] = found.x
    return Reaction(float(energies[k] - found.fun), amounts)
