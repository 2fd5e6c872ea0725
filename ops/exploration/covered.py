"""Which environments are among those of a set of frames, and which are outside.

A frame of the set is as far from those of other trajectories as a new one may be: where fewer than a given share of
them would be, an environment is outside (nearest neighbours in the leading principal components, element by element).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Environments(NamedTuple):
    """Descriptors of atoms of one element (n, D), and the trajectory of each."""

    vectors: Array
    runs: list[str]


class Known:
    """The training environments of one element.

    Parameters
    ----------
    found : Environments
    components : int
        Principal components that are compared.
    quantile : float
        Share of the training environments that are nearer to those of other trajectories than the limit.
    """

    def __init__(self, found: Environments, components: int, quantile: float) -> None:
        from scipy.spatial import cKDTree

        self.mean = found.vectors.mean(axis=0)
        _, size, axes = np.linalg.svd(found.vectors - self.mean, full_matrices=False)
        self.axes = axes[: max(1, min(components, int((size > 1e-6 * size[0]).sum())))]
        self.vectors = self._projected(found.vectors)
        self.tree = cKDTree(self.vectors)
        self.limit = float(np.quantile(self._from_other_runs(found.runs), quantile))

    def _projected(self, vectors: Array) -> Array:
        """Return the leading components, and how long the rest of the vector is."""
        centred = vectors - self.mean
        inner = centred @ self.axes.T
        rest = np.sqrt(np.clip((centred**2).sum(axis=1) - (inner**2).sum(axis=1), 0, None))
        return np.column_stack([inner, rest])

    def _from_other_runs(self, runs: Sequence[str]) -> Array:
        """Return the distance of each training environment to the nearest one of another trajectory."""
        from scipy.spatial import cKDTree

        names = np.array(runs)
        distances = np.zeros(len(names))
        several: dict[str, set[str]] = {}
        for run in runs:
            several.setdefault(run.rpartition("/")[0], set()).add(run)
        for run in dict.fromkeys(runs):
            own = names == run
            if len(several[run.rpartition("/")[0]]) > 1:
                distances[own] = cKDTree(self.vectors[~own]).query(self.vectors[own])[0]
                continue
            # the only trajectory of its system: other systems do not measure it, so one half against all but that half
            for half in np.array_split(np.flatnonzero(own), 2):
                rest = np.setdiff1d(np.arange(len(names)), half)
                if len(half) and len(rest):
                    distances[half] = cKDTree(self.vectors[rest]).query(self.vectors[half])[0]
        return distances

    def outside(self, vectors: Array) -> np.ndarray:
        """Return which environments are farther from the nearest training one than the limit."""
        return np.asarray(self.tree.query(self._projected(vectors))[0] > self.limit)
