"""G1: errors on frames that the model has not seen, with intervals over trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.validation.gates.base import Array, GateSettings, Measurement, Potential, Reference, Value
from dpa_sse.ops.validation.gates.shared import OWN_MD, Errors, held_out_errors
from dpa_sse.ops.validation.gates.statistics import FEWEST, mean_over_runs, ratio_over_runs

if TYPE_CHECKING:
    from ase import Atoms

MORE_TRAJECTORIES = "label frames of more trajectories"


def measure(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> Measurement:
    """Compare energies (after one shift per composition), forces and pressures with labels."""
    if not reference.data and reference.potential is None:
        return Measurement(not_run="needs a reference: --reference MODEL, LABELER or DATA")
    errors = held_out_errors(model, reference, structures, settings, settings.count("frames"))
    if not len(errors.energy_meV_atom):
        return Measurement(not_run="no labelled frame has only elements that the model knows")
    found = Measurement()
    if reference.data and any(name.startswith(OWN_MD) for name in errors.blocks):
        few = len({name for name in errors.blocks if not name.startswith(OWN_MD)})
        found.notes.append(
            f"held-out data of {few} trajector{'y' if few == 1 else 'ies'} only: "
            "frames of the reference's own MD are added"
        )
    _energies(errors, found)
    _forces(errors, settings, found)
    good = np.isfinite(errors.pressure_GPa)
    if good.any():
        blocks = [name for name, use in zip(errors.blocks, good, strict=True) if use]
        found.values["pressure_mae"] = _mean(np.abs(errors.pressure_GPa[good]), np.ones(int(good.sum())), blocks)
    else:
        found.missing["pressure_mae"] = "the labels have no stress"
    found.table = [
        {"trajectory": block, "composition": name, "energy_error_meV_atom": energy, "force_mae_meV_A": force}
        for block, name, energy, force in zip(
            errors.blocks, errors.composition, errors.energy_meV_atom.tolist(), errors.force_by_frame.tolist(),
            strict=True,
        )
    ]
    return found


def _mean(sums: Array, counts: Array, blocks: Sequence[str]) -> Value:
    return mean_over_runs(sums, counts, blocks, MORE_TRAJECTORIES)


def _scaled(ends: tuple[float, float] | None, factor: float) -> tuple[float, float] | None:
    return None if ends is None else (ends[0] * factor, ends[1] * factor)


def _imbalance(own: Array, number: Array, sums: Array, counts: Array, blocks: Sequence[str]) -> Value:
    """Return the mean error of some elements over that of all, with its interval over trajectories."""
    if not sums.sum():
        return Value(1.0, (1.0, 1.0), len(set(blocks)))
    share = float(number.sum() / counts.sum())
    return ratio_over_runs(own / share, sums, blocks, more=MORE_TRAJECTORIES, fewest=FEWEST)


def _energies(errors: Errors, found: Measurement) -> None:
    shifts = errors.shifts
    counts = {name: errors.composition.count(name) for name in shifts}
    use = np.array([counts[name] > 1 for name in errors.composition])
    if not use.any():
        found.missing["energy_mae"] = "one frame of each composition leaves nothing after the shift"
        return
    own = np.array([shifts[name] for name in errors.composition])
    wrong = np.abs(errors.energy_meV_atom - own)[use]
    blocks = [name for name, good in zip(errors.blocks, use, strict=True) if good]
    found.values["energy_mae"] = _mean(wrong, np.ones(len(wrong)), blocks)
    largest = max(shifts, key=lambda name: abs(shifts[name]))
    found.notes.append(
        f"{len(wrong)} frames of {len(set(blocks))} trajectories; largest shift {shifts[largest]:.1f} meV/atom "
        f"({largest})"
    )


def _forces(errors: Errors, settings: GateSettings, found: Measurement) -> None:
    sums, counts = errors.of_elements(errors.elements)
    overall = _mean(sums, counts, errors.blocks)
    found.values["force_mae"] = overall
    relative = 100 / max(errors.force_size_meV_A, 1e-9)
    found.values["force_relative"] = replace(
        overall, value=overall.value * relative, ci95=_scaled(overall.ci95, relative),
        spread=_scaled(overall.spread, relative),
    )
    parts = {
        "the mobile ions": [one for one in errors.elements if one in settings.mobile],
        "the framework": [one for one in errors.elements if one not in settings.mobile],
    }
    ratios = {}
    for name, elements in parts.items():
        if elements:
            own, number = errors.of_elements(elements)
            ratios[name] = _imbalance(own, number, sums, counts, errors.blocks)
    largest = max(ratios, key=lambda name: ratios[name].value)
    found.values["force_imbalance"] = replace(ratios[largest], where=largest)
    single = [
        f"{one} {errors.force_sum_meV_A[one].sum() / errors.force_count[one].sum():.0f}" for one in errors.elements
    ]
    found.notes.append(f"force MAE by element: {', '.join(single)} meV/A")
