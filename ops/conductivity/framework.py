"""Is the framework still a solid? RMSD, displaced atoms, and intact PS4 (GeS4, ...) units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dpa_sse.ops.conductivity.displacements import Displacements
from dpa_sse.ops.results.trajectory import FrameworkState, Sublattice
from dpa_sse.ops.structures.host_lattice import (
    FORMERS,
    LIGANDS,
    LINDEMANN,
    Motion,
    covalent_sums,
    drift_of,
    find_framework,
    judge_motion,
)

_BOND = 1.25  # of the sum of covalent radii
_KEPT = 1.6  # a bond at the end
_TURNED_A = 1.5
_PAIRS = 1_000_000
_DECOMPOSED = 0.9  # share of the polyhedra that must keep their number of ligands


@dataclass(frozen=True)
class FrameworkCheck:
    """State of the framework, why it is no longer a solid (empty for a solid), and remarks on one that is."""

    state: FrameworkState
    melted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def check_framework(displacements: Displacements, mobile: list[str]) -> FrameworkCheck:
    """Check whether the framework stayed a solid during a run.

    The melting criteria are those of :mod:`dpa_sse.ops.structures.host_lattice`, applied to positions averaged over the
    first and the last tenth of the run.

    Parameters
    ----------
    displacements : Displacements
    mobile : list of str
        Mobile species, which do not belong to the framework.
    """
    symbols = np.array(displacements.symbols)
    atoms = np.flatnonzero(~np.isin(symbols, mobile))
    cell, samples = displacements.cell, displacements.samples
    if len(atoms) == 0 or len(samples) < 10:
        return FrameworkCheck(FrameworkState(n_atoms=len(atoms)))
    framework = find_framework(displacements.symbols, cell, displacements.first @ cell, mobile)
    tenth = max(1, len(samples) // 10)
    shift = (samples[-tenth:].mean(axis=0) - samples[:tenth].mean(axis=0)) @ cell
    motion = judge_motion(framework, shift[framework.sites])
    drift = drift_of(framework, shift[framework.sites])
    turned = np.linalg.norm(shift[framework.bonded] - drift, axis=1) > _TURNED_A
    moves = samples[:, atoms] @ cell
    slope, sigma = _slope(moves, displacements)
    whole, coordinated = units_kept(displacements)
    state = FrameworkState(
        n_atoms=len(atoms),
        rmsd_A=float(np.sqrt(((moves - moves.mean(axis=0)) ** 2).sum(axis=2).mean())),
        spacing_A=framework.spacing_A,
        largest_displacement_A=max((one["largest_A"] for one in motion.sublattices.values()), default=0.0),
        moved_fraction=sum(one["displaced"] for one in motion.sublattices.values()) / max(1, len(framework.sites)),
        sublattices={name: Sublattice(**one) for name, one in motion.sublattices.items()},
        turned_fraction=float(turned.mean()) if len(turned) else None,
        msd_slope_A2_ps=slope,
        msd_slope_sigma_A2_ps=sigma,
        whole_units_fraction=whole,
        coordinated_fraction=coordinated,
        drift_A=displacements.drift_A,
    )
    return _assess(motion, state)


def _assess(motion: Motion, state: FrameworkState) -> FrameworkCheck:
    """Add why the framework is no longer a solid, and what to know about one that is."""
    melted, notes = list(motion.melted), []
    whole, coordinated, turned = state.whole_units_fraction, state.coordinated_fraction, state.turned_fraction
    if coordinated is not None and coordinated < _DECOMPOSED:
        melted.append(f"only {coordinated:.0%} of the PS4-like units have all their atoms: decomposition")
    elif whole is not None and whole < 1:
        notes.append(f"{1 - whole:.0%} of the PS4-like units exchanged atoms")
    if not melted and motion.exchanged:
        notes.append(motion.exchanged)
    if not melted and turned is not None and turned > 0.02:
        notes.append(f"rotation of polyhedra: {turned:.0%} of their anions changed place")
    return FrameworkCheck(state, tuple(melted), tuple(notes))


def _slope(moves: np.ndarray, displacements: Displacements) -> tuple[float, float]:
    """Return slope of the framework MSD (A^2/ps) between lags T/8 and T/2 and its scatter over five atom groups."""
    count = len(moves)
    lags = np.unique(np.linspace(max(1, count // 8), count // 2, 8).astype(int))
    if len(lags) < 2:
        return 0.0, 0.0
    curves = np.array([((moves[lag:] - moves[:-lag]) ** 2).sum(axis=2).mean(axis=0) for lag in lags])
    times = lags * float(np.median(np.diff(displacements.sample_frames))) * displacements.dt_ps
    slopes = np.polyfit(times, curves, 1)[0]
    groups = np.array([slopes[k::5].mean() for k in range(min(5, len(slopes)))])
    spread = float(groups.std(ddof=1) / np.sqrt(len(groups))) if len(groups) > 1 else abs(float(slopes.mean()))
    return float(slopes.mean()), spread


@dataclass(frozen=True)
class SublatticeMotion:
    """The melting check against time.

    Attributes
    ----------
    times_ps : numpy.ndarray
        (K,), centres of the averages.
    rms_A : dict
        Element -> (K,) rms displacement of its sublattice since the first average, A.
    limit_A : float
        Above it a sublattice counts as molten.
    """

    times_ps: np.ndarray
    rms_A: dict[str, np.ndarray]
    limit_A: float


def sublattice_motion(displacements: Displacements, mobile: list[str]) -> SublatticeMotion | None:
    """Return the rms displacement of each sublattice against time; None without a framework or below 40 samples.

    Positions are averaged over a twentieth of the run.
    """
    samples, cell = displacements.samples, displacements.cell
    atoms = np.flatnonzero(~np.isin(np.array(displacements.symbols), mobile))
    if len(atoms) == 0 or len(samples) < 40:
        return None
    framework = find_framework(displacements.symbols, cell, displacements.first @ cell, mobile)
    if framework.spacing_A is None:
        return None
    parts = np.array_split(np.arange(len(samples)), 20)
    means = np.array([samples[part][:, framework.sites].mean(axis=0) for part in parts])
    shift = (means - means[0]) @ cell
    squares = ((shift - drift_of(framework, shift)[:, None]) ** 2).sum(axis=2)
    times = np.array([displacements.sample_frames[part].mean() for part in parts]) * displacements.dt_ps
    names = sorted(set(framework.names.tolist()))
    rms = {name: np.sqrt(squares[:, framework.names == name].mean(axis=1)) for name in names}
    return SublatticeMotion(times, rms, LINDEMANN * framework.spacing_A)


def framework_msd(displacements: Displacements, mobile: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return lag times (ps) and MSD of the framework (A^2) from the sampled frames, (K,) each, for the figure."""
    samples = displacements.samples
    framework = np.flatnonzero(~np.isin(np.array(displacements.symbols), mobile))
    if len(framework) == 0 or len(samples) < 10:
        return np.array([]), np.array([])
    moves = (samples[:, framework] @ displacements.cell).astype(np.float32)
    lags = np.unique(np.rint(np.geomspace(1, len(moves) // 2, 12)).astype(int))
    values = [float(((moves[lag:] - moves[:-lag]) ** 2).sum(axis=2).mean()) for lag in lags]
    return lags * float(np.median(np.diff(displacements.sample_frames))) * displacements.dt_ps, np.array(values)


def units_kept(displacements: Displacements) -> tuple[float | None, float | None]:
    """Return the fraction of the polyhedra that keep all their ligands, and that have as many as at the start.

    A unit is a network former (P, Ge, ...) with its S, O or Se neighbours within 1.25 times the sum of covalent radii
    in the first sampled frame. At the end a bond counts as kept, and any ligand as bonded, below 1.6 times that sum in
    at least half of the last frames. Both are None without such units.
    """
    symbols = np.array(displacements.symbols)
    centres = np.flatnonzero(np.isin(symbols, sorted(FORMERS)))
    ligands = np.flatnonzero(np.isin(symbols, sorted(LIGANDS)))
    if len(centres) == 0 or len(ligands) == 0:
        return None, None
    elements, kind = np.unique(symbols, return_inverse=True)
    sums = covalent_sums(elements.tolist())
    late = displacements.samples[-min(9, len(displacements.samples)) :]
    counts = np.zeros(3)
    step = max(1, _PAIRS // len(ligands))
    for first in range(0, len(centres), step):  # in batches: large cells have many pairs
        some = centres[first : first + step]
        limits = sums[kind[some]][:, kind[ligands]]
        bonds = _distances(displacements, some, ligands, displacements.samples[0]) < _BOND * limits
        close = [_distances(displacements, some, ligands, moves) < _KEPT * limits for moves in late]
        bonded = np.mean(close, axis=0) >= 0.5
        units = bonds.any(axis=1)
        whole = (bonded | ~bonds)[units].all(axis=1)
        enough = bonded[units].sum(axis=1) >= bonds[units].sum(axis=1)
        counts += units.sum(), whole.sum(), enough.sum()
    return (float(counts[1] / counts[0]), float(counts[2] / counts[0])) if counts[0] else (None, None)


def _distances(displacements: Displacements, centres: np.ndarray, ligands: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Return distances (A) of the nearest images in one sampled frame, (centres, ligands)."""
    reduced = displacements.first + moves
    delta = reduced[ligands][None] - reduced[centres][:, None]
    return np.linalg.norm((delta - np.rint(delta)) @ displacements.cell, axis=2)
