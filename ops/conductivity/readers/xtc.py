"""XTC files: the headers of their frames, and their positions from a separate process.

The library that decompresses XTC ends the whole program on some damaged files; here it only ends its own process.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MAGIC = 1995
_HEAD = struct.Struct(">3if9fi")
_PACKED = struct.Struct(">f8i")
_FEW = 9  # so few atoms are not compressed
_CHILD = """
import sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from MDAnalysis.lib.formats.libmdaxdr import XTCFile
with XTCFile(sys.argv[1]) as stream:
    for frame in stream:
        numbers = np.concatenate([frame.box.ravel(), frame.x.ravel()]).astype(np.float32)
        sys.stdout.buffer.write(numbers.tobytes())
"""


@dataclass(frozen=True)
class XtcFrames:
    """Frames of an XTC file by their headers: times (ps) and steps, (T,) each; ``rest`` is 1 if something follows."""

    n_atoms: int
    times: np.ndarray
    steps: np.ndarray
    rest: int

    def __len__(self) -> int:
        return len(self.times)


def xtc_frames(path: Path) -> XtcFrames:
    """Return the sound frames at the start of a file."""
    times: list[float] = []
    steps: list[int] = []
    size, place, atoms = path.stat().st_size, 0, 0
    with path.open("rb") as stream:
        while place < size:
            head = stream.read(_HEAD.size)
            if len(head) < _HEAD.size:
                break
            magic, count, step, time, *box, again = _HEAD.unpack(head)
            if magic != MAGIC or count != again or count < 1 or (atoms and count != atoms):
                break
            if count <= _FEW:
                length = 12 * count
            else:
                packed = stream.read(_PACKED.size)
                if len(packed) < _PACKED.size:
                    break
                precision, *limits, small, length = _PACKED.unpack(packed)
                if not (precision > 0 and _FEW <= small < 73 and length > 0):
                    break
                if any(high < low for low, high in zip(limits[:3], limits[3:], strict=True)):
                    break
                length = (length + 3) // 4 * 4
            end = stream.tell() + length
            if end > size or not np.isfinite([time, *box]).all():
                break
            stream.seek(end)
            place, atoms = end, count
            times.append(time)
            steps.append(step)
    return XtcFrames(atoms, np.array(times), np.array(steps, dtype=float), int(place < size))


def decoded(path: Path, frames: XtcFrames) -> Iterator[tuple[np.ndarray, float, float, np.ndarray]]:
    """Yield cell (3, 3), A, time (ps), step and positions (N, 3), A, of each frame that can be decompressed."""
    bytes_each = 4 * (9 + 3 * frames.n_atoms)
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as child:
        assert child.stdout is not None  # noqa: S101  (for the type checker)
        try:
            for time, step in zip(frames.times, frames.steps, strict=True):
                content = child.stdout.read(bytes_each)
                if len(content) < bytes_each:
                    return
                numbers = np.frombuffer(content, np.float32).astype(float) * 10.0  # nm
                yield numbers[:9].reshape(3, 3), float(time), float(step), numbers[9:].reshape(-1, 3)
        finally:
            child.kill()
