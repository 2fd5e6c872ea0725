"""G7: are forces on high-energy frames, and curvatures, as large as those of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.validation.gates.base import Array, GateSettings, Measurement, Potential, Reference, Value
from dpa_sse.ops.validation.gates.shared import held_out, on_policy
from dpa_sse.ops.validation.gates.statistics import slope_through_zero

if TYPE_CHECKING:
    from ase import Atoms

HIGH_SHARE = 0.5
"""Share of the held-out frames that are used where the reference cannot label others: those with the largest forces."""


def measure(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> Measurement:
    """Fit the model's forces, and curvatures along random directions, against the reference's through zero."""
    found = Measurement()
    if reference.potential is not None:
        own, other, blocks = _hot_forces(model, reference.potential, structures, settings)
    elif reference.data:
        own, other, blocks = _strongest(model, reference, structures, settings)
        found.notes.append("on the held-out frames with the largest forces: the reference cannot label others")
    else:
        return Measurement(not_run="needs a reference: --reference MODEL, LABELER or DATA")
    if len(own) < 3:
        return Measurement(not_run="fewer than three frames have labels")
    slope = slope_through_zero(_flat(own), _flat(other), blocks, settings.seed)
    frames = max(2 * len(own), 8)
    found.values["force_slope"] = Value(slope.value, slope.ci95, slope.n, more=f"{frames} frames instead of {len(own)}")
    found.table = [
        {"frame": k, "model_eV_A": a, "reference_eV_A": b}
        for k in range(len(own)) for a, b in zip(own[k][:40].tolist(), other[k][:40].tolist(), strict=True)
    ]
    if reference.potential is None:
        found.missing["curvature"] = "the reference cannot label displaced cells"
        return found
    mine, theirs = _curvatures(model, reference.potential, structures, settings)
    good = np.isfinite(theirs)
    if good.sum() < 3:
        found.missing["curvature"] = "the reference labels fewer than three displaced cells"
        return found
    ratio = slope_through_zero(mine[good][:, None], theirs[good][:, None], [str(k) for k in range(int(good.sum()))])
    found.values["curvature"] = Value(ratio.value, ratio.ci95, ratio.n, more=f"{2 * ratio.n} directions")
    return found


def _flat(frames: Sequence[Array]) -> Array:
    """Return frames of different sizes as one array, padded with zeros, which change no sum."""
    size = max(len(one) for one in frames)
    return np.array([np.pad(one, (0, size - len(one))) for one in frames])


def _hot_forces(
    model: Potential, reference: Potential, structures: Sequence[Atoms], settings: GateSettings
) -> tuple[list[Array], list[Array], list[str]]:
    """Return forces on rattled cells and on frames of the model's MD, without frames whose forces are too large.

    Forces above the limit are not in any training data: there a slope means nothing.
    """
    own: list[Array] = []
    other: list[Array] = []
    limit = settings.protocol["max_force_eV_A"]
    for number, atoms in enumerate(structures):
        rng = np.random.default_rng(derive_seed(settings.seed, "softening", number))
        n = max(4, settings.count("frames") // len(structures))
        moved = atoms.positions[None] + rng.normal(0, settings.protocol["rattle_A"], (n, len(atoms), 3))
        cells = np.repeat(atoms.cell.array[None], n, axis=0)
        symbols = atoms.get_chemical_symbols()
        labels = reference.evaluate(symbols, moved, cells)
        hot = on_policy(model, reference, atoms, settings, max(4, settings.count("md_frames") // len(structures)))
        for places, boxes, known in ((moved, cells, labels), (hot.positions, hot.cells, hot.labels)):
            good = known.finite & (np.abs(np.nan_to_num(known.force)).max(axis=(1, 2), initial=0.0) <= limit)
            if good.any():
                mine = model.evaluate(symbols, places[good], boxes[good])
                own += list(mine.force.reshape(int(good.sum()), -1))
                other += list(known.force[good].reshape(int(good.sum()), -1))
    return own, other, [str(k) for k in range(len(own))]


def _strongest(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> tuple[list[Array], list[Array], list[str]]:
    rows = []
    for one in held_out(model, reference, structures, settings, settings.count("held_out_frames")):
        mine = model.evaluate(one.symbols, one.positions, one.cells)
        for k in np.flatnonzero(one.labels.finite):
            force = one.labels.force[k]
            rows.append((float((force**2).mean()), mine.force[k].ravel(), force.ravel(), one.blocks[k]))
    rows.sort(key=lambda row: -row[0])
    rows = rows[: max(3, round(HIGH_SHARE * len(rows)))]
    return [row[1] for row in rows], [row[2] for row in rows], [row[3] for row in rows]


def _curvatures(
    model: Potential, reference: Potential, structures: Sequence[Atoms], settings: GateSettings
) -> tuple[Array, Array]:
    """Return second derivatives along random unit vectors of all atoms, eV/A^2, by central differences of forces."""
    found: tuple[list[Array], list[Array]] = ([], [])
    step = settings.protocol["displacement_A"]
    for number, atoms in enumerate(structures):
        rng = np.random.default_rng(derive_seed(settings.seed, "curvature", number))
        count = max(3, settings.count("directions") // len(structures))
        unit = rng.normal(size=(count, len(atoms), 3))
        unit /= np.sqrt((unit**2).mean(axis=(1, 2), keepdims=True) * 3 * len(atoms))
        shift = step * np.sqrt(len(atoms)) * unit
        places = np.concatenate([atoms.positions + shift, atoms.positions - shift])
        cells = np.repeat(atoms.cell.array[None], 2 * count, axis=0)
        length = 2 * step * np.sqrt(len(atoms))
        for potential, values in zip((model, reference), found, strict=True):
            force = potential.evaluate(atoms.get_chemical_symbols(), places, cells).force
            values.append(((force[count:] - force[:count]) * unit).sum(axis=(1, 2)) / length)
    return np.concatenate(found[0]), np.concatenate(found[1])
