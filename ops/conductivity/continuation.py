"""Does one frame continue another? Shown from positions, for restarts in one file and for runs in several files.

Two frames are the same where no atom differs by more than rounding; one continues the other where each element moves
about as far as it usually does between frames. Periodic images do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_ROUNDING_A = 0.02
_USUAL = 1.4
_FEW = 3.0
_NEARER = 0.9
_WINDOW = 12  # frames
_ALIKE = 0.02  # of the squares: rounded positions differ by less, other runs by 2


@dataclass(frozen=True)
class Snapshot:
    """One frame: reduced positions (N, 3), cell (3, 3) in A."""

    reduced: np.ndarray
    cell: np.ndarray


@dataclass(frozen=True)
class Ends:
    """The ends of a trajectory, as far as it was read.

    Attributes
    ----------
    first, early, last : Snapshot
        The first, the tenth (or last) and the last frame.
    usual_A : numpy.ndarray
        (species,) root mean square step between two frames, by element; empty for a single frame.
    species : numpy.ndarray
        (N,) index of the element of each atom.
    first_stamp, last_stamp, spacing : float
        Step numbers, or times where there are none; NaN where there are neither.
    moved_A : numpy.ndarray
        (frames - 1, 3), A: how far all atoms of the first mobile species together move from frame to frame.
    """

    symbols: tuple[str, ...]
    first: Snapshot
    early: Snapshot
    last: Snapshot
    usual_A: np.ndarray
    species: np.ndarray
    first_stamp: float
    last_stamp: float
    spacing: float
    n_frames: int
    moved_A: np.ndarray


def moves(one: Snapshot, other: Snapshot) -> np.ndarray:
    """Return the displacement of each atom (N, 3), A, by nearest images and without that of the whole crystal."""
    delta = other.reduced - one.reduced
    delta = delta - np.rint(delta)
    delta -= np.median(delta, axis=0)
    return delta @ one.cell


def rms_by_species(one: Snapshot, other: Snapshot, species: np.ndarray) -> np.ndarray:
    """Return the root mean square displacement of each element, A."""
    squares = (moves(one, other) ** 2).sum(axis=1)
    return np.sqrt(np.bincount(species, squares) / np.maximum(np.bincount(species), 1))


def same_frame(one: Snapshot, other: Snapshot) -> bool:
    """Return whether two frames are the same."""
    return one.reduced.shape == other.reduced.shape and bool(np.abs(moves(one, other)).max() < _ROUNDING_A)


def follows(
    before: Snapshot, after: Snapshot, usual_A: np.ndarray, species: np.ndarray, *, ordered: bool = False
) -> bool:
    """Return whether a frame is about one step after another; more is allowed where the file orders the two."""
    if before.reduced.shape != after.reduced.shape or not len(usual_A):
        return False
    # of few ions two may jump at once
    few = _FEW / np.sqrt(np.maximum(np.bincount(species), 1)) if ordered else 0.0
    return bool((rms_by_species(before, after, species) <= (_USUAL + few) * usual_A + _ROUNDING_A / 2).all())


def nearer_to_end(ends_first: Snapshot, ends_last: Snapshot, frame: Snapshot) -> bool:
    """Return whether a frame is clearly nearer to the last than to the first frame of a run.

    Ions that never leave their sites look the same at both ends: then nothing is shown.
    """
    to_first = np.sqrt((moves(ends_first, frame) ** 2).sum(axis=1).mean())
    to_last = np.sqrt((moves(ends_last, frame) ** 2).sum(axis=1).mean())
    return bool(to_last < _NEARER * to_first)


def _starts_inside(one: Ends, other: Ends) -> bool:
    """Return whether the second trajectory starts within the first one and ends after it, by positions and steps."""
    if not one.first_stamp < other.first_stamp <= one.last_stamp < other.last_stamp:
        return False
    frame = overlap(one, other)
    return frame is not None and abs(one.first_stamp + frame * one.spacing - other.first_stamp) < 0.01 * one.spacing


def continues(one: Ends, other: Ends) -> bool:
    """Return whether the second trajectory continues the first one."""
    if one.symbols != other.symbols or one is other:
        return False
    usual = one.usual_A if len(one.usual_A) else other.usual_A
    if _starts_inside(one, other):
        return True
    stamped = other.first_stamp - one.last_stamp
    spacing = one.spacing if np.isfinite(one.spacing) else other.spacing
    on_time = bool(np.isfinite(stamped) and 0 <= stamped <= 1.01 * spacing)
    if same_frame(one.last, other.first):
        return on_time or not same_frame(one.first, other.first)
    if not follows(one.last, other.first, usual, one.species):
        return False
    return on_time or nearer_to_end(one.first, one.last, other.first)


def overlap(one: Ends, other: Ends) -> int | None:
    """Return the frame of the first trajectory at which the second one starts, if both show the same run there.

    The way of all mobile atoms together is that of a single series: two runs never agree in it over many frames.
    """
    window = min(_WINDOW, len(other.moved_A))
    if one.symbols != other.symbols or window < _WINDOW or len(one.moved_A) < window:
        return None
    start = other.moved_A[:window]
    size = float((start**2).sum())
    if size < window * _ROUNDING_A**2:  # nothing moves
        return None
    windows = np.lib.stride_tricks.sliding_window_view(one.moved_A, window, axis=0)  # (K, 3, window)
    distance = ((windows - start.T) ** 2).sum(axis=(1, 2))
    place = int(distance.argmin())
    shared = min(len(one.moved_A) - place, len(other.moved_A))
    ours, theirs = one.moved_A[place : place + shared], other.moved_A[:shared]
    return place if ((ours - theirs) ** 2).sum() < _ALIKE * (theirs**2).sum() else None


def same_run(one: Ends, other: Ends) -> bool:
    """Return whether two trajectories show the same run from the same frame on."""
    return (
        one.symbols == other.symbols and min(one.n_frames, other.n_frames) >= 10
        and same_frame(one.first, other.first) and same_frame(one.early, other.early)
        and not same_frame(one.first, one.early)
    )


def rounding_step(positions: np.ndarray) -> float:
    """Return the step to which positions (N, 3) are rounded, A; zero below 1e-6 A, and where there is no decimal step.

    A third of the coordinates may have a shorter last digit by chance.
    """
    values = np.asarray(positions, dtype=np.float64).ravel()
    tolerance = 2e-3 if positions.dtype == np.float32 else 1e-3
    digits = np.full(values.shape, 7)
    for k in range(6, -1, -1):
        scaled = values * 10.0**k
        digits[np.abs(scaled - np.rint(scaled)) < tolerance] = k
    typical = int(np.quantile(digits, 0.35, method="nearest"))
    return 0.0 if typical > 6 else 10.0**-typical
