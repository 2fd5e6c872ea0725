"""G11: volume and bulk modulus of the cell against the reference, from energies at several volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.validation.gates.base import (
    EV_A3_IN_GPA,
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


def measure(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> Measurement:
    """Fit Birch-Murnaghan curves of model and reference; all distances scale with the cell."""
    if reference.potential is None:
        return Measurement(not_run=NEEDS_LABELS)
    found = Measurement()
    worst: dict[str, Value] = {}
    for atoms in structures:
        name = str(atoms.info.get("system") or atoms.get_chemical_formula())
        curves = [_energies(one, atoms, settings) for one in (model, reference.potential)]
        own, other = (fit_curve(*curve) for curve in curves)
        if other is None:
            found.missing["volume_error"] = f"the reference has no minimum of {name} within the volumes"
            continue
        if own is None:
            worst["volume_error"] = Value(100.0, None, 1, where=f"{name}: the model has no minimum within the volumes")
            continue
        (v, b), (v_ref, b_ref) = own, other
        found.notes.append(f"{name}: volume {v:.1f} and {v_ref:.1f} A3, bulk modulus {b:.1f} and {b_ref:.1f} GPa")
        for key, value in (("volume_error", 100 * (v / v_ref - 1)), ("bulk_modulus_error", 100 * (b / b_ref - 1))):
            if key not in worst or abs(value) > abs(worst[key].value):
                worst[key] = Value(value, None, 1, where=name)
        volumes = curves[0][0]
        found.table += [
            {"system": name, "volume_A3": float(volume), "model_eV": float(a), "reference_eV": float(c)}
            for volume, a, c in zip(volumes, curves[0][1], curves[1][1], strict=True)
        ]
    found.values |= worst
    return found


def _energies(potential: Potential, atoms: Atoms, settings: GateSettings) -> tuple[Array, Array]:
    span, count = settings.protocol["span"], settings.count("volumes")
    scale = (1 + np.linspace(-span, span, count)) ** (1 / 3)
    labels = potential.evaluate(
        atoms.get_chemical_symbols(), atoms.positions[None] * scale[:, None, None],
        atoms.cell.array[None] * scale[:, None, None],
    )
    return atoms.get_volume() * scale**3, labels.energy


def fit_curve(volumes: Array, energies: Array) -> tuple[float, float] | None:
    """Return volume (A^3) and bulk modulus (GPa) of the minimum; None if there is none near the volumes."""
    from ase.eos import EquationOfState

    if not np.isfinite(energies).all():
        return None
    try:
        volume, _, bulk = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
    except Exception:  # scipy's fit fails in many ways; ASE raises ValueError for a maximum
        return None
    width = np.ptp(volumes)
    if not volumes.min() - width / 2 < volume < volumes.max() + width / 2 or bulk <= 0:
        return None
    return float(volume), float(bulk * EV_A3_IN_GPA)
