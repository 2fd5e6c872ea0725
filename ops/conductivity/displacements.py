"""Read a trajectory in one streaming pass: unwrap, remove the drift of the framework, keep the mobile ions.

Positions are unwrapped in reduced coordinates and mapped with the mean cell. The breathing of an NPT cell, which is
affine in a solid, thus does not turn into a spurious displacement.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from dpa_sse.ops.conductivity.continuation import Ends, Snapshot, rms_by_species, rounding_step
from dpa_sse.ops.conductivity.joins import REPEATED, kept_chunks, plan_joins
from dpa_sse.ops.conductivity.readers.time_axis import even_section, frame_times
from dpa_sse.ops.conductivity.readers.trajectory import Chunk, Trajectory, leave_out
from dpa_sse.ops.core.errors import InputError

_SAMPLES = 256
_JUMP = 0.45  # of a cell between two frames: the nearest image is no longer certain
_LEAP_A = 5.0  # two atoms do not go that far at once between two frames in which the others hardly move
_ABSURD = 1e6
_NO_FRAMEWORK = (
    "every atom is mobile: there is no framework to measure displacements against; choose the reference "
    "`barycentre` (if the file holds all ions) or `laboratory`"
)


@dataclass(frozen=True)
class Displacements:
    """What is kept of a trajectory after the streaming pass.

    Attributes
    ----------
    mobile : numpy.ndarray
        (M, 3, T) float32, A: displacement of each mobile ion since frame 0 relative to the reference.
    mobile_symbols : list of str
        (M,), species of each mobile ion, species contiguous.
    sums : dict
        Species -> (3, T) float64, A: displacement summed over all atoms of the species, relative to the reference.
    counts : dict
        Species -> number of atoms.
    cell : numpy.ndarray
        (3, 3), A, mean cell. ``volume_A3`` is the mean volume.
    dt_ps : float
        Time between frames.
    first : numpy.ndarray
        (N, 3), reduced positions of all atoms in the first frame (not unwrapped).
    samples : numpy.ndarray
        (S, N, 3), reduced displacements of all atoms at ``sample_frames``, relative to the reference.
    drift : numpy.ndarray
        (T,) float32, A: drift of the reference since frame 0. ``drift_A`` is its largest component.
    resolution_A : float
        Step to which positions are rounded, zero for fine ones.
    left_out : dict
        Reason -> number of frames of the file that were not used.
    ends : Ends or None
        First and last frame, to find what belongs together.
    problems : list of str
        What makes every number unreliable.
    notes : list of str
        Remarks that do not.
    """

    symbols: list[str]
    mobile: np.ndarray
    mobile_symbols: list[str]
    sums: dict[str, np.ndarray]
    counts: dict[str, int]
    cell: np.ndarray
    volume_A3: float
    dt_ps: float
    first: np.ndarray
    samples: np.ndarray
    sample_frames: np.ndarray
    drift: np.ndarray
    drift_A: float
    resolution_A: float = 0.0
    left_out: dict[str, int] = field(default_factory=dict)
    ends: Ends | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.mobile.shape[2]

    @property
    def length_ps(self) -> float:
        """Time between the first and the last frame."""
        return (self.n_frames - 1) * self.dt_ps

    def of(self, species: str) -> np.ndarray:
        """Return the displacements of one mobile species, (M_s, 3, T), a view."""
        first = self.mobile_symbols.index(species)
        return self.mobile[first : first + self.mobile_symbols.count(species)]


class _Pass:
    """State of the streaming pass."""

    def __init__(self, trajectory: Trajectory, mobile: list[str], reference: str) -> None:
        self.symbols, self.trusted = trajectory.symbols, trajectory.unwrapped
        self.kinds = sorted(set(self.symbols))
        missing = [name for name in mobile if name not in self.kinds]
        if missing:
            raise InputError(f"no {', '.join(missing)} in the trajectory (it has {', '.join(self.kinds)})")
        names = np.array(self.symbols)
        self.mobile = np.concatenate([np.flatnonzero(names == name) for name in mobile])
        self.species = np.array([self.kinds.index(name) for name in self.symbols])
        framework = np.flatnonzero(~np.isin(names, mobile))
        if reference == "framework" and len(framework) == 0:
            raise InputError(_NO_FRAMEWORK)
        self.weights = reference_weights(self.symbols, framework, reference)
        self.displacements = np.empty((len(self.mobile), 3, trajectory.n_frames_hint or 1024), dtype=np.float32)
        self.previous: np.ndarray | None = None
        self.sums: list[np.ndarray] = []
        self.cells: list[np.ndarray] = []
        self.sizes: list[int] = []
        self.times: list[np.ndarray] = []
        self.steps: list[np.ndarray] = []
        self.usual_A, self.resolution_A = np.zeros(0), 0.0
        self.samples: list[np.ndarray] = []
        self.sample_frames: list[int] = []
        self.stride, self.count = 1, 0
        self.drift_A, self.drift = 0.0, [np.zeros(0, dtype=np.float32)]
        self.inside = True  # all atoms are in the cell, as wrapped positions are
        self.largest_steps: list[np.ndarray] = []
        self.leaps: list[np.ndarray] = []

    def add(self, chunk: Chunk) -> None:
        """Unwrap one chunk and keep what is needed of it."""
        from dpa_sse.ops.conductivity import kernels

        count, end = len(chunk.positions), self.count + len(chunk.positions)
        if not np.abs(chunk.cells).max() < _ABSURD:
            raise InputError(f"a cell beyond {_ABSURD:g} A between frames {self.count} and {end}: the file is damaged")
        try:
            inverses = np.linalg.inv(chunk.cells)
        except np.linalg.LinAlgError as error:
            raise InputError(f"a cell without volume between frames {self.count} and {end}") from error
        if self.previous is None:
            self._look(chunk, inverses)
            self.previous = (chunk.positions[0] - chunk.origins[0]) @ inverses[0]
            self.first = self.previous.copy()
            self.unwrapped = np.zeros_like(self.previous)
            self.leap = _LEAP_A / float(np.linalg.norm(chunk.cells[0], axis=1).max())
        self._grow_to(end)
        picked = np.arange(-self.count % self.stride, count, self.stride)
        samples = np.empty((len(picked), len(self.symbols), 3), dtype=np.float32)
        sums = np.empty((len(self.kinds), 3, count))
        steps = kernels.unwrap(
            kernels.Frames(chunk.positions, inverses, chunk.origins),
            kernels.Roles(self.weights, self.species, self.mobile),
            kernels.Running(self.previous, self.unwrapped),
            kernels.Kept(self.displacements[:, :, self.count : end], sums, samples, picked),
            self.trusted, self.leap,
        )
        if steps.largest.max() > _ABSURD:
            raise InputError(f"an atom crosses {steps.largest.max():.0e} cells at frame "
                             f"{self.count + int(steps.largest.argmax())}: the file is damaged")
        if not np.isfinite(self.unwrapped).all():  # one bad value stays in the running sum
            raise InputError(f"positions that are not numbers between frames {self.count} and {end}")
        drift = steps.drift @ chunk.cells[0]
        self.drift_A = max(self.drift_A, float(np.abs(drift).max()))
        self.drift.append(np.linalg.norm(drift, axis=1).astype(np.float32))
        self.largest_steps.append(steps.largest)
        self.leaps.append(steps.leaps)
        last = (chunk.positions[-1] - chunk.origins[-1]) @ inverses[-1]
        self.inside &= bool(((last > -0.02) & (last < 1.02)).all())
        self.sums.append(sums)
        self.cells.append(chunk.cells[:1] if (chunk.cells == chunk.cells[0]).all() else chunk.cells)
        self.sizes.append(count)
        self.times.append(chunk.times)
        self.steps.append(np.full(count, np.nan) if chunk.steps is None else chunk.steps)
        self.last_cell = np.array(chunk.cells[-1])
        self._keep(samples, (self.count + picked).tolist())
        self.count = end

    def _look(self, chunk: Chunk, inverses: np.ndarray) -> None:
        """Keep what shows a continuation, and the rounding of the positions, from the first chunk."""
        self.resolution_A = rounding_step(chunk.positions[0])
        frames = [
            Snapshot((chunk.positions[k] - chunk.origins[k]) @ inverses[k], np.array(chunk.cells[k]))
            for k in range(min(10, len(chunk.positions)))
        ]
        steps = [rms_by_species(a, b, self.species) for a, b in pairwise(frames)]
        self.usual_A = np.max(steps, axis=0) if steps else np.zeros(0)
        self.first_frame, self.early_frame = frames[0], frames[-1]

    def ends(self) -> Ends:
        """Return the ends of what was read."""
        steps, times = np.concatenate(self.steps), np.concatenate(self.times)
        stamps = steps if np.isfinite(steps).all() else times
        spacing = float(np.median(np.diff(stamps))) if len(stamps) > 1 else float("nan")
        last = Snapshot(np.array(self.previous), self.last_cell)
        return Ends(
            tuple(self.symbols), self.first_frame, self.early_frame, last, self.usual_A, self.species,
            float(stamps[0]), float(stamps[-1]), spacing, self.count, self._moved(),
        )

    def _moved(self) -> np.ndarray:
        """Return how far all atoms of the first mobile species together move from frame to frame, (T - 1, 3), A."""
        kind = self.species[self.mobile[0]]
        return np.diff(np.concatenate([sums[kind] for sums in self.sums], axis=1), axis=1).T @ self.last_cell

    def _grow_to(self, n_frames: int) -> None:
        """Make room for a number of frames."""
        held = self.displacements
        if n_frames > held.shape[2]:
            self.displacements = np.empty((*held.shape[:2], max(2 * held.shape[2], n_frames)), np.float32)
            self.displacements[:, :, : self.count] = held[:, :, : self.count]

    def all_cells(self) -> np.ndarray:
        """Return the cell of every frame, (T, 3, 3), or (1, 3, 3) when it never changes."""
        first = self.cells[0][:1]
        if all(len(cells) == 1 and (cells == first).all() for cells in self.cells):
            return first
        sizes = zip(self.cells, self.sizes, strict=True)
        return np.concatenate([np.broadcast_to(cells, (size, 3, 3)) for cells, size in sizes])

    def _keep(self, samples: np.ndarray, frames: list[int]) -> None:
        """Keep frames of all atoms; when there are too many, every other one is dropped."""
        self.samples += list(samples)
        self.sample_frames += frames
        while len(self.samples) > 2 * _SAMPLES:
            self.stride *= 2
            even = [k for k, frame in enumerate(self.sample_frames) if frame % self.stride == 0]
            self.samples = [self.samples[k].copy() for k in even]
            self.sample_frames = [self.sample_frames[k] for k in even]


def reference_weights(symbols: list[str], framework: np.ndarray, reference: str) -> np.ndarray:
    """Return the weights (N,) of the atoms in the drift to subtract: framework mean, centre of mass, or nothing."""
    weights = np.zeros(len(symbols))
    if reference == "framework":
        weights[framework] = 1.0
    elif reference == "barycentre":
        from ase.data import atomic_masses, atomic_numbers

        weights[:] = [atomic_masses[atomic_numbers[name]] for name in symbols]
    return weights / weights.sum() if weights.any() else weights


def read_displacements(
    trajectory: Trajectory, mobile: list[str], reference: str = "framework", skip_ps: float = 0.0
) -> Displacements:
    """Read a trajectory to its end and return the unwrapped, drift-free displacements of the mobile ions.

    Parameters
    ----------
    trajectory : Trajectory
        Consumed.
    mobile : list of str
        Mobile species.
    reference : str
        ``framework`` (mean of all other atoms), ``barycentre`` (centre of mass of all atoms) or ``laboratory``.
    skip_ps : float
        Time left out at the start, ps.

    Raises
    ------
    InputError
        The file is damaged, has no mobile species, no framework, no known time step, or fewer than ten frames.
    """
    state = _read(trajectory, mobile, reference)
    times = frame_times(np.concatenate(state.times), np.concatenate(state.steps), trajectory.facts, trajectory.notes)
    if (np.diff(times) <= 0).any():
        trajectory, state, times = _joined(trajectory, state, times, mobile, reference)
    if state.count < 10:
        raise TooFewFramesError(f"only {state.count} frames; at least ten are needed", state.ends())
    notes = list(trajectory.notes)
    ends = state.ends()
    keep, dt_ps = even_section(times, skip_ps, notes, trajectory.left_out)
    cells = state.all_cells()
    cells = cells[keep] if len(cells) > 1 else cells
    cell, volume = cells.mean(axis=0), float(np.abs(np.linalg.det(cells)).mean())
    from dpa_sse.ops.conductivity import kernels

    mobile_A = state.displacements[:, :, keep]
    kernels.to_cartesian(mobile_A, cell)
    sums = np.concatenate(state.sums, axis=2)[:, :, keep]
    state.sums.clear()
    inside = [k for k, frame in enumerate(state.sample_frames) if keep.start <= frame < keep.stop]
    return Displacements(
        symbols=trajectory.symbols,
        mobile=mobile_A,
        mobile_symbols=[trajectory.symbols[i] for i in state.mobile],
        sums={name: np.einsum("ct,cd->dt", sums[k], cell) for k, name in enumerate(state.kinds)},
        counts={name: trajectory.symbols.count(name) for name in state.kinds},
        cell=cell,
        volume_A3=volume,
        dt_ps=dt_ps,
        first=state.first,
        samples=np.array([state.samples[k] for k in inside]),
        sample_frames=np.array([state.sample_frames[k] - keep.start for k in inside]),
        drift=np.concatenate(state.drift)[keep],
        drift_A=state.drift_A,
        resolution_A=state.resolution_A,
        left_out=dict(trajectory.left_out),
        ends=ends,
        problems=_problems(state, cells, volume),
        notes=notes,
    )


def _problems(state: _Pass, cells: np.ndarray, volume: float) -> list[str]:
    """Return what makes every number of the run unreliable; at most one reason for jumps."""
    problems = []
    change = (np.diff(cells, axis=0) ** 2).sum(axis=2)
    flips = (change > 0.01 * (cells[:-1] ** 2).sum(axis=2)).any()
    if flips or abs(abs(np.linalg.det(cells.mean(axis=0))) / volume - 1) > 0.02:
        problems.append("the cell vectors turn or flip during the run, so positions cannot be unwrapped")
    steps, leaps = np.concatenate(state.largest_steps), np.concatenate(state.leaps)
    usual, most = float(np.median(steps)), float(steps.max())
    if not state.trusted and usual > _JUMP / 2:
        problems.append(
            f"atoms move {usual:.2f} of a cell between two frames: frames are too far apart to undo periodic jumps; "
            "write frames more often, or unwrapped positions"
        )
    elif state.trusted and most > 0.8 and (state.inside or np.quantile(steps, 0.1) < 0.25):
        problems.append(
            f"positions that should be unwrapped jump by {most:.2f} of a cell at frame {int(steps.argmax())}: they are "
            "wrapped after all (--wrapped undoes the jumps), or another run starts there"
        )
    elif leaps.max() >= 2 and state.leap > 4 * usual:
        problems.append(
            f"{int(leaps.max())} atoms move by more than {_LEAP_A:g} A at frame {int(leaps.argmax())}: frames are "
            "missing, or atoms change order"
        )
    elif not state.trusted and most > _JUMP:
        problems.append(f"an atom moves {most:.2f} of a cell between two frames: its periodic image is ambiguous")
    return problems


def _read(trajectory: Trajectory, mobile: list[str], reference: str) -> _Pass:
    """Read a trajectory to its end.

    Raises
    ------
    InputError
        No frame is left, or the reader refuses the file.
    """
    state = _Pass(trajectory, mobile, reference)
    for chunk in trajectory.chunks:
        state.add(chunk)
    if not state.count:
        raise InputError("no complete frame")
    return state


def _joined(
    trajectory: Trajectory, state: _Pass, times: np.ndarray, mobile: list[str], reference: str
) -> tuple[Trajectory, _Pass, np.ndarray]:
    """Read a trajectory whose time goes back again, as one run."""
    again = trajectory.again
    if again is None:
        raise InputError(f"time does not increase at frame {int(np.flatnonzero(np.diff(times) <= 0)[0]) + 1}")
    plan = plan_joins(times, state.species, again)
    joined = again()
    joined.unwrapped = False  # image flags may start again as well
    joined.chunks = kept_chunks(joined.chunks, plan.keep)
    state = _read(joined, mobile, reference)
    joined.notes = [*dict.fromkeys([*trajectory.notes, plan.note])]
    joined.left_out = dict(trajectory.left_out)
    if not plan.keep.all():
        leave_out(joined.left_out, REPEATED, int((~plan.keep).sum()))
    return joined, state, plan.times


class TooFewFramesError(InputError):
    """A trajectory with fewer than ten frames; its ends show whether it is a part of a run."""

    def __init__(self, message: str, ends: Ends) -> None:
        super().__init__(message)
        self.ends = ends
