"""Molecular dynamics of several copies of a cell at once: all copies are one call of the potential.

A copy costs half as much in a batch as alone, and any potential that gives forces can be run: a model file, a
labeler, a formula. The integrators are velocity Verlet (NVE) and BAOAB (Langevin; Leimkuhler and Matthews, J. Chem.
Phys. 138, 174102 (2013)), whose configurations are nearly exact at usual time steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.validation.gates.base import KB_EV_K, Array, Labels, Potential

if TYPE_CHECKING:
    from ase import Atoms

FS = 0.09822694788464063
"""A femtosecond in units of A sqrt(u/eV)."""


@dataclass(frozen=True)
class Segment:
    """A part of a run.

    Attributes
    ----------
    steps : int
    start_K, end_K : float
        Temperature of the thermostat at both ends.
    friction_ps : float
        Friction, 1/ps; 0 for NVE.
    sample_every : int
        Steps between stored frames; 0 for none.
    """

    steps: int
    start_K: float
    end_K: float
    friction_ps: float
    sample_every: int


def _temperature(kinetic: Array, atoms: int) -> Array:
    """Return temperatures, K, of kinetic energies in eV; the centre of mass is at rest."""
    return np.asarray(2 * kinetic / (3 * (atoms - 1)) / KB_EV_K)


@dataclass
class Batch:
    """Copies of a cell: positions and velocities (n, N, 3) in A and A/fs-free units of :data:`FS`, masses (N,) in u."""

    symbols: list[str]
    cell: Array
    masses: Array
    positions: Array
    velocities: Array
    forces: Array
    energy: Array

    @property
    def kinetic(self) -> Array:
        """Kinetic energies, (n,), eV."""
        return np.asarray(0.5 * (self.masses[None, :, None] * self.velocities**2).sum(axis=(1, 2)))

    @property
    def temperature(self) -> Array:
        """Temperatures, (n,), K."""
        return _temperature(self.kinetic, len(self.masses))


@dataclass
class Trajectory:
    """Stored frames of all copies in one segment.

    Attributes
    ----------
    symbols : list of str
    cell : ndarray, shape (3, 3)
    positions, forces : ndarray, shape (T, n, N, 3)
        Not wrapped into the cell.
    energy, kinetic : ndarray, shape (T, n)
        eV.
    virial : ndarray, shape (T, n, 3, 3)
    dt_fs : float
        Between frames.
    ended : list
        For each copy, why it ended early; empty if it did not. Its frames after that are NaN.
    """

    symbols: list[str]
    cell: Array
    positions: Array
    forces: Array
    energy: Array
    kinetic: Array
    virial: Array
    dt_fs: float
    ended: list[str]

    @property
    def temperature(self) -> Array:
        """Temperatures, (T, n), K."""
        return _temperature(self.kinetic, len(self.symbols))

    @property
    def whole(self) -> list[int]:
        """Copies that reached the end."""
        return [k for k, why in enumerate(self.ended) if not why]

    @property
    def length_ps(self) -> float:
        """Length of a copy."""
        return max(0, len(self.positions) - 1) * self.dt_fs / 1000


def start_batch(potential: Potential, atoms: Atoms, copies: int, temperature_K: float, seed: int) -> Batch:
    """Return copies of a cell with random velocities of a temperature, the centre of mass at rest."""
    masses = np.asarray(atoms.get_masses(), float)
    velocities = np.empty((copies, len(atoms), 3))
    for k in range(copies):
        rng = np.random.default_rng(derive_seed(seed, "velocities", k))
        drawn = rng.normal(size=(len(atoms), 3)) * np.sqrt(KB_EV_K * temperature_K / masses)[:, None]
        velocities[k] = drawn - (masses[:, None] * drawn).sum(axis=0) / masses.sum()
    positions = np.repeat(atoms.positions[None], copies, axis=0)
    batch = Batch(
        atoms.get_chemical_symbols(), atoms.cell.array.copy(), masses, positions, velocities,
        np.zeros_like(positions), np.zeros(copies),
    )
    _update(potential, batch)
    return batch


def _update(potential: Potential, batch: Batch) -> Labels:
    cells = np.repeat(batch.cell[None], len(batch.positions), axis=0)
    labels = potential.evaluate(batch.symbols, batch.positions, cells)
    batch.forces, batch.energy = labels.force, labels.energy
    return labels


def run_segments(
    potential: Potential, batch: Batch, segments: Sequence[Segment], timestep_fs: float, seed: int,
    limit_K: float = np.inf,
) -> list[Trajectory]:
    """Run a batch through segments, in turn; a copy that is too hot, or whose energy is not a number, stops.

    Parameters
    ----------
    potential : Potential
    batch : Batch
        Changed in place.
    segments : sequence of Segment
    timestep_fs : float
    seed : int
        Of the thermostat.
    limit_K : float
        A copy hotter than this has exploded.
    """
    dt = timestep_fs * FS
    rng = np.random.default_rng(derive_seed(seed, "thermostat"))
    ended = [""] * len(batch.positions)
    inverse = 1.0 / batch.masses[None, :, None]
    found, clock = [], 0.0
    for segment in segments:
        every = segment.sample_every
        frames: list[tuple[Array, Labels, Array]] = []
        labels: Labels | None = None
        for step in range(segment.steps + 1):
            if step:
                clock += timestep_fs
                ramp = segment.start_K + (segment.end_K - segment.start_K) * step / segment.steps
                with np.errstate(over="ignore", invalid="ignore"):
                    batch.velocities += 0.5 * dt * batch.forces * inverse
                    batch.positions += (0.5 * dt if segment.friction_ps else dt) * batch.velocities
                    if segment.friction_ps:
                        _thermostat(batch, ramp, segment.friction_ps * timestep_fs / 1000, rng)
                        batch.positions += 0.5 * dt * batch.velocities
                    labels = _update(potential, batch)
                    batch.velocities += 0.5 * dt * batch.forces * inverse
                _stop_broken(batch, ended, clock, limit_K)
            if every and step % every == 0:
                if labels is None:
                    labels = _update(potential, batch)
                frames.append((batch.positions.copy(), labels, batch.kinetic))
        if every:
            found.append(_trajectory(batch, frames, every * timestep_fs, ended))
    return found


def _thermostat(batch: Batch, temperature_K: float, damping: float, rng: np.random.Generator) -> None:
    """Apply the exact Ornstein-Uhlenbeck step; the centre of mass stays at rest."""
    keep = np.exp(-damping)
    width = np.sqrt((1 - keep**2) * KB_EV_K * temperature_K / batch.masses)[None, :, None]
    batch.velocities = keep * batch.velocities + width * rng.normal(size=batch.velocities.shape)
    weights = batch.masses[None, :, None] / batch.masses.sum()
    batch.velocities -= (weights * batch.velocities).sum(axis=1, keepdims=True)


def _stop_broken(batch: Batch, ended: list[str], clock_fs: float, limit_K: float) -> None:
    temperature = batch.temperature
    for k, why in enumerate(ended):
        if why:
            batch.velocities[k] = 0
        elif not (np.isfinite(batch.energy[k]) and np.isfinite(batch.forces[k]).all()):
            ended[k] = f"energy or forces are not numbers after {clock_fs / 1000:.3g} ps"
        elif temperature[k] > limit_K:
            ended[k] = f"{temperature[k]:.0f} K after {clock_fs / 1000:.3g} ps"
        else:
            continue
        batch.velocities[k] = 0
        batch.forces[k] = 0
        if not np.isfinite(batch.positions[k]).all():
            batch.positions[k] = np.nan_to_num(batch.positions[k])


def _trajectory(
    batch: Batch, frames: Sequence[tuple[Array, Labels, Array]], dt_fs: float, ended: Sequence[str]
) -> Trajectory:
    energy = np.array([labels.energy for _, labels, _ in frames], float)
    return Trajectory(
        batch.symbols, batch.cell.copy(), np.array([positions for positions, _, _ in frames]),
        np.array([labels.force for _, labels, _ in frames]), energy,
        np.array([kinetic for _, _, kinetic in frames]), np.array([labels.virial for _, labels, _ in frames]),
        dt_fs, list(ended),
    )
