"""Sections of a file whose time starts again: appended restarts, and runs that were written one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from dpa_sse.ops.conductivity.continuation import Snapshot, follows, nearer_to_end, rms_by_species, same_frame
from dpa_sse.ops.conductivity.readers.trajectory import Chunk, Trajectory
from dpa_sse.ops.core.errors import InputError

REPEATED = "repeated at a restart"
_WAY_OUT = "put each run into a separate file"


@dataclass(frozen=True)
class Plan:
    """Which frames to keep (T,), and their times (ps)."""

    keep: np.ndarray
    times: np.ndarray
    note: str


def kept_chunks(chunks: Iterator[Chunk], keep: np.ndarray) -> Iterator[Chunk]:
    """Yield chunks without the frames that are not kept."""
    done = 0
    for chunk in chunks:
        part = keep[done : done + len(chunk.positions)]
        done += len(chunk.positions)
        if part.all():
            yield chunk
        elif part.any():
            steps = None if chunk.steps is None else chunk.steps[part]
            positions = np.ascontiguousarray(chunk.positions[part])
            yield Chunk(positions, chunk.cells[part], chunk.origins[part], chunk.times[part], steps)


def snapshots(trajectory: Trajectory, wanted: set[int]) -> dict[int, Snapshot]:
    """Return some frames of a trajectory, which is consumed."""
    found: dict[int, Snapshot] = {}
    done = 0
    for chunk in trajectory.chunks:
        for k in wanted & set(range(done, done + len(chunk.positions))):
            cell = np.array(chunk.cells[k - done], dtype=float)
            reduced = (chunk.positions[k - done] - chunk.origins[k - done]) @ np.linalg.inv(cell)
            found[k] = Snapshot(np.array(reduced, dtype=float), cell)
        done += len(chunk.positions)
    return found


def plan_joins(times: np.ndarray, species: np.ndarray, again: Callable[[], Trajectory]) -> Plan:
    """Return which frames to keep where time goes back, if positions show how the sections belong together.

    A section may continue from an earlier frame (the run was restarted: what followed that frame is dropped), or from
    the last one (the count of steps was set back).

    Parameters
    ----------
    times : numpy.ndarray
        (T,), ps.
    species : numpy.ndarray
        (N,), index of the element of each atom.
    again : callable
        Opens the trajectory once more.

    Raises
    ------
    InputError
        Positions show no continuation.
    """
    starts = [0, *(np.flatnonzero(np.diff(times) <= 0) + 1).tolist()]
    dt = float(np.median(np.diff(times)[np.diff(times) > 0])) if (np.diff(times) > 0).any() else 0.0
    if dt == 0.0:
        raise InputError("time does not increase from frame to frame")
    frames = snapshots(again(), _needed(times, starts, dt))
    kept, at = list(range(starts[1])), list(times[: starts[1]])
    for start, stop in zip(starts[1:], [*starts[2:], len(times)], strict=True):
        where = _place(times[start], start, kept, np.array(at), dt, frames, species, len(times))
        if where is None:
            gap = rms_by_species(frames[kept[-1]], frames[start], species).max()
            raise InputError(
                f"time does not increase at frame {start}, and positions do not continue there (they differ by "
                f"{gap:.2f} A): does the file hold two runs? Then {_WAY_OUT}"
            )
        length, offset = where
        kept = [*kept[:length], *range(start, stop)]
        at = [*at[:length], *(times[start:stop] + offset)]
    keep = np.zeros(len(times), dtype=bool)
    keep[kept] = True
    joined, dropped = len(starts) - 1, int((~keep).sum())
    note = f"{joined} continuation{'s' * (joined > 1)} of the run joined (restarted run)"
    return Plan(keep, np.array(at), f"{note}, {dropped} repeated frames dropped" if dropped else note)


def _needed(times: np.ndarray, starts: list[int], dt: float) -> set[int]:
    """Return the frames that decide: around every start, and earlier ones at its time or just before."""
    wanted = {0}
    for start in starts[1:]:
        wanted |= {k for k in range(start - 3, start + 3) if 0 <= k < len(times)}
        back = times[:start] - times[start]
        wanted |= set(np.flatnonzero((np.abs(back) < 0.01 * dt) | (np.abs(back + dt) < 0.01 * dt)).tolist())
    return wanted


def _place(
    time: float, start: int, kept: list[int], at: np.ndarray, dt: float, frames: dict[int, Snapshot],
    species: np.ndarray, total: int,
) -> tuple[int, float] | None:
    """Return how many kept frames stay before a section, and what is added to its times; None if nothing fits."""
    new = frames[start]
    usual = _usual(start, total, frames, species)
    equal = np.flatnonzero(np.abs(at - time) < 0.01 * dt)
    if len(equal) and same_frame(frames[kept[equal[0]]], new):
        return (int(equal[0]), 0.0) if equal[0] > 0 else None  # from the very start: another run
    if same_frame(frames[kept[-1]], new):
        return len(kept) - 1, float(at[-1] - time)
    before = np.flatnonzero(np.abs(at + dt - time) < 0.01 * dt)
    if len(before) and before[0] > 0 and follows(frames[kept[before[0]]], new, usual, species, ordered=True):
        return int(before[0]) + 1, 0.0
    last = frames[kept[-1]]
    if follows(last, new, usual, species, ordered=True) and nearer_to_end(frames[kept[0]], last, new):
        return len(kept), float(at[-1] + dt - time)
    return None


def _usual(start: int, total: int, frames: dict[int, Snapshot], species: np.ndarray) -> np.ndarray:
    """Return the usual step of each element around a start, the largest of a few."""
    pairs = [(k, k + 1) for k in range(start - 3, start + 2) if k >= 0 and k + 1 < total and k + 1 != start]
    found = [rms_by_species(frames[a], frames[b], species) for a, b in pairs if a in frames and b in frames]
    return np.max(found, axis=0) if found else np.zeros(0)
