"""Diversity of frames: how far their environments are from each other, in the descriptor of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.data.frames import SystemData
from dpa_sse.ops.potential.inference import descriptors

if TYPE_CHECKING:
    from ase import Atoms

MOST_COMPARED = 400
"""Frames that are compared; more take memory and time."""
COMPONENTS = 24
"""Principal components of the descriptors that are compared, for each element."""
Arrays = tuple[list[str], NDArray[np.float64], NDArray[np.float64]]
"""Elements, positions (n, 3) and cell (3, 3) of a frame."""


def arrays_of(atoms: Atoms) -> Arrays:
    """Return elements, positions and cell of a frame."""
    return atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array


def arrays_of_blocks(blocks: Sequence[SystemData], type_map: Sequence[str]) -> list[Arrays]:
    """Return the same of all frames of a data set."""
    return [
        ([type_map[k] for k in block.types], positions, cell)
        for block in blocks for positions, cell in zip(block.coord, block.box, strict=True)
    ]


def environments(frames: Sequence[Arrays], model: Any) -> list[dict[str, NDArray[np.float64]]]:
    """Return for each frame the descriptors (n, D) of its atoms, by element."""
    index = {element: k for k, element in enumerate(model.get_type_map())}
    found = []
    for symbols, positions, cell in frames:
        types = np.array([index[one] for one in symbols])
        vectors = descriptors(model, types, positions[None], cell[None])[0]
        names = np.array(symbols)
        found.append({element: vectors[names == element] for element in dict.fromkeys(symbols)})
    return found


def farthest_frames(
    new: Sequence[dict[str, NDArray[np.float64]]], old: Sequence[dict[str, NDArray[np.float64]]], count: int
) -> list[int]:
    """Return the frames whose environments are farthest from those of ``old`` and of the frames before (the first).

    A frame is as far as the mean, over its elements, of the mean distance of its atoms to the nearest environment of
    the same element. Distances are in the leading principal components of the element, in units of their scatter.

    Parameters
    ----------
    new, old : sequence of dict
        Descriptors (n, D) by element, of the candidates and of the frames that are known.
    count : int
    """
    from scipy.spatial import cKDTree

    places, known = _projected(new, old)
    nearest = [
        {element: _nearest(cKDTree(known[element]) if len(known[element]) else None, vectors)
         for element, vectors in frame.items()}
        for frame in places
    ]
    chosen: list[int] = []
    while len(chosen) < count:
        scores = np.array([np.mean([one.mean() for one in frame.values()]) for frame in nearest])
        scores[chosen] = -1
        best = int(np.argmax(scores))
        chosen.append(best)
        trees = {element: cKDTree(vectors) for element, vectors in places[best].items()}
        for frame, distances in zip(places, nearest, strict=True):
            for element in distances.keys() & trees.keys():
                distances[element] = np.minimum(distances[element], trees[element].query(frame[element])[0])
    return chosen


def _nearest(tree: Any, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distances to the nearest known environment; a large one for an element that is not known."""
    return np.full(len(vectors), 1e3) if tree is None else np.asarray(tree.query(vectors)[0])


def _projected(
    new: Sequence[dict[str, NDArray[np.float64]]], old: Sequence[dict[str, NDArray[np.float64]]]
) -> tuple[list[dict[str, NDArray[np.float64]]], dict[str, NDArray[np.float64]]]:
    """Return the candidates' and the known environments in the leading components, scaled by their scatter."""
    known: dict[str, NDArray[np.float64]] = {}
    places: list[dict[str, NDArray[np.float64]]] = [{} for _ in new]
    for element in sorted({element for frame in new for element in frame}):
        candidates = np.concatenate([frame[element] for frame in new if element in frame])
        parts = [frame[element] for frame in old if element in frame]
        every = np.concatenate([candidates, *parts])
        mean = every.mean(axis=0)
        values, axes = np.linalg.eigh(np.cov((every - mean).T, ddof=0).reshape(every.shape[1], -1))
        axes = axes[:, ::-1][:, :COMPONENTS]
        scale = np.sqrt(max(float(np.clip(values, 0, None).sum()), 1e-30))
        for frame, place in zip(new, places, strict=True):
            if element in frame:
                place[element] = (frame[element] - mean) @ axes / scale
        known[element] = (np.concatenate(parts) - mean) @ axes / scale if parts else np.empty((0, axes.shape[1]))
    return places, known


def diverse_order(
    candidates: Sequence[Atoms], order: NDArray[np.int_], wanted: int, known: Sequence[Arrays], model: Path
) -> NDArray[np.int_]:
    """Return the numbers of candidates, those first that differ most from known frames and from each other.

    Parameters
    ----------
    candidates : sequence of Atoms
    order : ndarray of int
        Numbers of candidates in random order; of many, the first :data:`MOST_COMPARED` are compared.
    wanted : int
        Number of frames that are to be taken; a quarter more are put first, since some are left out afterwards.
    known : sequence of tuple
        Frames that the model was trained on; of many, :data:`MOST_COMPARED` or fewer are compared.
    model : Path
    """
    from dpa_sse.ops.potential.inference import open_model

    opened = open_model(model)
    compared = order[:MOST_COMPARED]
    new = environments([arrays_of(candidates[k]) for k in compared], opened)
    old = environments(known[:: max(1, -(-len(known) // MOST_COMPARED))], opened)
    picked = compared[farthest_frames(new, old, min(wanted + wanted // 4, len(new)))]
    return np.concatenate([picked, order[~np.isin(order, picked)]])
