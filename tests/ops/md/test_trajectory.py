"""A dump that LAMMPS is still writing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dpa_sse.ops.md import trajectory
from dpa_sse.ops.md.trajectory import DumpReader

ATOMS = 5


def dump(steps: int) -> bytes:
    text = ""
    for step in range(steps):
        text += f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{ATOMS}\nITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\n"
        text += "ITEM: ATOMS id element xu yu zu\n"
        text += "".join(f"{atom + 1} Li {atom} {step} 0.5\n" for atom in range(ATOMS))
    return text.encode()


class Growing:
    """A file to which more is written between two reads."""

    def __init__(self, path: Path, text: bytes, cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.rest = path, text[cut:]
        path.write_bytes(text[:cut])
        original = trajectory._lines

        def grow(stream, count):
            class Stream:
                def readline(self) -> bytes:
                    line = stream.readline()
                    if not line.endswith(b"\n"):
                        grown.write()
                    return line

            return original(Stream(), count)

        grown = self
        monkeypatch.setattr(trajectory, "_lines", grow)

    def write(self) -> None:
        with self.path.open("ab") as stream:
            stream.write(self.rest)
        self.rest = b""


@pytest.mark.parametrize("cut", range(1, len(dump(2)), 7))
def test_a_frame_that_is_completed_while_it_is_read_is_read_later(
    cut: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "traj.lammpstrj"
    Growing(path, dump(2), cut, monkeypatch)
    reader = DumpReader(path)
    frames = [*reader.frames(), *reader.frames(), *reader.frames()]
    assert [frame.step for frame in frames] == [0, 1]
    for frame in frames:
        assert np.array_equal(frame.positions[:, 0], np.arange(ATOMS))
