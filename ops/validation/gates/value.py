"""G17: what a student is worth: how much faster it is than its reference, and whether it was worth distilling."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.tools import available_threads
from dpa_sse.ops.validation.gates.base import (
    NEEDS_LABELS,
    Array,
    GateSettings,
    Measurement,
    Potential,
    Reference,
    Value,
)
from dpa_sse.ops.validation.gates.shared import held_out_errors
from dpa_sse.ops.validation.gates.statistics import FEWEST, ratio_over_runs

if TYPE_CHECKING:
    from ase import Atoms

Clock = Callable[[], float]


def measure(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> Measurement:
    """Time both on the same cell, in turn, and compare with a model that was trained from scratch."""
    if reference.potential is None:
        return Measurement(not_run=NEEDS_LABELS)
    found = Measurement()
    _speed(model, reference.potential, structures[0], settings, found)
    _from_scratch(model, reference, structures, settings, found)
    return found


def _speed(
    model: Potential, reference: Potential, atoms: Atoms, settings: GateSettings, found: Measurement
) -> None:
    repeats, cell = settings.count("repeats"), atoms
    first = _seconds(reference, atoms)  # compiles, allocates: not counted
    if first < settings.protocol["long_s"]:
        size = max(1, round((settings.count("atoms") / len(atoms)) ** (1 / 3)))
        cell = atoms.repeat(size)
    else:
        repeats = 1
    for potential in (model, reference):
        _seconds(potential, cell)
    own, other = np.zeros(repeats), np.zeros(repeats)
    for k in range(repeats):  # in turn: what slows down the machine slows down both
        own[k], other[k] = _seconds(model, cell), _seconds(reference, cell)
    found.values["speedup"] = speedup(own, other)
    threads = available_threads()
    found.notes.append(
        f"{1000 * np.median(own) / len(cell):.3g} and {1000 * np.median(other) / len(cell):.3g} ms per atom for "
        f"energy, forces and virial of {len(cell)} atoms, in turn in one process (threads: {threads}), without LAMMPS"
    )
    found.table = [
        {"repeat": k, "atoms": len(cell), "model_s": float(a), "reference_s": float(b)}
        for k, (a, b) in enumerate(zip(own, other, strict=True))
    ]


def _seconds(potential: Potential, atoms: Atoms, clock: Clock = time.perf_counter) -> float:
    start = clock()
    potential.of_atoms([atoms])
    return clock() - start


def speedup(own: Array, other: Array) -> Value:
    """Return the ratio of the times of two potentials with its interval: Student's t for the mean of the logarithms."""
    from scipy.stats import t

    logs = np.log(np.maximum(other, 1e-9) / np.maximum(own, 1e-9))
    n = len(logs)
    centre = float(np.exp(logs.mean()))
    if n < 2:
        return Value(centre, None, n, lacking="one call of a slow reference: measure it by itself", spread=None)
    half = float(t.ppf(0.975, n - 1)) * float(logs.std(ddof=1)) / np.sqrt(n)
    return Value(centre, (centre * float(np.exp(-half)), centre * float(np.exp(half))), n, "a quiet machine")


def _from_scratch(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings, found: Measurement
) -> None:
    """Compare the force errors of the model with those of one that saw the same labels, but no teacher."""
    name = "error_over_from_scratch"
    if reference.from_scratch is None:
        found.missing[name] = "there is no model that was trained from scratch on the same labels: --from-scratch MODEL"
        return
    count = settings.count("frames")
    own, other = (
        held_out_errors(one, reference, structures, settings, count) for one in (model, reference.from_scratch)
    )
    if not len(own.blocks) or own.blocks != other.blocks:
        found.missing[name] = "there are no held-out frames that both models know"
        return
    sums, counts = own.of_elements(own.elements)
    others, _ = other.of_elements(other.elements)
    if not others.sum():
        found.missing[name] = "the model from scratch has no errors on these frames: they are its own labels"
        return
    found.values[name] = ratio_over_runs(
        sums, others, own.blocks, more="label frames of more trajectories", fewest=FEWEST
    )
    sizes = [float(one.sum() / counts.sum()) for one in (sums, others)]
    found.notes.append(f"force MAE {sizes[0]:.1f} meV/A, from scratch {sizes[1]:.1f} meV/A")
