"""What a trajectory reader returns: a header, then chunks of frames, never the whole file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from dpa_sse.ops.conductivity.readers.time_axis import TimeFacts

CHUNK_FRAMES = 64


@dataclass
class Chunk:
    """Some consecutive frames; arrays are valid until the next chunk is requested.

    Attributes
    ----------
    positions : numpy.ndarray
        (n, N, 3), A, Cartesian, float32 or float64, contiguous.
    cells : numpy.ndarray
        (n, 3, 3), A, rows are the cell vectors.
    origins : numpy.ndarray
        (n, 3), A, corner of the cell.
    times : numpy.ndarray
        (n,), ps, as stored; NaN if the file has none.
    steps : numpy.ndarray, optional
        (n,), MD step numbers; NaN or None if the file has none.
    """

    positions: np.ndarray
    cells: np.ndarray
    origins: np.ndarray
    times: np.ndarray
    steps: np.ndarray | None = None


@dataclass
class Trajectory:
    """An opened trajectory.

    Attributes
    ----------
    symbols : list of str
        Element of each atom, (N,).
    chunks : iterator of Chunk
        Frames in file order; may be consumed once.
    unwrapped : bool
        True if positions are known to be unwrapped (columns xu or image flags); no jump is undone then.
    facts : TimeFacts
        What options and the file say about the time between frames.
    n_frames_hint : int, optional
        Expected number of frames, to reserve memory.
    notes : list of str
        Remarks of the reader, filled while the chunks are consumed.
    left_out : dict
        Reason -> number of frames of the file that are not in the chunks, filled likewise.
    temperature_K : tuple of float, optional
        First and last target temperature that the file states.
    again : callable, optional
        Opens the same trajectory once more, from its start.
    """

    symbols: list[str]
    chunks: Iterator[Chunk]
    unwrapped: bool = False
    facts: TimeFacts = field(default_factory=TimeFacts)
    n_frames_hint: int | None = None
    notes: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    temperature_K: tuple[float, float] | None = None
    again: Callable[[], Trajectory] | None = None


CUT = "cut at the end"
BROKEN = "broken"


def leave_out(left_out: dict[str, int], reason: str, count: int = 1) -> None:
    """Count frames that are left out."""
    left_out[reason] = left_out.get(reason, 0) + count


@dataclass(frozen=True)
class Frame:
    """One frame of a reader that has no arrays of many: Cartesian positions and cell (A), time (ps) and step or NaN."""

    positions: np.ndarray
    cell: np.ndarray
    time: float = float("nan")
    step: float = float("nan")


def chunked(frames: Iterable[Frame]) -> Iterator[Chunk]:
    """Gather single frames into chunks."""
    batch: list[Frame] = []
    for frame in frames:
        batch.append(frame)
        if len(batch) == CHUNK_FRAMES:
            yield _chunk(batch)
            batch = []
    if batch:
        yield _chunk(batch)


def _chunk(batch: list[Frame]) -> Chunk:
    return Chunk(
        np.array([one.positions for one in batch], dtype=np.float64), np.array([one.cell for one in batch]),
        np.zeros((len(batch), 3)), np.array([one.time for one in batch]), np.array([one.step for one in batch]),
    )
