"""Labelled frames in memory: the one type that readers return and writers take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import InputError, outside_type_map
from dpa_sse.ops.results.dataset import SPLITS, Split

SAME_A = 1e-6
OTHER_ENERGY_EV = 1e-3  # per atom; labels of one structure that differ by more are not of one calculation
OTHER_FORCE_EV_A = 0.02
INPUTS = ("spin", "fparam", "aparam")
"""Arrays that a model takes besides positions and cell: frames that differ in them are different."""
LABELS = ("coord", "box", "energy", "force", "virial")
"""The arrays of :class:`SystemData`, by their names in deepmd/npy."""


@dataclass
class SystemData:
    """Labelled frames with the same atoms in the same order.

    Attributes
    ----------
    system : str
        Name of the system.
    split : {"train", "validation", "test"}
    types : ndarray of int, shape (n_atoms,)
        Indices into the type map.
    coord : ndarray, shape (n, n_atoms, 3)
        Angstrom.
    box : ndarray, shape (n, 3, 3)
        Lattice vectors as rows, Angstrom.
    energy : ndarray, shape (n,)
        eV.
    force : ndarray, shape (n, n_atoms, 3)
        eV/Angstrom.
    virial : ndarray, shape (n, 3, 3), or None
        eV; minus the stress times the volume.
    trajectories : list of str
        Trajectory of each frame.
    temperatures_K : ndarray, shape (n,), or None
        NaN where it is unknown; None where all are.
    extra : dict of ndarray, first axis n
        Further arrays of DeePMD-kit by name: inputs (spin, fparam, aparam) and labels (force_mag, hessian, ...).
    """

    system: str
    split: Split
    types: NDArray[np.int_]
    coord: NDArray[np.float64]
    box: NDArray[np.float64]
    energy: NDArray[np.float64]
    force: NDArray[np.float64]
    virial: NDArray[np.float64] | None
    trajectories: list[str] = field(default_factory=list)
    temperatures_K: NDArray[np.float64] | None = None
    extra: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.energy)

    @property
    def key(self) -> tuple[str, str, tuple[int, ...], bool, tuple[tuple[str, tuple[int, ...]], ...]]:
        """What frames must share to be stored together."""
        extra = tuple(sorted((name, values.shape[1:]) for name, values in self.extra.items()))
        return self.split, self.system, tuple(self.types.tolist()), self.virial is not None, extra

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return all arrays by their names in deepmd/npy, without a missing virial."""
        found = {name: getattr(self, name) for name in LABELS}
        return {name: values for name, values in found.items() if values is not None} | self.extra

    def select(self, index: np.ndarray | Sequence[int]) -> SystemData:
        """Return the frames with these numbers, in this order."""
        index = np.asarray(index, int)
        return replace(
            self, coord=self.coord[index], box=self.box[index], energy=self.energy[index], force=self.force[index],
            virial=None if self.virial is None else self.virial[index],
            trajectories=[self.trajectories[k] for k in index],
            temperatures_K=None if self.temperatures_K is None else self.temperatures_K[index],
            extra={name: values[index] for name, values in self.extra.items()},
        )


def join(parts: Sequence[SystemData]) -> SystemData:
    """Join blocks with the same key into one, in order."""
    virials = [part.virial for part in parts if part.virial is not None]
    temperatures = [
        np.full(len(part), np.nan) if part.temperatures_K is None else part.temperatures_K for part in parts
    ]
    known = any(part.temperatures_K is not None for part in parts)
    return replace(
        parts[0],
        coord=np.concatenate([p.coord for p in parts]), box=np.concatenate([p.box for p in parts]),
        energy=np.concatenate([p.energy for p in parts]), force=np.concatenate([p.force for p in parts]),
        virial=np.concatenate(virials) if virials else None,
        trajectories=[name for part in parts for name in part.trajectories],
        temperatures_K=np.concatenate(temperatures) if known else None,
        extra={name: np.concatenate([p.extra[name] for p in parts]) for name in parts[0].extra},
    )


def evenly(total: int, count: int) -> NDArray[np.int_]:
    """Return the numbers of ``count`` evenly spaced ones of ``total`` frames, all if there are fewer."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))


def select_across(blocks: Sequence[SystemData], chosen: NDArray[np.int_]) -> Iterator[tuple[int, SystemData]]:
    """Yield frames that are numbered through all blocks, with the number of their block; in the order of the blocks.

    Blocks without a chosen frame are left out.
    """
    first = 0
    for number, block in enumerate(blocks):
        own = chosen[(chosen >= first) & (chosen < first + len(block))] - first
        if len(own):
            yield number, block.select(own)
        first += len(block)


def merge_blocks(blocks: Iterable[SystemData]) -> list[SystemData]:
    """Join all blocks that share a key, in order of first appearance; empty blocks are left out."""
    groups: dict[Any, list[SystemData]] = {}
    for block in blocks:
        if len(block):
            groups.setdefault(block.key, []).append(block)
    return [join(parts) for parts in groups.values()]


class Deduplicated(NamedTuple):
    """Blocks without repeated frames.

    Attributes
    ----------
    blocks : list of SystemData
    dropped : int
        Repeated frames that were left out.
    conflicts : tuple of str
        Structures that have two different labels, in words; all of their frames are kept.
    """

    blocks: list[SystemData]
    dropped: int
    conflicts: tuple[str, ...]

    def notes(self) -> tuple[str, ...]:
        """Return what a person should read about conflicting labels."""
        if not self.conflicts:
            return ()
        more = len(self.conflicts) - 1
        return (
            f"two different labels of one structure, both kept: {self.conflicts[0]}"
            + (f" (and {more} more structures)" if more else ""),
        )


def drop_duplicates(blocks: Sequence[SystemData]) -> Deduplicated:
    """Return the blocks without repeated frames, the number of frames dropped, and conflicting labels.

    Two frames are the same when their positions, cells and further inputs (spin, fparam, aparam) differ by less than
    1e-6. A frame that is in the test set and in another split stays in the test set; validation comes next. Frames that
    are the same, but whose labels differ by more than 1 meV/atom or 0.02 eV/A, are all kept.
    """
    order = sorted(range(len(blocks)), key=lambda k: -SPLITS.index(blocks[k].split))  # stable
    kept: dict[int, list[int]] = {k: [] for k in order}
    dropped = 0
    conflicts: list[str] = []
    groups: dict[Any, list[int]] = {}
    for k in order:
        inputs = tuple(sorted((name, blocks[k].extra[name].shape[1:]) for name in INPUTS if name in blocks[k].extra))
        groups.setdefault((tuple(blocks[k].types.tolist()), inputs), []).append(k)
    for members in groups.values():
        if not any(len(blocks[k]) for k in members):
            continue
        owner = [(k, frame) for k in members for frame in range(len(blocks[k]))]
        points = np.concatenate([_points(blocks[k]) for k in members])
        copy = np.zeros(len(points), bool)
        for row, other in equal_rows(points, SAME_A):
            pair = [(blocks[owner[at][0]], owner[at][1]) for at in (min(row, other), max(row, other))]
            if words := label_conflict(*pair[0], *pair[1]):
                conflicts.append(words)
            else:
                copy[max(row, other)] = True
        dropped += int(copy.sum())
        for (k, frame), bad in zip(owner, copy.tolist(), strict=True):
            if not bad:
                kept[k].append(frame)
    result = [block.select(kept[k]) for k, block in enumerate(blocks)]
    return Deduplicated([block for block in result if len(block)], dropped, tuple(conflicts))


def label_conflict(one: SystemData, k: int, other: SystemData, j: int) -> str:
    """Return how the labels of two frames of one structure contradict each other; empty if they do not."""
    energy = abs(float(one.energy[k] - other.energy[j])) / len(one.types)
    force = float(np.abs(one.force[k] - other.force[j]).max())
    if not (energy > OTHER_ENERGY_EV or force > OTHER_FORCE_EV_A):
        return ""
    names = f"{one.trajectories[k]} and {other.trajectories[j]}"
    return f"{one.system}, {names}: {1000 * energy:.1f} meV/atom, {force:.3f} eV/A apart"


def _points(block: SystemData) -> np.ndarray:
    inputs = [block.extra[name] for name in INPUTS if name in block.extra]
    parts = (block.coord, block.box, *inputs)
    return np.concatenate([one.reshape(len(block), int(np.prod(one.shape[1:]))) for one in parts], axis=1)


def equal_rows(points: np.ndarray, tolerance: float) -> Iterator[tuple[int, int]]:
    """Yield the pairs of rows that differ by less than ``tolerance`` in every column.

    Parameters
    ----------
    points : ndarray, shape (n, m)
    tolerance : float
        In the unit of ``points``.
    """
    weights = np.random.default_rng(0).uniform(-1, 1, points.shape[1])  # any fixed direction: sorts equal rows together
    value = points @ weights
    order = np.argsort(value, kind="stable")
    reach = tolerance * float(np.abs(weights).sum())
    for rank, row in enumerate(order):
        for other in order[rank + 1:]:
            if value[other] - value[row] > reach:
                break
            if np.abs(points[row] - points[other]).max() < tolerance:
                yield int(row), int(other)


def count_frames(blocks: Iterable[SystemData]) -> dict[Split, int]:
    """Return the number of frames in each split."""
    counts = dict.fromkeys(SPLITS, 0)
    for block in blocks:
        counts[block.split] += len(block)
    return counts


def type_indices(elements: Sequence[str], type_map: Sequence[str], where: str) -> NDArray[np.int_]:
    """Return the types (indices into ``type_map``) of atoms, shape (n,).

    Parameters
    ----------
    elements : sequence of str
        Element of each atom.
    type_map : sequence of str
        Elements in the order of the types.
    where : str
        What holds the atoms, for the message.

    Raises
    ------
    InputError
        An element is not in ``type_map``.
    """
    index = {element: k for k, element in enumerate(type_map)}
    outside = sorted(set(elements) - set(index))
    if outside:
        raise InputError(f"{where}: {outside_type_map(outside, type_map)}")
    return np.array([index[element] for element in elements], int)
