"""Which environments are among those of a set of frames, and which are outside.

A frame of the set is as far from those of other trajectories as a new one may be: where fewer than a given share of
them would be, an environment is outside (nearest neighbours in the leading principal components, element by element).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.seeds import derive_seed

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


class Collected:
    """Environments of a set of frames by element, collected block by block."""

    def __init__(self) -> None:
        self.vectors: dict[str, list[Array]] = {}
        self.runs: dict[str, list[str]] = {}

    def add(self, parts: Mapping[str, Array], system: str, trajectories: Sequence[str]) -> None:
        """Add the descriptors (n, atoms, D) of each element of frames, and the trajectory of each frame."""
        for element, own in parts.items():
            self.vectors.setdefault(element, []).append(own.reshape(-1, own.shape[-1]))
            names = [f"{system}/{run}" for run in trajectories]
            self.runs.setdefault(element, []).extend(np.repeat(names, own.shape[1]).tolist())

    def known(self, most: int, components: int, quantile: float, seed: int, purpose: str) -> dict[str, Known]:
        """Return at most ``most`` environments of each element; seed and purpose decide which, if there are more."""
        found = {}
        for element, parts in self.vectors.items():
            every = np.concatenate(parts)
            kept = np.sort(np.random.default_rng(derive_seed(seed, purpose, element)).permutation(len(every))[:most])
            chosen = Environments(every[kept], [self.runs[element][k] for k in kept])
            found[element] = Known(chosen, components, quantile)
        return found


def by_element(symbols: Sequence[str], vectors: Array) -> dict[str, Array]:
    """Return descriptors (n, n_atoms, D) of frames, element by element."""
    names = np.array(symbols)
    return {element: vectors[:, names == element] for element in dict.fromkeys(symbols)}
