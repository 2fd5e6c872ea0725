"""The frames of a data set as one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dpa_sse.ops.data.frames import SystemData
from dpa_sse.ops.results.audit import LISTED, Finding, Severity

EV_A3_IN_GPA = 160.21766208


@dataclass
class Table:
    """All frames, in the order of the blocks; arrays have one entry per frame unless stated otherwise.

    Attributes
    ----------
    blocks : list of SystemData
        The frames with finite numbers.
    type_map : list of str
        Elements.
    sources : list of str
        Origin of each block.
    block, index : ndarray of int
        Block and number in the block.
    counts : ndarray of int, shape (n, n_elements)
        Atoms of each element.
    n_atoms, energy, volume, net_force, max_force, pressure_GPa : ndarray
        eV, A^3, eV/A; pressure (trace of the virial over three volumes) is NaN without virial.
    temperature_K : ndarray
        NaN where unknown.
    """

    blocks: list[SystemData]
    type_map: list[str]
    sources: list[str]
    block: np.ndarray
    index: np.ndarray
    counts: np.ndarray
    n_atoms: np.ndarray
    energy: np.ndarray
    volume: np.ndarray
    net_force: np.ndarray
    max_force: np.ndarray
    pressure_GPa: np.ndarray
    temperature_K: np.ndarray

    def __len__(self) -> int:
        return len(self.energy)

    @property
    def system(self) -> np.ndarray:
        """Name of the system of each frame."""
        return np.array([block.system for block in self.blocks])[self.block]

    @property
    def split(self) -> np.ndarray:
        """Split of each frame."""
        return np.array([block.split for block in self.blocks])[self.block]

    @property
    def trajectory(self) -> np.ndarray:
        """Name of the trajectory of each frame."""
        return np.array([name for block in self.blocks for name in block.trajectories])

    def name(self, frame: int) -> str:
        """Return the name of a frame in messages."""
        block = self.blocks[self.block[frame]]
        return f"{self.sources[self.block[frame]]}: {block.split}/{block.system}[{self.index[frame]}]"

    def finding(self, level: Severity, check: str, message: str, frames: Sequence[int] | np.ndarray) -> Finding:
        """Return a finding on some frames; it names the first twenty."""
        names = tuple(self.name(int(frame)) for frame in frames[:LISTED])
        return Finding(level=level, check=check, message=message, frames=names)


def make_table(blocks: Sequence[SystemData], type_map: Sequence[str], sources: Sequence[str]) -> Table:
    """Return the table of blocks whose numbers are finite."""
    parts: dict[str, list[Any]] = {
        name: [] for name in ("block", "index", "counts", "n_atoms", "energy", "volume", "net_force", "max_force",
                              "pressure_GPa", "temperature_K")
    }
    for number, block in enumerate(blocks):
        count = len(block)
        volume = np.abs(np.linalg.det(block.box))
        trace = np.full(count, np.nan) if block.virial is None else np.trace(block.virial, axis1=1, axis2=2)
        parts["block"].append(np.full(count, number))
        parts["index"].append(np.arange(count))
        parts["counts"].append(np.tile(np.bincount(block.types, minlength=len(type_map)), (count, 1)))
        parts["n_atoms"].append(np.full(count, len(block.types)))
        parts["energy"].append(block.energy)
        parts["volume"].append(volume)
        parts["net_force"].append(np.linalg.norm(block.force.sum(axis=1), axis=1))
        parts["max_force"].append(np.linalg.norm(block.force, axis=2).max(axis=1))
        parts["pressure_GPa"].append(trace / (3 * volume) * EV_A3_IN_GPA)
        known = block.temperatures_K
        parts["temperature_K"].append(np.full(count, np.nan) if known is None else known)
    return Table(list(blocks), list(type_map), list(sources), **{k: np.concatenate(v) for k, v in parts.items()})


def drop_invalid(
    blocks: Sequence[SystemData], sources: Sequence[str]
) -> tuple[list[SystemData], list[str], list[Finding]]:
    """Drop frames with NaN or infinite numbers, or with a cell without volume.

    Returns
    -------
    list of SystemData, list of str
        What is left, and the origin of each block.
    list of Finding
        What was dropped.
    """
    kept, places, findings = [], [], []
    for block, source in zip(blocks, sources, strict=True):
        good = np.ones(len(block), bool)
        faults = [
            (~np.isfinite(values.reshape(len(block), -1)).all(axis=1), f"{name} contains NaN or infinite numbers")
            for name, values in block.arrays().items()
        ]
        finite = ~np.any([bad for bad, _ in faults], axis=0)
        faults.append((finite & (np.abs(np.linalg.det(np.nan_to_num(block.box))) < 1e-3), "a cell without volume"))
        where = f"{source}: {block.split}/{block.system}"
        for bad, what in faults:
            if bad.any():
                findings.append(Finding(
                    level="unusable", check="numbers", message=f"{int(bad.sum())} frames of {where}: {what}",
                    frames=tuple(f"{where}[{k}]" for k in np.flatnonzero(bad)[:LISTED]),
                ))
            good &= ~bad
        if good.any():
            kept.append(block if good.all() else block.select(np.flatnonzero(good)))
            places.append(source)
    return kept, places, findings
