"""What a trajectory reader returns: a header, then chunks of frames, never the whole file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

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
        (n,), ps; NaN if the file has no times (then the spacing comes from the options).
    """

    positions: np.ndarray
    cells: np.ndarray
    origins: np.ndarray
    times: np.ndarray


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
    frame_ps : float, optional
        Time between frames, for chunks without times.
    n_frames_hint : int, optional
        Expected number of frames, to reserve memory.
    notes : list of str
        Remarks of the reader, filled while the chunks are consumed.
    """

    symbols: list[str]
    chunks: Iterator[Chunk]
    unwrapped: bool = False
    frame_ps: float | None = None
    n_frames_hint: int | None = None
    notes: list[str] = field(default_factory=list)
