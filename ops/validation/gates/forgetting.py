"""G15: has fine-tuning made the model worse on the systems that it was trained on before.

Both models are compared with the same labels, frame by frame, so that what makes a frame hard for both cancels. The
intervals are over trajectories; those of the systems hold together, since the worst one is chosen among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dpa_sse.ops.core.intervals import blocks_of
from dpa_sse.ops.validation.gates.base import Array, GateSettings, Measurement, Potential, Reference, Value
from dpa_sse.ops.validation.gates.shared import Errors, FrameSet, errors_on, frame_sets
from dpa_sse.ops.validation.gates.statistics import FEWEST, ratio_over_runs

if TYPE_CHECKING:
    from ase import Atoms

MORE = "label frames of more trajectories"
TINY_MEV_A = 0.01
"""Errors below this are round-off: a model on its own labels."""


class System(NamedTuple):
    """Frames of one system and the ratio of both errors on them."""

    name: str
    ratio: Value
    after_meV_A: float
    before_meV_A: float


def measure(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> Measurement:
    """Compare the errors of the model after and before fine-tuning on frames of the systems of its base data."""
    del structures
    if reference.before is None:
        return Measurement(not_run="needs the model before its fine-tuning: --before MODEL")
    if not reference.base:
        return Measurement(not_run="needs labelled frames of the systems of the base model: --base DATA")
    known = sorted(set(model.elements) & set(reference.before.elements))
    sets = _by_system(frame_sets(reference.base, reference.base_type_map, known, settings.count("frames")))
    sets = {name: frames for name, frames in sets.items() if any(one.labels.finite.any() for one in frames)}
    if not sets:
        return Measurement(not_run="no frame of the base systems has only elements that both models know")
    found = Measurement()
    systems = [
        _system(name, errors_on(model, frames), errors_on(reference.before, frames), len(sets))
        for name, frames in sets.items()
    ]
    every = [one for frames in sets.values() for one in frames]
    after, before = errors_on(model, every), errors_on(reference.before, every)
    found.values["force_ratio"] = _forces(after, before)
    found.values["worst_force_ratio"] = worst_of(systems)
    energy = _energies(after, before)
    if energy is None:
        found.missing["energy_ratio"] = "one frame of each composition leaves nothing after the shift"
    else:
        found.values["energy_ratio"] = energy
    left_out = len(reference.base) - sum(len(frames) for frames in sets.values())
    found.notes.append(
        f"{len(after.blocks)} {splits_of(reference)} frames of {len(systems)} systems"
        + (f"; {left_out} sets with elements that a model does not know, or without labels, are left out"
           if left_out else "")
    )
    found.table = [
        {"system": one.name, "after_meV_A": one.after_meV_A, "before_meV_A": one.before_meV_A,
         "ratio": one.ratio.value, "frames": sum(len(part) for part in sets[one.name])}
        for one in sorted(systems, key=lambda one: -one.ratio.value)
    ]
    return found


def _by_system(sets: Sequence[FrameSet]) -> dict[str, list[FrameSet]]:
    found: dict[str, list[FrameSet]] = {}
    for one in sets:
        name = one.blocks[0].rpartition("/")[0] or one.composition
        found.setdefault(name, []).append(one)
    return found


def splits_of(reference: Reference) -> str:
    """Return whether the frames of the base systems were held out, or trained on."""
    splits = {block.split for block in reference.base}
    return "held-out" if splits == {"test"} else "training" if splits == {"train"} else "labelled"


def _system(name: str, after: Errors, before: Errors, together: int) -> System:
    sizes = [float(one.force_by_frame.mean()) for one in (after, before)]
    return System(name, _forces(after, before, together), *sizes)


def _forces(after: Errors, before: Errors, together: int = 1) -> Value:
    own, counts = after.of_elements(after.elements)
    other, _ = before.of_elements(before.elements)
    return _ratio(own, np.maximum(other, TINY_MEV_A * counts), after.blocks, together)


def _energies(after: Errors, before: Errors) -> Value | None:
    """Return the ratio of the errors of energies, each model after one shift per composition."""
    names = np.array(after.composition)
    use = np.array([after.composition.count(name) > 1 for name in after.composition])
    if not use.any():
        return None
    wrong = []
    for one in (after, before):
        shift = np.array([one.shifts[name] for name in names])
        wrong.append(np.abs(one.energy_meV_atom - shift)[use])
    blocks = [name for name, good in zip(after.blocks, use, strict=True) if good]
    return _ratio(wrong[0], np.maximum(wrong[1], 1e-6), blocks)


def _ratio(own: Array, other: Array, blocks: Sequence[str], together: int = 1) -> Value:
    found = ratio_over_runs(own, other, blocks, more=MORE, fewest=FEWEST, together=together)
    index = blocks_of(list(blocks))
    each = np.bincount(index, own) / np.bincount(index, other)
    return replace(found, spread=(float(each.min()), float(each.max())))


def worst_of(systems: Sequence[System]) -> Value:
    """Return the largest ratio of several systems, with the interval of the largest: that of the noisiest may be wide.

    It is at least the largest lower end, and at most the largest upper end.
    """
    worst = max(systems, key=lambda one: one.ratio.value)
    single = [one for one in systems if one.ratio.ci95 is None]
    sure: Mapping[str, tuple[float, float]] = {
        one.name: one.ratio.ci95 for one in systems if one.ratio.ci95 is not None
    }
    low = max((ends[0] for ends in sure.values()), default=None)
    high = max((ends[1] for ends in sure.values()), default=None)
    if single:
        lacking = f"{single[0].name}: {single[0].ratio.lacking}"
        ranges = [one.ratio.ci95 or one.ratio.spread or (one.ratio.value,) * 2 for one in systems]
        spread = (max(ends[0] for ends in ranges), max(ends[1] for ends in ranges))
        return Value(worst.ratio.value, None, len(systems), MORE, worst.name, lacking, spread)
    assert low is not None and high is not None  # noqa: S101  (every system has an interval here)
    surely = max(systems, key=lambda one: one.ratio.spread[0] if one.ratio.spread else 0.0)
    return Value(
        worst.ratio.value, (min(low, worst.ratio.value), high), len(systems), MORE, worst.name,
        spread=surely.ratio.spread,
    )
