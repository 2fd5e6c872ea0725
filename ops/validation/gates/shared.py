"""What several gates need: MD at the highest temperature, labelled frames; each computed once and remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.frames import evenly
from dpa_sse.ops.validation.compare import composition_of
from dpa_sse.ops.validation.gates.base import EV_A3_IN_GPA, Array, GateSettings, Labels, Potential, Reference
from dpa_sse.ops.validation.gates.dynamics import Segment, Trajectory, run_segments, start_batch
from dpa_sse.ops.validation.gates.statistics import FEWEST

if TYPE_CHECKING:
    from ase import Atoms

    from dpa_sse.ops.data.frames import SystemData

START_K = 300.0
OWN_MD = "MD of the reference"
"""Start of the names of its trajectories."""
EXPLODED = 3.0
"""Times the temperature of the thermostat at which a copy has exploded."""


@dataclass
class Heated:
    """A cell heated to the highest intended temperature and held there, in several copies.

    Attributes
    ----------
    hold : Trajectory
        At the highest intended temperature.
    hot : Trajectory
        Above it.
    ended : list of str
        For each copy, why it ended early; empty if it did not.
    """

    hold: Trajectory
    hot: Trajectory
    ended: list[str]


@dataclass
class FrameSet:
    """Labelled frames of the same atoms.

    Attributes
    ----------
    symbols : list of str
    positions, cells : ndarray, shapes (n, N, 3) and (n, 3, 3)
    labels : Labels
    blocks : list of str
        Trajectory of each frame.
    """

    symbols: list[str]
    positions: Array
    cells: Array
    labels: Labels
    blocks: list[str]

    @property
    def composition(self) -> str:
        """Reduced formula."""
        return composition_of(self.symbols)

    def __len__(self) -> int:
        return len(self.positions)


@dataclass
class Errors:
    """Errors of a model on frames of several compositions.

    Attributes
    ----------
    energy_meV_atom : ndarray, shape (n,)
        Model minus label, without a shift.
    composition, blocks : list of str
        Of each frame.
    force_sum_meV_A, force_count : dict of str to ndarray, shape (n,)
        Sum of the absolute errors of force components, and their number, by element.
    pressure_GPa : ndarray, shape (n,)
        Model minus label; NaN where the labels have no virial.
    force_size_meV_A : float
        Mean absolute value of the components of the labels.
    """

    energy_meV_atom: Array
    composition: list[str]
    blocks: list[str]
    force_sum_meV_A: dict[str, Array] = field(default_factory=dict)
    force_count: dict[str, Array] = field(default_factory=dict)
    pressure_GPa: Array = field(default_factory=lambda: np.zeros(0))
    force_size_meV_A: float = 0.0

    def of_elements(self, elements: Sequence[str]) -> tuple[Array, Array]:
        """Return sums and counts of the force errors of some elements, by frame."""
        zero = np.zeros(len(self.blocks))
        sums = sum((self.force_sum_meV_A.get(one, zero) for one in elements), zero)
        return sums, sum((self.force_count.get(one, zero) for one in elements), zero)

    @property
    def elements(self) -> list[str]:
        """Elements of the frames."""
        return list(self.force_sum_meV_A)

    @property
    def force_by_frame(self) -> Array:
        """Mean absolute error of the force components of each frame, meV/A."""
        sums, counts = self.of_elements(self.elements)
        return sums / counts

    @property
    def shifts(self) -> dict[str, float]:
        """Mean energy error of each composition, meV/atom."""
        names = np.array(self.composition)
        return {name: float(self.energy_meV_atom[names == name].mean()) for name in dict.fromkeys(self.composition)}


def heated(potential: Potential, atoms: Atoms, settings: GateSettings) -> Heated:
    """Heat copies of a cell to the highest intended temperature, hold them there, and go beyond it; remembered.

    Parameters
    ----------
    potential : Potential
    atoms : Atoms
    settings : GateSettings
        ``md`` holds the protocol.
    """
    key = ("heated", _cell_key(atoms), settings.temperature_K, settings.timestep_fs, settings.seed,
           tuple(sorted(settings.md.items())), potential.role)

    def made() -> tuple[list[Trajectory], list[str]]:
        md, dt = settings.md, settings.timestep_fs
        steps = {name: max(1, round(md[f"{name}_ps"] * 1000 / dt)) for name in ("ramp", "hold", "hot")}
        every = max(1, round(md["sample_fs"] / dt))
        top = settings.temperature_K
        above = top * md["hot_factor"]
        parts = [
            Segment(steps["ramp"], START_K, top, md["ramp_friction_ps"], 0),
            Segment(steps["ramp"], top, top, md["ramp_friction_ps"], 0),
            Segment(steps["hold"], top, top, md["friction_ps"], every),
            Segment(steps["ramp"], top, above, md["ramp_friction_ps"], 0),
            Segment(steps["hot"], above, above, md["friction_ps"], every),
        ]
        # Other velocities than the reference's: its own runs among each other are the noise floor
        seed = derive_seed(settings.seed, "heated", potential.role)
        batch = start_batch(potential, atoms, int(md["copies"]), START_K, seed)
        runs = run_segments(potential, batch, parts, dt, seed, limit_K=EXPLODED * above)
        return runs, runs[-1].ended

    def make() -> Heated:
        stored = potential.stored if potential.role == "reference" else None
        runs, ended = stored.remember(atoms, settings, made) if stored else made()
        return Heated(runs[0], runs[1], ended)

    found: Heated = potential.remember(key, make)
    return found


def _cell_key(atoms: Atoms) -> tuple[object, ...]:
    return (tuple(atoms.get_chemical_symbols()), atoms.positions.tobytes(), atoms.cell.array.tobytes())


def spread_frames(trajectory: Trajectory, count: int) -> list[tuple[int, int]]:
    """Return (copy, frame) of ``count`` frames, evenly over the copies and in time, among those with numbers."""
    copies = trajectory.positions.shape[1]
    found: list[tuple[int, int]] = []
    for copy in range(copies):
        good = np.flatnonzero(np.isfinite(trajectory.energy[:, copy]) & np.isfinite(
            trajectory.positions[:, copy]).all(axis=(1, 2)))
        own = count // copies + (copy < count % copies)
        if len(good) and own:
            chosen = np.unique(((np.arange(own) + 0.5) * len(good) / own).astype(int))
            found += [(copy, int(good[k])) for k in chosen]
    return found


def on_policy(model: Potential, reference: Potential, atoms: Atoms, settings: GateSettings, count: int) -> FrameSet:
    """Return frames of the model's own MD at the highest temperature, labelled by the reference."""

    def make() -> FrameSet:
        run = heated(model, atoms, settings).hold
        chosen = spread_frames(run, count)
        positions = np.array([run.positions[frame, copy] for copy, frame in chosen]).reshape(-1, len(run.symbols), 3)
        cells = np.repeat(run.cell[None], len(chosen), axis=0)
        labels = reference.evaluate(run.symbols, positions, cells) if len(chosen) else None
        empty = Labels(np.zeros(0), np.zeros((0, len(run.symbols), 3)), np.zeros((0, 3, 3)))
        return FrameSet(run.symbols, positions, cells, labels or empty, [f"copy {copy}" for copy, _ in chosen])

    found: FrameSet = model.remember(("on-policy", _cell_key(atoms), count), make)
    return found


def held_out(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings, count: int
) -> list[FrameSet]:
    """Return labelled frames that the model has not seen: the reference's data, else frames of the reference's own MD.

    At most ``count`` frames of each composition, evenly over its trajectories.
    """
    if reference.data:
        return frame_sets(reference.data, reference.type_map, model.elements, count)
    return own_md(reference, structures, settings, count)


def own_md(
    reference: Reference, structures: Sequence[Atoms], settings: GateSettings, count: int
) -> list[FrameSet]:
    """Return frames of the reference's own MD at the highest temperature; none without a potential."""
    if reference.potential is None:
        return []
    sets = []
    for number, atoms in enumerate(structures):
        run = heated(reference.potential, atoms, settings).hold
        places = spread_frames(run, count)
        at = tuple(np.array([(frame, copy) for copy, frame in places], int).reshape(-1, 2).T)
        labels = Labels(run.energy[at], run.forces[at], run.virial[at])
        sets.append(FrameSet(
            run.symbols, run.positions[at], np.repeat(run.cell[None], len(places), axis=0), labels,
            [f"{OWN_MD} {number}, copy {copy}" for copy, _ in places],
        ))
    return [one for one in sets if len(one)]


def frame_sets(
    blocks: Sequence[SystemData], type_map: Sequence[str], elements: Sequence[str], count: int
) -> list[FrameSet]:
    """Return labelled frames that have no other elements than these: at most ``count`` of each block, evenly."""
    sets = []
    for block in blocks:
        symbols = [type_map[k] for k in block.types]
        if not set(symbols) <= set(elements) or not len(block):
            continue
        chosen = evenly(len(block), count)
        part = block.select(chosen)
        virial = np.full((len(part), 3, 3), np.nan) if part.virial is None else part.virial
        sets.append(FrameSet(
            symbols, part.coord, part.box, Labels(part.energy, part.force, virial),
            [f"{part.system}/{name}" for name in part.trajectories],
        ))
    return sets


def errors_on(model: Potential, sets: Sequence[FrameSet]) -> Errors:
    """Return the errors of a model on labelled frames; frames without finite labels are left out."""
    energies, compositions, blocks, pressures = [], [], [], []
    sums: dict[str, list[Array]] = {}
    total = sum(int(one.labels.finite.sum()) for one in sets)
    done, size, n_size = 0, 0.0, 0
    for one in sets:
        good = one.labels.finite
        if not good.any():
            continue
        own = model.evaluate(one.symbols, one.positions[good], one.cells[good])
        n = int(good.sum())
        energies.append((own.energy - one.labels.energy[good]) / len(one.symbols) * 1000)
        compositions += [one.composition] * n
        blocks += [name for name, use in zip(one.blocks, good, strict=True) if use]
        volume = np.abs(np.linalg.det(one.cells[good]))
        virial = own.virial - one.labels.virial[good]
        pressures.append(np.trace(virial, axis1=1, axis2=2) / (3 * volume) * EV_A3_IN_GPA)
        wrong = np.abs(own.force - one.labels.force[good]) * 1000
        size += float(np.abs(one.labels.force[good]).sum()) * 1000
        n_size += wrong.size
        names = np.array(one.symbols)
        for element in sorted(set(one.symbols)):
            mine = wrong[:, names == element]
            place = sums.setdefault(element, [np.zeros(total), np.zeros(total)])
            place[0][done : done + n] = mine.sum(axis=(1, 2))
            place[1][done : done + n] = mine.shape[1] * 3
        done += n
    return Errors(
        np.concatenate(energies) if energies else np.zeros(0), compositions, blocks,
        {name: both[0] for name, both in sums.items()}, {name: both[1] for name, both in sums.items()},
        np.concatenate(pressures) if pressures else np.zeros(0), size / n_size if n_size else 0.0,
    )


def held_out_errors(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings, count: int
) -> Errors:
    """Return the errors of a model on held-out frames; remembered with the model.

    Where the held-out data are of too few trajectories for an interval, frames of the reference's own MD are added.
    """

    def make() -> Errors:
        sets = held_out(model, reference, structures, settings, count)
        if reference.data and len({name for one in sets for name in one.blocks}) < FEWEST:
            sets += own_md(reference, structures, settings, count)
        return errors_on(model, sets)

    found: Errors = model.remember(("held-out", count), make)
    return found
