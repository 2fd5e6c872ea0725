"""A data set in memory and on disk: deepmd/npy folders per split and system, and ``dataset.json``.

    <dataset>/{train,validation,test}/<system>/{type.raw,type_map.raw,set.000/*.npy}

Frames of one system whose atoms differ in number or order, or that lack the virial, go to folders of their own
(``Li2S``, ``Li2S.2`` ...). ``type_map.raw`` always holds the whole type map of the project.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import read_json, write_json

SPLITS = ("train", "validation", "test")
SAME_A = 1e-6
_NO_LIMIT = 10**9  # all frames in one set.000


@dataclass
class SystemData:
    """Frames with the same atoms in the same order.

    ``types`` (n_atoms) are indices into the type map; ``coord`` (n, n_atoms, 3) and ``box`` (n, 3, 3) in A,
    ``energy`` (n) in eV, ``force`` (n, n_atoms, 3) in eV/A, ``virial`` (n, 3, 3) in eV or None;
    ``trajectories`` names the trajectory of each frame, ``temperatures_K`` (n) is NaN where it is unknown, or None.
    """

    system: str
    split: str
    types: np.ndarray
    coord: np.ndarray
    box: np.ndarray
    energy: np.ndarray
    force: np.ndarray
    virial: np.ndarray | None
    trajectories: list[str] = field(default_factory=list)
    temperatures_K: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.energy)

    @property
    def key(self) -> tuple[str, str, tuple[int, ...], bool]:
        """What frames must share to be stored together."""
        return self.split, self.system, tuple(self.types.tolist()), self.virial is not None

    def select(self, index: np.ndarray | Sequence[int]) -> SystemData:
        """Return the frames with these numbers, in this order."""
        index = np.asarray(index, int)
        return replace(
            self, coord=self.coord[index], box=self.box[index], energy=self.energy[index], force=self.force[index],
            virial=None if self.virial is None else self.virial[index],
            trajectories=[self.trajectories[k] for k in index],
            temperatures_K=None if self.temperatures_K is None else self.temperatures_K[index],
        )


def join(parts: Sequence[SystemData]) -> SystemData:
    """Return frames that share their key as one block, in order."""
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
    )


def merge_blocks(blocks: Iterable[SystemData]) -> list[SystemData]:
    """Return blocks joined by their key, in the order of first appearance; empty ones are left out."""
    groups: dict[Any, list[SystemData]] = {}
    for block in blocks:
        if len(block):
            groups.setdefault(block.key, []).append(block)
    return [join(parts) for parts in groups.values()]


def drop_duplicates(blocks: Sequence[SystemData]) -> tuple[list[SystemData], int]:
    """Return the blocks without frames that occur before in them, and the number of dropped frames.

    Two frames are the same when positions and cell differ by less than 1e-6 A. A frame that is both in the test
    set and in another split stays in the test set; next comes validation.
    """
    order = sorted(range(len(blocks)), key=lambda k: -SPLITS.index(blocks[k].split))  # stable
    kept: dict[int, list[int]] = {k: [] for k in order}
    dropped = 0
    groups: dict[Any, list[int]] = {}
    for k in order:
        groups.setdefault(tuple(blocks[k].types.tolist()), []).append(k)
    for members in groups.values():
        owner = [(k, frame) for k in members for frame in range(len(blocks[k]))]
        points = np.concatenate([_points(blocks[k]) for k in members])
        copy = _is_copy(points)
        dropped += int(copy.sum())
        for (k, frame), bad in zip(owner, copy.tolist(), strict=True):
            if not bad:
                kept[k].append(frame)
    result = [block.select(kept[k]) for k, block in enumerate(blocks)]
    return [block for block in result if len(block)], dropped


def _points(block: SystemData) -> np.ndarray:
    return np.concatenate([block.coord.reshape(len(block), -1), block.box.reshape(len(block), -1)], axis=1)


def _is_copy(points: np.ndarray) -> np.ndarray:
    """Return for each row whether an earlier row is equal to it within the tolerance, shape (n,)."""
    weights = np.random.default_rng(0).uniform(-1, 1, points.shape[1])  # any fixed direction: sorts equal rows together
    value = points @ weights
    order = np.argsort(value, kind="stable")
    reach = SAME_A * float(np.abs(weights).sum())
    copy = np.zeros(len(points), bool)
    for rank, row in enumerate(order):
        for other in order[rank + 1:]:
            if value[other] - value[row] > reach:
                break
            if np.abs(points[row] - points[other]).max() < SAME_A:
                copy[max(row, other)] = True
    return copy


def write_dataset(out: Path, type_map: Sequence[str], blocks: Iterable[SystemData], **extra: Any) -> dict[str, Any]:
    """Write a data set and return the content of its ``dataset.json``.

    Parameters
    ----------
    out : Path
        The data set folder; an unfinished one from before is replaced.
    type_map : sequence of str
        Full type map of the project.
    blocks : iterable of SystemData
        Joined by their key.
    **extra
        Further keys of ``dataset.json``.
    """
    import dpdata

    out.mkdir(parents=True, exist_ok=True)
    (out / "dataset.json").unlink(missing_ok=True)
    for split in SPLITS:
        shutil.rmtree(out / split, ignore_errors=True)
    entries: list[dict[str, Any]] = []
    for block in merge_blocks(blocks):
        folder = _free_folder(out / block.split, block.system)
        data = {
            "atom_names": list(type_map), "atom_numbs": np.bincount(block.types, minlength=len(type_map)).tolist(),
            "atom_types": block.types, "orig": np.zeros(3), "cells": block.box, "coords": block.coord,
            "energies": block.energy, "forces": block.force,
        }
        if block.virial is not None:
            data["virials"] = block.virial
        dpdata.LabeledSystem(data=data).to("deepmd/npy", str(folder), set_size=_NO_LIMIT, prec=np.float64)
        entries.append(_describe(block, folder.relative_to(out).as_posix()))
    summary = {"type_map": list(type_map), "systems": entries, **extra}
    write_json(out / "dataset.json", summary)
    return summary


def read_dataset(path: Path) -> tuple[list[str], list[SystemData]]:
    """Return the type map and the blocks of a data set folder.

    Raises
    ------
    InputError
        ``dataset.json`` is missing.
    """
    if not (path / "dataset.json").is_file():
        raise InputError(f"{path}: not a data set of this pipeline (no dataset.json)")
    summary = read_json(path / "dataset.json")
    return summary["type_map"], [_read_block(path, entry) for entry in summary["systems"]]


def load_arrays(sets: Sequence[Path], n_atoms: int) -> dict[str, np.ndarray | None]:
    """Return the arrays of deepmd ``set.*`` folders, joined and in shape; the virial may be absent (None)."""
    shapes: dict[str, tuple[int, ...]] = {
        "coord": (n_atoms, 3), "box": (3, 3), "energy": (), "force": (n_atoms, 3), "virial": (3, 3),
    }
    arrays: dict[str, np.ndarray | None] = {}
    for name, shape in shapes.items():
        files = [folder / f"{name}.npy" for folder in sets]
        if name == "virial" and not all(file.is_file() for file in files):
            arrays[name] = None
            continue
        arrays[name] = np.concatenate([_load_array(file, shape) for file in files])
    return arrays


def _load_array(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    values = np.load(file, allow_pickle=False).astype(np.float64)
    if values[:1].size != (math.prod(shape) if len(values) else 0):
        raise ValueError(f"{file.name} has shape {values.shape}, expected (n, {math.prod(shape)})")
    return values.reshape(-1, *shape)


def _read_block(path: Path, entry: dict[str, Any]) -> SystemData:
    folder = path / entry["path"]
    types = np.loadtxt(folder / "type.raw", dtype=int, ndmin=1)
    arrays = load_arrays(sorted(folder.glob("set.*")), len(types))
    counts = entry["frames_per_trajectory"]
    names = [name for name, count in zip(entry["trajectories"], counts, strict=True) for _ in range(count)]
    known = entry.get("temperatures_K")
    temperatures = None if known is None else np.repeat(np.array(known, float), counts)  # null becomes NaN
    return SystemData(
        entry["system"], entry["split"], types, trajectories=names, temperatures_K=temperatures,
        **arrays,  # type: ignore[arg-type]
    )


def _describe(block: SystemData, path: str) -> dict[str, Any]:
    found = np.full(len(block), np.nan) if block.temperatures_K is None else block.temperatures_K
    temperatures = [float(value) if math.isfinite(value) else None for value in found]
    runs = [
        (key, len(list(group))) for key, group in groupby(zip(block.trajectories, temperatures, strict=True))
    ]
    return {
        "split": block.split, "system": block.system, "path": path, "n_frames": len(block),
        "n_atoms": len(block.types), "trajectories": [name for (name, _), _ in runs],
        "frames_per_trajectory": [count for _, count in runs],
        **({"temperatures_K": [temperature for (_, temperature), _ in runs]} if np.isfinite(found).any() else {}),
    }


def _free_folder(parent: Path, name: str) -> Path:
    folder, number = parent / name, 2
    while folder.exists():
        folder, number = parent / f"{name}.{number}", number + 1
    return folder
