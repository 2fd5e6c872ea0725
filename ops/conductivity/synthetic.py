"""Synthetic trajectories with a known diffusion coefficient, to calibrate the error bars.

Ions vibrate (white noise), rattle in their cage (Ornstein-Uhlenbeck process) and hop by vectors of fixed length and
random direction at Poisson times; some of the hops are shared by groups of ions, which changes only the collective
diffusion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class HopModel:
    """Parameters of an ensemble; the tracer diffusion coefficient is exact.

    Attributes
    ----------
    D_A2_ps : float
        Tracer diffusion coefficient, A^2/ps (1e-4 cm^2/s each).
    shared, group : float, int
        Fraction of the hops that an ion makes together with ``group - 1`` others, all by the same vector.
    back_jumps : bool
        Hops lead back and forth between two sites: D is zero, and ``D_A2_ps`` only sets the hop rate.
    cage_sites : bool
        Hops lead to a random neighbour among the twelve corners of an icosahedron with edge ``hop_A``, as Li does
        within the cages of an argyrodite: D is zero, the MSD goes to 1.8 hop_A^2.
    """

    n_ions: int = 40
    n_frames: int = 2000
    dt_ps: float = 0.1
    D_A2_ps: float = 0.1
    hop_A: float = 3.0
    shared: float = 0.25
    group: int = 5
    vibration_A: float = 0.25
    cage_A: float = 0.7
    cage_ps: float = 3.0
    back_jumps: bool = False
    cage_sites: bool = False

    @property
    def collective_diffusion(self) -> float:
        """Collective diffusion coefficient of the mobile ions, D (1 - C + K C)."""
        return self.D_A2_ps * (1 - self.shared + self.group * self.shared)

    @property
    def true_diffusion(self) -> float:
        """Tracer diffusion coefficient."""
        return 0.0 if self.back_jumps or self.cage_sites else self.D_A2_ps


def simulate(model: HopModel, seed: int) -> np.ndarray:
    """Return displacements of the ions, (N, 3, T) float64, A.

    MSD(t) = 6 D t + 6 vibration^2 (white, t > 0) + 6 cage^2 (1 - exp(-t / cage_ps)).
    """
    rng = np.random.default_rng(seed)
    n, frames, dt = model.n_ions, model.n_frames, model.dt_ps
    jumps = np.zeros((n, 3, frames))
    rate = 6 * model.D_A2_ps / model.hop_A**2  # hops per ion and ps
    _add_hops(jumps, rng, np.arange(n)[:, None], rate * (1 - model.shared) * n, model)
    if model.shared:
        groups = rate * model.shared * n / model.group
        _add_hops(jumps, rng, None, groups, model)
    if model.cage_sites:
        positions = _icosahedron(jumps, rng, model)
    else:
        positions = _two_sites(jumps, rng, model) if model.back_jumps else np.cumsum(jumps, axis=2)
    if model.cage_A > 0:
        positions += _ornstein_uhlenbeck(rng, (n, 3, frames), model.cage_A, model.cage_ps, dt)
    positions += model.vibration_A * rng.standard_normal((n, 3, frames))
    return positions


def _directions(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.standard_normal((count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _add_hops(
    jumps: np.ndarray, rng: np.random.Generator, single: np.ndarray | None, events_per_ps: float, model: HopModel
) -> None:
    """Add Poisson hops: of single ions, or of random groups if ``single`` is None."""
    n, _, frames = jumps.shape
    count = rng.poisson(events_per_ps * (frames - 1) * model.dt_ps)
    when = rng.integers(1, frames, count)
    vectors = model.hop_A * _directions(rng, count)
    if single is not None:
        who = rng.integers(0, n, (count, 1))
    else:
        who = np.argsort(rng.random((count, n)), axis=1)[:, : model.group]
    for column in range(who.shape[1]):
        for axis in range(3):
            np.add.at(jumps[:, axis], (who[:, column], when), vectors[:, axis])


def _two_sites(jumps: np.ndarray, rng: np.random.Generator, model: HopModel) -> np.ndarray:
    """Return positions of ions that jump between two sites at the times of ``jumps``."""
    events = (jumps != 0).any(axis=1)
    state = np.cumsum(events, axis=1) % 2
    axis = model.hop_A * _directions(rng, jumps.shape[0])
    return axis[:, :, None] * state[:, None, :]


def _icosahedron(jumps: np.ndarray, rng: np.random.Generator, model: HopModel) -> np.ndarray:
    """Return positions of ions that jump between neighbouring corners of an icosahedron at the times of ``jumps``."""
    golden = (1 + np.sqrt(5)) / 2
    corners = np.array([[0, a, b * golden] for a in (-1, 1) for b in (-1, 1)])
    corners = np.concatenate([corners, corners[:, [1, 2, 0]], corners[:, [2, 0, 1]]]) * model.hop_A / 2
    neighbours = np.argsort(np.linalg.norm(corners[:, None] - corners[None], axis=2), axis=1)[:, 1:6]
    positions = np.empty(jumps.shape)
    for ion, events in enumerate((jumps != 0).any(axis=1)):
        site, start = int(rng.integers(12)), 0
        for frame in [*np.flatnonzero(events), jumps.shape[2]]:
            positions[ion, :, start:frame] = corners[site][:, None]
            site, start = int(rng.choice(neighbours[site])), int(frame)
    return positions


def _ornstein_uhlenbeck(
    rng: np.random.Generator, shape: tuple[int, ...], amplitude: float, time_ps: float, dt_ps: float
) -> np.ndarray:
    """Return a stationary Ornstein-Uhlenbeck process along the last axis."""
    from scipy.signal import lfilter

    decay = np.exp(-dt_ps / time_ps)
    noise = rng.standard_normal(shape) * amplitude * np.sqrt(1 - decay**2)
    noise[..., 0] = rng.standard_normal(shape[:-1]) * amplitude
    return lfilter([1.0], [1.0, -decay], noise, axis=-1)
