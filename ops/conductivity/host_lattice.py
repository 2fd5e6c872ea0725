"""Is the framework still a solid? RMSD, displaced atoms, and whole PS4 (GeS4, ...) units."""

from __future__ import annotations

from typing import Any

import numpy as np

from dpa_sse.ops.conductivity.tracks import Tracks
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


def check_framework(tracks: Tracks, mobile: list[str]) -> dict[str, Any]:
    """Return the state of the framework during a run.

    The criteria of melting are those of :mod:`dpa_sse.ops.structures.host_lattice`, on positions averaged over the
    first and the last tenth of the run.

    Parameters
    ----------
    tracks : Tracks
    mobile : list of str
        Mobile species, left out here.

    Returns
    -------
    dict
        ``rmsd_A`` (from the mean positions), ``largest_displacement_A`` and ``moved_fraction`` (sites displaced by more
        than half of ``spacing_A``), ``sublattices`` (element -> sites, displaced, rms_A, largest_A),
        ``turned_fraction`` (bonded anions displaced by more than 1.5 A), ``msd_slope_A2_ps`` with
        ``msd_slope_sigma_A2_ps``, ``whole_units_fraction`` (PS4-like units that keep their ligands) and
        ``coordinated_fraction`` (that have as many as at the start; both None without such units), ``melted`` (reasons,
        empty for a solid) and ``notes``.
    """
    symbols = np.array(tracks.symbols)
    atoms = np.flatnonzero(~np.isin(symbols, mobile))
    if len(atoms) == 0 or len(tracks.samples) < 10:
        return {"n_atoms": len(atoms), "melted": [], "notes": []}
    host = find_framework(tracks.symbols, tracks.cell, tracks.first @ tracks.cell, mobile)
    tenth = max(1, len(tracks.samples) // 10)
    shift = (tracks.samples[-tenth:].mean(axis=0) - tracks.samples[:tenth].mean(axis=0)) @ tracks.cell
    motion = judge_motion(host, shift[host.sites])
    turned = np.linalg.norm(shift[host.bonded] - drift_of(host, shift[host.sites]), axis=1) > _TURNED_A
    moves = tracks.samples[:, atoms] @ tracks.cell
    slope, sigma = _slope(moves, tracks)
    whole, coordinated = units_kept(tracks)
    state = {
        "n_atoms": len(atoms),
        "rmsd_A": float(np.sqrt(((moves - moves.mean(axis=0)) ** 2).sum(axis=2).mean())),
        "spacing_A": host.spacing_A,
        "largest_displacement_A": max((one["largest_A"] for one in motion.sublattices.values()), default=0.0),
        "moved_fraction": sum(one["displaced"] for one in motion.sublattices.values()) / max(1, len(host.sites)),
        "sublattices": motion.sublattices,
        "turned_fraction": float(turned.mean()) if len(turned) else None,
        "msd_slope_A2_ps": slope,
        "msd_slope_sigma_A2_ps": sigma,
        "whole_units_fraction": whole,
        "coordinated_fraction": coordinated,
        "drift_A": tracks.drift_A,
    }
    return state | _words(motion, state)


def _words(motion: Motion, state: dict[str, Any]) -> dict[str, list[str]]:
    """Return why the host is no solid any more, and what a reader should know of one that is."""
    melted, notes = list(motion.melted), []
    whole, coordinated, turned = state["whole_units_fraction"], state["coordinated_fraction"], state["turned_fraction"]
    if coordinated is not None and coordinated < _DECOMPOSED:
        melted.append(f"only {coordinated:.0%} of the PS4-like units have all their atoms: decomposition")
    elif whole is not None and whole < 1:
        notes.append(f"{1 - whole:.0%} of the PS4-like units exchanged atoms")
    if not melted and motion.exchanged:
        notes.append(motion.exchanged)
    if not melted and turned is not None and turned > 0.02:
        notes.append(f"rotation of polyhedra: {turned:.0%} of their anions changed place")
    return {"melted": melted, "notes": notes}


def _slope(moves: np.ndarray, tracks: Tracks) -> tuple[float, float]:
    """Return slope of the framework MSD (A^2/ps) between lags T/8 and T/2 and its scatter over five atom groups."""
    count = len(moves)
    lags = np.unique(np.linspace(max(1, count // 8), count // 2, 8).astype(int))
    if len(lags) < 2:
        return 0.0, 0.0
    curves = np.array([((moves[lag:] - moves[:-lag]) ** 2).sum(axis=2).mean(axis=0) for lag in lags])
    times = lags * float(np.median(np.diff(tracks.sample_frames))) * tracks.dt_ps
    slopes = np.polyfit(times, curves, 1)[0]
    groups = np.array([slopes[k::5].mean() for k in range(min(5, len(slopes)))])
    spread = float(groups.std(ddof=1) / np.sqrt(len(groups))) if len(groups) > 1 else abs(float(slopes.mean()))
    return float(slopes.mean()), spread


def sublattice_rms(tracks: Tracks, mobile: list[str]) -> dict[str, np.ndarray]:
    """Return the melt check against time: ``time_ps``, rms displacement (A) of each sublattice, ``limit`` (one value).

    Positions are averaged over a twentieth of the run; displacements are from the first such average.
    """
    atoms = np.flatnonzero(~np.isin(np.array(tracks.symbols), mobile))
    if len(atoms) == 0 or len(tracks.samples) < 40:
        return {}
    host = find_framework(tracks.symbols, tracks.cell, tracks.first @ tracks.cell, mobile)
    if host.spacing_A is None:
        return {}
    parts = np.array_split(np.arange(len(tracks.samples)), 20)
    means = np.array([tracks.samples[part][:, host.sites].mean(axis=0) for part in parts])
    shift = (means - means[0]) @ tracks.cell
    squares = ((shift - drift_of(host, shift)[:, None]) ** 2).sum(axis=2)
    times = np.array([tracks.sample_frames[part].mean() for part in parts]) * tracks.dt_ps
    names = sorted(set(host.names.tolist()))
    curves = {name: np.sqrt(squares[:, host.names == name].mean(axis=1)) for name in names}
    return {"time_ps": times, "limit_A": np.array([LINDEMANN * host.spacing_A]), **curves}


def framework_msd(tracks: Tracks, mobile: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return lag times (ps) and MSD of the framework (A^2) from the sampled frames, for the figure."""
    framework = np.flatnonzero(~np.isin(np.array(tracks.symbols), mobile))
    if len(framework) == 0 or len(tracks.samples) < 10:
        return np.array([]), np.array([])
    moves = (tracks.samples[:, framework] @ tracks.cell).astype(np.float32)
    lags = np.unique(np.rint(np.geomspace(1, len(moves) // 2, 12)).astype(int))
    values = [float(((moves[lag:] - moves[:-lag]) ** 2).sum(axis=2).mean()) for lag in lags]
    return lags * float(np.median(np.diff(tracks.sample_frames))) * tracks.dt_ps, np.array(values)


def units_kept(tracks: Tracks) -> tuple[float | None, float | None]:
    """Return which fraction of the polyhedra keeps all its ligands, and which has as many as at the start.

    A unit is a former (P, Ge, ...) with its S, O or Se neighbours within 1.25 times the sum of covalent radii in the
    first sampled frame. At the end a bond counts as kept, and any ligand as bonded, below 1.6 times that sum in at
    least half of the last frames.
    """
    symbols = np.array(tracks.symbols)
    centres = np.flatnonzero(np.isin(symbols, sorted(FORMERS)))
    ligands = np.flatnonzero(np.isin(symbols, sorted(LIGANDS)))
    if len(centres) == 0 or len(ligands) == 0:
        return None, None
    elements, kind = np.unique(symbols, return_inverse=True)
    sums = covalent_sums(elements.tolist())
    late = tracks.samples[-min(9, len(tracks.samples)) :]
    counts = np.zeros(3)
    step = max(1, _PAIRS // len(ligands))
    for first in range(0, len(centres), step):  # in portions: large cells have many pairs
        some = centres[first : first + step]
        limits = sums[kind[some]][:, kind[ligands]]
        bonds = _distances(tracks, some, ligands, tracks.samples[0]) < _BOND * limits
        bonded = np.mean([_distances(tracks, some, ligands, moves) < _KEPT * limits for moves in late], axis=0) >= 0.5
        units = bonds.any(axis=1)
        whole = (bonded | ~bonds)[units].all(axis=1)
        enough = bonded[units].sum(axis=1) >= bonds[units].sum(axis=1)
        counts += units.sum(), whole.sum(), enough.sum()
    return (float(counts[1] / counts[0]), float(counts[2] / counts[0])) if counts[0] else (None, None)


def _distances(tracks: Tracks, centres: np.ndarray, ligands: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Return distances (A) of the nearest images in one sampled frame, (centres, ligands)."""
    reduced = tracks.first + moves
    delta = reduced[ligands][None] - reduced[centres][:, None]
    return np.linalg.norm((delta - np.rint(delta)) @ tracks.cell, axis=2)
