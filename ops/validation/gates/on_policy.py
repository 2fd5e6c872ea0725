"""G2: errors where the model itself goes: frames of its MD at the highest temperature, with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.validation.gates.base import Array, GateSettings, Measurement, Potential, Reference, Value
from dpa_sse.ops.validation.gates.shared import Errors, errors_on, held_out_errors, on_policy
from dpa_sse.ops.validation.gates.statistics import mean_value

if TYPE_CHECKING:
    from ase import Atoms

TINY_MEV_A = 1e-2
"""A smaller error on held-out frames is too small a base for a ratio."""


def measure(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> Measurement:
    """Label frames of the model's own MD, and compare its errors there with those on held-out frames."""
    if reference.potential is None:
        return Measurement(not_run="needs a reference that can label frames: --reference MODEL or LABELER")
    count = settings.count("frames")
    sets = [
        on_policy(model, reference.potential, atoms, settings, max(4, count // len(structures)))
        for atoms in structures
    ]
    found = Measurement()
    wanted = sum(map(len, sets))
    refused = wanted - sum(int(one.labels.finite.sum()) for one in sets)
    found.values["refused_frames"] = Value(float(refused), None, wanted)
    if wanted in (0, refused):
        found.values["refused_frames"] = Value(float(max(1, refused)), None, wanted)
        found.notes.append("the MD of the model left no frame that could be labelled")
        return found
    errors = errors_on(model, sets)
    known = held_out_errors(model, reference, structures, settings, settings.count("held_out_frames"))
    by_frame = errors.force_by_frame
    force = mean_value(by_frame, errors.blocks, more=f"label {2 * count} frames")
    found.values["force_mae"] = force
    sums, counts = known.of_elements(known.elements)
    if len(sums):
        base = max(float(sums.sum() / counts.sum()), TINY_MEV_A)
        ends = None if force.ci95 is None else (force.ci95[0] / base, force.ci95[1] / base)
        found.values["force_ratio"] = Value(force.value / base, ends, force.n, more=f"label {2 * count} frames")
    else:
        found.missing["force_ratio"] = "there are no held-out frames to compare with"
    found.values["worst_frame"] = Value(
        float(by_frame.max() / max(float(np.median(by_frame)), TINY_MEV_A)), None, len(by_frame)
    )
    shifts = known.shifts
    if all(name in shifts for name in errors.composition):
        energy = errors.energy_meV_atom - np.array([shifts[name] for name in errors.composition])
        found.values["energy_bias"] = _worst_bias(energy, errors, count)
    else:
        found.missing["energy_bias"] = "no held-out frame has the composition of the MD: the shift is not known"
        energy = np.full(len(by_frame), np.nan)
    good = np.isfinite(errors.pressure_GPa)
    if good.any():
        found.values["pressure_bias"] = _worst_bias(errors.pressure_GPa, errors, count)
    else:
        found.missing["pressure_bias"] = "the labels have no stress"
    found.notes.append(f"{len(by_frame)} frames at {settings.temperature_K:g} K from {settings.md['copies']:g} runs")
    found.table = [
        {"run": block, "energy_error_meV_atom": e, "force_mae_meV_A": f, "pressure_error_GPa": p}
        for block, e, f, p in zip(
            errors.blocks, energy.tolist(), by_frame.tolist(), errors.pressure_GPa.tolist(), strict=True
        )
    ]
    return found


def _worst_bias(values: Array, errors: Errors, count: int) -> Value:
    """Return the mean of the composition with the largest one: biases of several must not cancel."""
    found = []
    for name in dict.fromkeys(errors.composition):
        use = np.array([one == name for one in errors.composition]) & np.isfinite(values)
        if use.any():
            blocks = [block for block, one in zip(errors.blocks, use, strict=True) if one]
            value = mean_value(values[use], blocks, more=f"label {2 * count} frames")
            found.append(replace(value, where=name if len({*errors.composition}) > 1 else ""))
    return max(found, key=lambda one: abs(one.value))
