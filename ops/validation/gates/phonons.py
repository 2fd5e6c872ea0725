"""G12: phonons of ordered crystals against the reference, from small displacements (phonopy).

Both potentials relax the ions in the given cell, with its symmetry. Crystals with disordered sites are left out: at
0 K an arrangement of them may have other soft modes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
from dpa_sse.ops.validation.gates.calculator import NotNumbersError, relaxed

if TYPE_CHECKING:
    from ase import Atoms

ORDERED = ("", "cell")
"""What ``dpa-sse structures`` has done to a cell that is a crystal as it was read (``info["operation"]``)."""
SYMPREC = 1e-3


def measure(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> Measurement:
    """Compare the frequencies of all modes on a mesh of q-points, and count soft modes that only the model has."""
    if reference.potential is None:
        return Measurement(not_run=NEEDS_LABELS)
    found = Measurement()
    errors: list[tuple[float, str, int]] = []
    soft: list[tuple[float, str, int]] = []
    why = []
    for atoms in structures:
        name = str(atoms.info.get("system") or atoms.get_chemical_formula())
        if reason := not_ordered(atoms, settings):
            why.append(f"{name}: {reason}")
            continue
        try:
            own, theirs = (frequencies(one, atoms, settings) for one in (model, reference.potential))
        except NotNumbersError as error:
            place = found.broken if error.whose == model.name else found.missing
            place["frequency_mae"] = f"{name}: {error}"
            continue
        if isinstance(own, str) or isinstance(theirs, str):
            whose, text = ("model", own) if isinstance(own, str) else ("reference", theirs)
            found.missing["frequency_mae"] = f"{name}: the {whose} {text}"
            continue
        limit = -settings.protocol["soft_THz"]
        more = (own < limit).sum(axis=1) - (theirs < limit).sum(axis=1)  # at each q-point
        new = int(np.maximum(more, 0).sum())
        errors.append((float(np.abs(own - theirs).mean()), name, own.size))
        soft.append((float(new), name, own.size))
        found.notes.append(
            f"{name}: frequencies from {own.min():.2f} to {own.max():.2f} THz, of the reference from "
            f"{theirs.min():.2f} to {theirs.max():.2f} THz" + (" (it has soft modes)" if theirs.min() < limit else "")
        )
        found.table += [
            {"system": name, "mode": k, "model_THz": float(a), "reference_THz": float(b)}
            for k, (a, b) in enumerate(zip(own.ravel(), theirs.ravel(), strict=True))
        ]
    if not (errors or found.missing or found.broken):
        return Measurement(not_run="; ".join(why))
    found.notes += why
    for key, values in (("frequency_mae", errors), ("new_soft_modes", soft)):
        if values and key not in {**found.missing, **found.broken}:
            worst = max(values)
            found.values[key] = Value(worst[0], None, worst[2], where=worst[1])
    return found


def not_ordered(atoms: Atoms, settings: GateSettings) -> str:
    """Return why a cell is not that of an ordered crystal; empty if it is."""
    operation = str(atoms.info.get("operation") or "")
    if operation not in ORDERED:
        return f"its sites are disordered ({operation})"
    cells = len(_phonopy(atoms, settings).supercells_with_displacements)
    most = settings.count("most_displaced")
    if cells > most:
        return f"needs {cells} displaced cells, more than {most}: little symmetry, as arrangements of disordered sites"
    return ""


def frequencies(potential: Potential, atoms: Atoms, settings: GateSettings) -> Array | str:
    """Return the frequencies of all modes, THz, imaginary ones negative; or why there are none.

    Of shape (q-points, modes), each row in rising order.
    """
    wanted, steps = settings.protocol["force_eV_A"], settings.count("steps")
    cell, left = relaxed(potential, atoms, wanted, steps, symmetric=True)
    if left > wanted:
        return f"does not relax the ions in {steps} steps ({left:.2g} eV/A are left)"
    phonon = _phonopy(cell, settings)
    forces = []
    for displaced in phonon.supercells_with_displacements:
        labels = potential.evaluate(
            displaced.symbols, np.asarray(displaced.positions, float)[None], np.asarray(displaced.cell, float)[None]
        )
        if not labels.finite.all():
            raise NotNumbersError(potential.name)
        forces.append(labels.force[0])
    phonon.forces = forces
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants()
    # all q-points: that of the symmetry of the relaxed cell could be another set for either potential
    phonon.run_mesh([settings.count("mesh")] * 3, is_mesh_symmetry=False, is_gamma_center=True)
    return np.sort(np.asarray(phonon.get_mesh_dict()["frequencies"], float), axis=1)


def _phonopy(atoms: Atoms, settings: GateSettings) -> Any:
    """Return phonopy's object for a cell, with its displacements; the cell itself is the primitive one."""
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    from dpa_sse.ops.structures.neighbour_list import face_distances

    repeats = np.ceil(settings.protocol["width_A"] / face_distances(atoms.cell.array) - 1e-6).astype(int)
    phonon = Phonopy(
        PhonopyAtoms(
            symbols=atoms.get_chemical_symbols(), cell=atoms.cell.array, scaled_positions=atoms.get_scaled_positions(),
            masses=atoms.get_masses(),
        ),
        np.diag(np.maximum(1, repeats)), primitive_matrix="P", symprec=SYMPREC, log_level=0,
    )
    phonon.generate_displacements(distance=settings.protocol["displacement_A"])
    return phonon
