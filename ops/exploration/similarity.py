"""Similarity of two frames, independent of the orientation of the cell and of the order of equal atoms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.data.npy import elements_of, read_system
from dpa_sse.ops.md.monitor import CLOSEST, Geometry

if TYPE_CHECKING:
    from ase import Atoms

MAX_ATOMS = 256  # of larger cells only every n-th atom is used
QUANTILES = 33
SAME = 1e-4  # Angstrom; dumps carry nine digits
NEAR = 0.05  # Angstrom; independent thermal frames of a solid differ by 0.2 or more


def pair_distances(atoms: Atoms) -> np.ndarray:
    """Return the minimum-image distances of all pairs (i < j) in the order of the atoms, Angstrom."""
    chosen = atoms[:: max(1, -(-len(atoms) // MAX_ATOMS))]
    distances = chosen.get_all_distances(mic=True)
    return distances[np.triu_indices(len(chosen), 1)]


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the root mean square difference of two frames' pair distances (dRMSD), Angstrom."""
    return float(np.sqrt(np.mean((a - b) ** 2))) if a.size else 0.0


def fingerprint(atoms: Atoms) -> np.ndarray:
    """Return numbers that are equal for equal structures, even after a rotation or a renumbering of equal atoms.

    Returns
    -------
    ndarray
        For each pair of elements (sorted) 33 quantiles of its distances, and the cube root of the volume; Angstrom.
    """
    symbols = np.array(atoms.get_chemical_symbols())
    distances = atoms.get_all_distances(mic=True)
    elements = sorted(set(symbols.tolist()))
    parts = []
    for k, first in enumerate(elements):
        for second in elements[k:]:
            block = distances[np.ix_(symbols == first, symbols == second)]
            values = block[np.triu_indices(len(block), 1)] if first == second else block.ravel()
            if values.size:
                parts.append(np.quantile(values, np.linspace(0, 1, QUANTILES)))
    return np.concatenate([*parts, [_edge(atoms)]])


def composition(symbols: Sequence[str]) -> str:
    """Return the composition as a key, e.g. ``Li6 P1 S5``."""
    return " ".join(f"{element}{list(symbols).count(element)}" for element in sorted(set(symbols)))


class KnownFrames:
    """Frames of a deepmd/npy data set; those of a composition are read when first needed."""

    def __init__(self, dataset: Path | None) -> None:
        self._systems: dict[str, list[Path]] = {}
        self._frames: dict[str, list[Atoms]] = {}
        self._edges: dict[str, np.ndarray] = {}
        for types in sorted(dataset.rglob("type.raw")) if dataset is not None else []:
            self._systems.setdefault(composition(elements_of(types.parent)), []).append(types.parent)

    def holds(self, atoms: Atoms) -> bool:
        """Return whether the data set contains this structure; only frames of the same volume are compared."""
        key = composition(atoms.get_chemical_symbols())
        if key not in self._frames:
            self._frames[key] = [frame for folder in self._systems.get(key, []) for frame in _frames(folder)]
            self._edges[key] = np.array([_edge(frame) for frame in self._frames[key]])
        alike = np.flatnonzero(np.abs(self._edges[key] - _edge(atoms)) < SAME)
        if not len(alike):
            return False
        mine = fingerprint(atoms)
        return any(np.abs(fingerprint(self._frames[key][index]) - mine).max() < SAME for index in alike)


def objection(atoms: Atoms, known: KnownFrames, taken: dict[str, list[np.ndarray]]) -> str:
    """Return why a frame is not worth a label, empty if it is; then it is added to ``taken``.

    Atoms that are too close are ``unphysical``, a frame of the data set is ``known``, one that is closer than
    :data:`NEAR` to one in ``taken`` (distances by elements) is ``similar``.
    """
    symbols = atoms.get_chemical_symbols()
    if Geometry(symbols).measure(atoms.cell.array, atoms.positions)[0] < CLOSEST:
        return "unphysical"
    if known.holds(atoms):
        return "known"
    group = taken.setdefault("".join(symbols), [])
    distances = pair_distances(atoms)
    if any(distance(distances, other) < NEAR for other in group):
        return "similar"
    group.append(distances)
    return ""


def _edge(atoms: Atoms) -> float:
    return float(abs(atoms.get_volume()) ** (1 / 3))


def _frames(folder: Path) -> list[Atoms]:
    """Return the frames of one deepmd/npy system."""
    from ase import Atoms

    type_map = list(dict.fromkeys(elements_of(folder)))
    return [
        Atoms([type_map[k] for k in block.types], positions=positions, cell=cell, pbc=True)
        for block in read_system(folder, type_map) for positions, cell in zip(block.coord, block.box, strict=True)
    ]
