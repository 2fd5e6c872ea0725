"""The k-point mesh that VASP derives from KSPACING, also used for CP2K."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def kspacing_mesh(cell: ArrayLike, kspacing: float) -> tuple[int, int, int]:
    """Return the number of k-points along each reciprocal lattice vector.

    VASP's rule (VASP wiki, KSPACING): ``N_i = max(1, ceil(2 pi |b_i| / KSPACING))``, ``b_i`` without 2 pi.

    Parameters
    ----------
    cell : array_like, shape (3, 3)
        Lattice vectors as rows, Angstrom.
    kspacing : float
        1/Angstrom.
    """
    reciprocal = np.linalg.inv(np.asarray(cell, float)).T
    lengths = 2 * np.pi * np.linalg.norm(reciprocal, axis=1) / kspacing
    return tuple(max(1, math.ceil(float(length))) for length in lengths)  # type: ignore[return-value]
