"""Is the framework still a solid? RMSD, displaced atoms, and whole PS4 (GeS4, ...) units."""

from __future__ import annotations

from typing import Any

import numpy as np

from ops.conductivity.tracks import Tracks

CENTRES = ("P", "Ge", "Si", "Sn", "As", "Sb", "B", "Al", "Ga")
_LIGANDS = ("S", "O", "Se")
_BOND = 1.25  # of the sum of covalent radii
_MOVED_A = 2.5
_MELTED = 0.10


def check_framework(tracks: Tracks, mobile: list[str]) -> dict[str, Any]:
    """Return the state of the framework during a run.

    Parameters
    ----------
    tracks : Tracks
    mobile : list of str
        Mobile species, left out here.

    Returns
    -------
    dict
        ``rmsd_A`` (from the mean positions), ``largest_displacement_A``, ``moved_fraction`` (atoms displaced by more
        than 2.5 A between the first and last tenth) in all and by species, ``msd_slope_A2_ps`` with
        ``msd_slope_sigma``, ``whole_units_fraction`` (of the PS4-like units at the start, how many keep their ligands
        at the end; None without such units), ``melted`` and ``notes``.
    """
    symbols = np.array(tracks.symbols)
    framework = np.flatnonzero(~np.isin(symbols, mobile))
    if len(framework) == 0 or len(tracks.samples) < 10:
        return {"n_atoms": len(framework), "melted": False, "notes": []}
    moves = tracks.samples[:, framework] @ tracks.cell
    names = symbols[framework]
    tenth = max(1, len(moves) // 10)
    shift = np.linalg.norm(moves[-tenth:].mean(axis=0) - moves[:tenth].mean(axis=0), axis=1)
    moved = shift > _MOVED_A
    slope, sigma = _slope(moves, tracks)
    whole = whole_units(tracks)
    by_species = {str(name): float(moved[names == name].mean()) for name in np.unique(names)}
    melted, notes = _judge(by_species, float(moved.mean()), slope > 3 * sigma, whole)
    spread = moves - moves.mean(axis=0)
    return {
        "n_atoms": len(framework),
        "rmsd_A": float(np.sqrt((spread**2).sum(axis=2).mean())),
        "largest_displacement_A": float(shift.max()),
        "moved_fraction": float(moved.mean()),
        "moved_fraction_by_species": by_species,
        "msd_slope_A2_ps": slope,
        "msd_slope_sigma_A2_ps": sigma,
        "whole_units_fraction": whole,
        "drift_A": tracks.drift_A,
        "melted": melted,
        "notes": notes,
    }


def _judge(
    by_species: dict[str, float], moved: float, drifts: bool, whole: float | None
) -> tuple[bool, list[str]]:
    """Decide melting: the centres of the polyhedra leave their places (rotating ligands alone are no melt)."""
    centres = [by_species[name] for name in by_species if name in CENTRES]
    share = max(centres) if centres else moved
    melted = share > _MELTED and drifts
    notes = []
    if not melted and moved > 0.02:
        notes.append(f"{moved:.0%} of the framework atoms changed place (rotation of polyhedra or anion exchange)")
    if whole is not None and whole < 0.9:
        notes.append(f"only {whole:.0%} of the PS4-like units kept their atoms: decomposition")
    return melted, notes


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


def framework_msd(tracks: Tracks, mobile: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return lag times (ps) and MSD of the framework (A^2) from the sampled frames, for the figure."""
    framework = np.flatnonzero(~np.isin(np.array(tracks.symbols), mobile))
    if len(framework) == 0 or len(tracks.samples) < 10:
        return np.array([]), np.array([])
    moves = (tracks.samples[:, framework] @ tracks.cell).astype(np.float32)
    lags = np.unique(np.rint(np.geomspace(1, len(moves) // 2, 12)).astype(int))
    values = [float(((moves[lag:] - moves[:-lag]) ** 2).sum(axis=2).mean()) for lag in lags]
    return lags * float(np.median(np.diff(tracks.sample_frames))) * tracks.dt_ps, np.array(values)


def whole_units(tracks: Tracks) -> float | None:
    """Return which fraction of the tetrahedra of the first frame keep all their ligands at the end.

    A unit is a centre (P, Ge, ...) with its S, O or Se neighbours within 1.25 times the sum of covalent radii in the
    first frame. At the end a bond counts as kept below 1.6 times that sum in at least half of the last frames.
    """
    from ase.data import atomic_numbers, covalent_radii

    symbols = np.array(tracks.symbols)
    centres = np.flatnonzero(np.isin(symbols, CENTRES))
    ligands = np.flatnonzero(np.isin(symbols, _LIGANDS))
    if len(centres) == 0 or len(ligands) == 0:
        return None
    radii = np.array([covalent_radii[atomic_numbers[name]] for name in tracks.symbols])
    sums = radii[centres][:, None] + radii[ligands][None]

    def distances(moves: np.ndarray) -> np.ndarray:
        reduced = tracks.first + moves
        delta = reduced[ligands][None] - reduced[centres][:, None]
        return np.linalg.norm((delta - np.rint(delta)) @ tracks.cell, axis=2)

    bonds = np.argwhere(distances(tracks.samples[0]) < _BOND * sums)
    if len(bonds) == 0:
        return None
    late = tracks.samples[-min(9, len(tracks.samples)) :]
    i, j = bonds.T
    kept = np.mean([distances(moves)[i, j] < 1.6 * sums[i, j] for moves in late], axis=0) >= 0.5
    broken = np.unique(i[~kept])
    return 1.0 - len(broken) / len(np.unique(i))
