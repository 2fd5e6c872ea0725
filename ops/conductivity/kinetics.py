"""Kinetic check of the time axis: whether ions move as fast as their temperature and mass say.

Equipartition gives <v^2> = 3 k T / m, which bounds the mean squared displacement of classical motion at every time:
MSD(t) <= 3 k T t^2 / m. Where the first lags rise almost as t^2, frames resolve the vibrations, and the initial slope
is the temperature itself.
"""

from __future__ import annotations

import numpy as np

from dpa_sse.ops.conductivity.displacements import Displacements
from dpa_sse.ops.results.trajectory import KineticState

KB_AMU_A2_PS2 = 0.8314462618  # k in amu A^2 / (ps^2 K)
_TOO_HOT, _TOO_COLD = 1.5, 0.55
_RISE = 1.5
_BLOCKS, _BLOCK_FRAMES = 8, 128
_CHANCE = 1e-6


def check_kinetics(displacements: Displacements, species: str, temperature_K: float) -> tuple[KineticState, str]:
    """Return how fast a mobile species moves between frames, and why that is impossible; empty where it is not.

    Parameters
    ----------
    displacements : Displacements
    species : str
        Mobile species.
    temperature_K : float
        Temperature of the run.
    """
    from ase.data import atomic_masses, atomic_numbers

    series = displacements.of(species)
    first, second = short_msd(series)
    noise = 0.5 * displacements.resolution_A**2  # rounding of three coordinates at both ends
    first, second = first - noise, second - noise
    state = KineticState(msd_A2=max(first, 0.0))
    if temperature_K <= 0 or first <= 2 * noise + 1e-12 or not np.isfinite([first, second]).all():
        return state, ""
    unit = float(atomic_masses[atomic_numbers[species]]) / (3 * KB_AMU_A2_PS2 * displacements.dt_ps**2)
    rise = float(np.log2(second / first)) if second > 0 else 0.0
    state = state.model_copy(update={"exponent": rise, "lowest_K": first * unit})
    low, high = _limits(len(series))
    if rise > _RISE:
        state = state.model_copy(update={"temperature_K": (4 * first - second / 4) / 3 * unit})
    # the mean square of the step, without the t^4 term of vibrations, where that can be taken off
    hottest = state.temperature_K or first * unit
    if hottest > high * temperature_K:
        return state, _reason(species, hottest, temperature_K, displacements.dt_ps, "short", state.temperature_K)
    if state.temperature_K is not None and state.temperature_K < low * temperature_K:
        return state, _reason(species, state.temperature_K, temperature_K, displacements.dt_ps, "long", 1.0)
    return state, ""


def _limits(n_ions: int) -> tuple[float, float]:
    """Return the lowest and highest ratio of temperatures that chance explains.

    Vibrations of a crystal keep their energy for long, so each ion counts once, however long the run.
    """
    from scipy.stats import chi2

    degrees = 3 * max(1, n_ions)
    low, high = chi2.ppf(_CHANCE, degrees) / degrees, chi2.isf(_CHANCE, degrees) / degrees
    return _TOO_COLD * float(low), _TOO_HOT * float(high)


def _reason(
    species: str, found_K: float, given_K: float, dt_ps: float, direction: str, resolved: float | None
) -> str:
    factor = float(np.sqrt(max(found_K / given_K, given_K / found_K)))
    bound = "" if resolved else " at least"
    return (
        f"{species} moves between frames as at{bound} {found_K:.3g} K, not {given_K:g} K: is the time between frames "
        f"({dt_ps * 1e3:.4g} fs) {factor:.2g} times too {direction}, or the temperature or element wrong?"
    )


def short_msd(series: np.ndarray) -> tuple[float, float]:
    """Return the MSD at one and two frames (A^2) of displacements (M, 3, T), from some blocks of a long run.

    The mean of all ions is taken off, so that a drift does not count.
    """
    n_ions, _, n_frames = series.shape
    if n_frames <= _BLOCKS * _BLOCK_FRAMES:
        parts = [series]
    else:
        starts = np.linspace(0, n_frames - _BLOCK_FRAMES, _BLOCKS).astype(int)
        parts = [series[:, :, start : start + _BLOCK_FRAMES] for start in starts]
    return _msd(parts, 1, n_ions), _msd(parts, 2, n_ions)


def _msd(parts: list[np.ndarray], lag: int, n_ions: int) -> float:
    total, count = 0.0, 0
    for part in parts:
        steps = (part[:, :, lag:] - part[:, :, :-lag]).astype(np.float64)
        if n_ions > 1:
            steps -= steps.mean(axis=0, keepdims=True)
        total += float((steps**2).sum())
        count += steps.shape[2]
    return total / max(1, count) / max(1, n_ions - 1)
