"""Blocks as deepmd/npy, mixed type, HDF5 or extxyz: complete or absent, never over something else unasked."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import atomic_path
from dpa_sse.ops.data.collect import count_frames
from dpa_sse.ops.data.convert import block_to_frames
from dpa_sse.ops.data.dataset import SystemData, merge_blocks, write_dataset
from dpa_sse.ops.data.systems import SIDE_ARRAYS
from dpa_sse.ops.structures.extxyz import frame_text

_NO_LIMIT = 10**9  # all frames in one set.000


def write_data(
    out: Path, form: str, type_map: Sequence[str], blocks: Sequence[SystemData], *, overwrite: bool = False,
    **extra: Any,
) -> None:
    """Write blocks in one of the writable formats.

    Splits become folders (npy, mixed), groups (hdf5) or ``split=`` of each frame (extxyz); system, trajectory and
    temperature travel along in every format. All numbers keep their last bit.

    Parameters
    ----------
    out : Path
        File or folder.
    form : str
        npy, mixed, hdf5 or extxyz.
    type_map : sequence of str
        Elements in their order.
    blocks : sequence of SystemData
        What to write.
    overwrite : bool
        Replace what is there.
    **extra
        Further keys of ``dataset.json`` (npy).

    Raises
    ------
    InputError
        ``out`` exists, or its folder can not be written.
    """
    check_target(out, overwrite=overwrite)
    if form == "extxyz":
        with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8") as stream:
            for block in merge_blocks(blocks):
                for atoms in block_to_frames(block, type_map):
                    atoms.info |= {"split": block.split, "type_map": " ".join(type_map)}
                    stream.write(frame_text(atoms))
    elif form == "hdf5":
        with atomic_path(out) as temporary:
            _write_hdf5(temporary, type_map, blocks)
    else:
        with new_folder(out) as temporary:
            if form == "mixed":
                _write_mixed(temporary, type_map, blocks)
            else:
                write_dataset(temporary, type_map, blocks, n_frames=count_frames(blocks), **extra)


def check_target(out: Path, *, overwrite: bool) -> None:
    """Refuse to write over something that exists, unless asked to."""
    if out.exists() and not overwrite:
        raise InputError(f"{out}: exists already; choose another name, or --overwrite")


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``out`` that takes its name when the block ends well."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = (out.with_name(f".{out.name}.{os.getpid()}.{word}") for word in ("tmp", "old"))
    temporary.mkdir()
    try:
        yield temporary
        if out.is_dir() and not out.is_symlink():
            out.replace(old)
        else:
            out.unlink(missing_ok=True)
        temporary.replace(out)
    finally:
        for folder in (temporary, old):
            shutil.rmtree(folder, ignore_errors=True)


def _labeled_system(block: SystemData, type_map: Sequence[str]) -> Any:
    """Return a block as a dpdata system that carries the side arrays along."""
    import dpdata

    _register_side_arrays()
    count = len(block)
    temperatures = block.temperatures_K if block.temperatures_K is not None else np.full(count, np.nan)
    data = {
        "atom_names": list(type_map), "atom_numbs": np.bincount(block.types, minlength=len(type_map)).tolist(),
        "atom_types": block.types, "orig": np.zeros(3), "cells": block.box, "coords": block.coord,
        "energies": block.energy, "forces": block.force, "temperature_K": temperatures,
        "system": np.char.encode([block.system] * count, "utf-8"),
        "trajectory": np.char.encode(block.trajectories, "utf-8"),
    }
    if block.virial is not None:
        data["virials"] = block.virial
    return dpdata.LabeledSystem(data=data)


def _register_side_arrays() -> None:
    import dpdata
    from dpdata.data_type import Axis, DataType

    known = {one.name for one in dpdata.LabeledSystem.DTYPES}
    new = [DataType(name, np.ndarray, (Axis.NFRAMES,), required=False) for name in SIDE_ARRAYS if name not in known]
    if new:
        dpdata.LabeledSystem.register_data_type(*new)


def _write_hdf5(path: Path, type_map: Sequence[str], blocks: Sequence[SystemData]) -> None:
    import h5py
    from dpdata.formats.deepmd import hdf5

    with h5py.File(path, "w") as stream:
        for block in merge_blocks(blocks):
            base, number = f"{block.split}/{block.system}", 1
            name = base
            while name in stream:
                number += 1
                name = f"{base}.{number}"
            data = _labeled_system(block, type_map).data
            hdf5.dump(stream, name, data, set_size=_NO_LIMIT, comp_prec=np.float64)


def _write_mixed(folder: Path, type_map: Sequence[str], blocks: Sequence[SystemData]) -> None:
    """Write one folder per split and number of atoms, with and without virials apart."""
    from dpdata.formats.deepmd import mixed

    groups: dict[tuple[str, bool], list[Any]] = {}
    for block in merge_blocks(blocks):
        groups.setdefault((block.split, block.virial is not None), []).append(_labeled_system(block, type_map))
    for (split, has_virial), systems in groups.items():
        for atoms, system in mixed.mix_system(*systems, type_map=list(type_map)).items():
            name = f"{atoms}-atoms{'' if has_virial else '-no-virial'}"
            mixed.dump(str(folder / split / name), system.data, set_size=_NO_LIMIT, comp_prec=np.float64)
