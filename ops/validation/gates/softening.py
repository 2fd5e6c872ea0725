"""G7: are forces on high-energy frames, and curvatures, as large as those of the reference.

Least squares through zero, sum(F G) / sum(G G) for forces F of the model against G of the reference, is too low by
1 / (1 + e^2) if G differs from F by errors of relative size e that do not depend on F: that is so on frames which the
model itself has visited. Here the slope is sum(z F) / sum(z G) with an instrument z that depends on neither error
(Fuller, Measurement Error Models, 1987, section 2.4): how the frames were sampled. It is then the ratio of the mean
curvatures of both surfaces, whatever the errors:

- MD of the model: z = F, since <F G> = kT <laplacian> over its canonical ensemble for every surface with forces G
  (hypervirial theorem; the configurational temperature of Rugh, Phys. Rev. Lett. 78, 772 (1997));
- MD of the reference, and frames chosen by G: z = G, which is least squares;
- cells displaced at random: z = the displacements (Stein, Ann. Statist. 9, 1135 (1981)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.validation.gates.base import Array, GateSettings, Labels, Measurement, Potential, Reference, Value
from dpa_sse.ops.validation.gates.shared import held_out, on_policy
from dpa_sse.ops.validation.gates.statistics import ratio_over_runs

if TYPE_CHECKING:
    from ase import Atoms

HIGH_SHARE = 0.5
"""Share of the held-out frames that are used where the reference cannot label others: those with the largest forces."""


@dataclass
class Pairs:
    """Forces of frames from both surfaces, and what their slope is made from.

    Attributes
    ----------
    elements : tuple of str
        Only forces on their atoms; on all atoms if there are none.
    own, other : list of ndarray
        Forces of the model and of the reference, flat, eV/A.
    above, below : list of float
        Instrument times either.
    runs, parts : list of str
        Trajectory of each frame, and how it was sampled.
    """

    elements: tuple[str, ...] = ()
    own: list[Array] = field(default_factory=list)
    other: list[Array] = field(default_factory=list)
    above: list[float] = field(default_factory=list)
    below: list[float] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    def add(
        self, symbols: Sequence[str], own: Array, other: Array, instrument: Array, runs: Sequence[str], part: str
    ) -> None:
        """Add frames that were sampled in one way; the scale of the instrument, which does not count, is unified.

        Parameters
        ----------
        symbols : sequence of str
        own, other, instrument : ndarray, shape (n, n_atoms, 3)
        runs : sequence of str
            Trajectory of each frame.
        part : str
            How they were sampled.
        """
        if self.elements:
            some = np.isin(np.array(symbols), self.elements)
            if not some.any():
                return
            own, other, instrument = own[:, some], other[:, some], instrument[:, some]
        product = float((instrument * other).sum())
        scale = float((other**2).sum()) / product if product else 1.0
        for k, run in enumerate(runs):
            self.own.append(own[k].ravel())
            self.other.append(other[k].ravel())
            self.above.append(scale * float((instrument[k] * own[k]).sum()))
            self.below.append(scale * float((instrument[k] * other[k]).sum()))
            self.runs.append(f"{part} {run}")
            self.parts.append(part)

    def slope(self, more: str) -> Value:
        """Return the slope with its interval over trajectories."""
        return ratio_over_runs(np.array(self.above), np.array(self.below), self.runs, self.parts, more)


def measure(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> Measurement:
    """Fit the model's forces, and curvatures along random directions, against the reference's through zero.

    The slope of the mobile ions is measured by itself: a stiff framework, whose forces are many times as large, hides
    them in the slope of all atoms. The identities above hold for the atoms of an element as for all.
    """
    found = Measurement()
    pairs, mobile = Pairs(), Pairs(tuple(settings.mobile))
    if reference.potential is not None:
        _hot_forces(model, reference.potential, structures, settings, (pairs, mobile))
    elif reference.data:
        _strongest(model, reference, structures, settings, (pairs, mobile))
        found.notes.append("on the held-out frames with the largest forces: the reference cannot label others")
    else:
        return Measurement(not_run="needs a reference: --reference MODEL, LABELER or DATA")
    count = len(pairs.own)
    if count < 3:
        return Measurement(not_run="fewer than three frames have labels")
    more = f"{max(2 * count, 8)} frames instead of {count}, of more runs"
    found.values["force_slope"] = pairs.slope(more)
    if len(mobile.own) >= 3:
        found.values["mobile_slope"] = mobile.slope(more)
    else:
        found.missing["mobile_slope"] = f"the structures have no {', '.join(settings.mobile)}"
    found.table = [
        {"frame": k, "model_eV_A": a, "reference_eV_A": b} for k in range(count)
        for a, b in zip(pairs.own[k][:40].tolist(), pairs.other[k][:40].tolist(), strict=True)
    ]
    if reference.potential is None:
        found.missing["curvature"] = "the reference cannot label displaced cells"
        return found
    mine, theirs = _curvatures(model, reference.potential, structures, settings)
    good = np.isfinite(theirs)
    if good.sum() < 3:
        found.missing["curvature"] = "the reference labels fewer than three displaced cells"
        return found
    # the sum over random directions is the trace (Hutchinson), whatever the errors of single curvatures
    directions = [str(k) for k in range(int(good.sum()))]
    found.values["curvature"] = ratio_over_runs(
        mine[good], theirs[good], directions, more=f"{2 * len(directions)} directions"
    )
    return found


def _hot_forces(
    model: Potential, reference: Potential, structures: Sequence[Atoms], settings: GateSettings, found: Sequence[Pairs]
) -> None:
    """Add forces on rattled cells and on frames of the model's MD, without frames whose forces are too large.

    Forces above the limit are not in any training data: there a slope means nothing.
    """
    limit = settings.protocol["max_force_eV_A"]
    for number, atoms in enumerate(structures):
        rng = np.random.default_rng(derive_seed(settings.seed, "softening", number))
        n = max(4, settings.count("frames") // len(structures))
        shift = rng.normal(0, settings.protocol["rattle_A"], (n, len(atoms), 3))
        cells = np.repeat(atoms.cell.array[None], n, axis=0)
        symbols = atoms.get_chemical_symbols()
        rattled = reference.evaluate(symbols, atoms.positions[None] + shift, cells)
        good = _usable(rattled, limit)
        if good.any():
            mine = model.evaluate(symbols, atoms.positions[None] + shift[good], cells[good])
            single = [str(k) for k in np.flatnonzero(good)]
            for one in found:
                one.add(symbols, mine.force, rattled.force[good], -shift[good], single, f"of rattled cells of {number}")
        hot = on_policy(model, reference, atoms, settings, max(4, settings.count("md_frames") // len(structures)))
        good = _usable(hot.labels, limit)
        if good.any():
            mine = model.evaluate(symbols, hot.positions[good], hot.cells[good])
            runs = [run for run, use in zip(hot.blocks, good, strict=True) if use]
            for one in found:
                one.add(
                    symbols, mine.force, hot.labels.force[good], mine.force, runs, f"of the model's MD of {number}"
                )


def _usable(labels: Labels, limit: float) -> NDArray[np.bool_]:
    largest = np.abs(np.nan_to_num(labels.force)).max(axis=(1, 2), initial=0.0)
    return np.asarray(labels.finite & (largest <= limit))


def _strongest(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings, found: Sequence[Pairs]
) -> None:
    rows = []
    for one in held_out(model, reference, structures, settings, settings.count("held_out_frames")):
        mine = model.evaluate(one.symbols, one.positions, one.cells)
        for k in np.flatnonzero(one.labels.finite):
            force = one.labels.force[k]
            rows.append((float((force**2).mean()), one.symbols, mine.force[k], force, one.blocks[k]))
    rows.sort(key=lambda row: -row[0])
    for _, symbols, own, force, run in rows[: max(3, round(HIGH_SHARE * len(rows)))]:
        for pairs in found:
            pairs.add(symbols, own[None], force[None], force[None], [run], HELD_OUT)


HELD_OUT = "of held-out frames"


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
