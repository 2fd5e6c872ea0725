"""Lines of a text file with a way back, for readers that find the next sound frame after a broken one."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from dpa_sse.ops.conductivity.readers.packed import open_text
from dpa_sse.ops.conductivity.settings import SourceOptions
from dpa_sse.ops.core.errors import InputError


class Lines:
    """Lines of a file; those that were taken back come first."""

    def __init__(self, path: Path) -> None:
        self.stream = open_text(path)
        self.ahead: deque[str] = deque()

    def next(self) -> str:
        """Return the next line with its end, or an empty text at the end of the file."""
        return self.ahead.popleft() if self.ahead else self.stream.readline()

    def take(self, count: int) -> list[str]:
        """Return up to ``count`` lines."""
        rows = []
        for _ in range(count):
            line = self.next()
            if not line:
                break
            rows.append(line)
        return rows

    def back(self, lines: Sequence[str]) -> None:
        """Take lines back."""
        self.ahead.extendleft(reversed(lines))

    def close(self) -> None:
        """Close the file."""
        self.stream.close()


def usable_cell(cell: object, options: SourceOptions, path: Path) -> object:
    """Return a usable cell (3, 3), A, from the option if the file has none.

    Raises
    ------
    InputError
        There is none.
    """
    import numpy as np

    rows = np.zeros((3, 3)) if cell is None else np.asarray(cell, dtype=float)
    if rows.shape == (3, 3) and np.isfinite(rows).all() and abs(np.linalg.det(rows)) > 1e-6:
        return rows
    if options.cell is None:
        raise InputError(f"{path}: no periodic cell; give it with --cell a,b,c,alpha,beta,gamma")
    from ase.cell import Cell

    return np.array(Cell.fromcellpar(options.cell))
