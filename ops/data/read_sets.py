"""Data sets of DeePMD-kit and of this pipeline as parts of labelled data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from dpa_sse.ops.core.errors import InputError, PipelineError
from dpa_sse.ops.data.account import SourceCount
from dpa_sse.ops.data.dataset import level_of, read_dataset
from dpa_sse.ops.data.frames import SystemData
from dpa_sse.ops.data.npy import load_system
from dpa_sse.ops.data.part import DataPart
from dpa_sse.ops.data.stores import FolderStore, GroupStore, Store, own_type_map, readable, walk_groups
from dpa_sse.ops.results.level import LevelOfTheory

LEVEL_FILE, LEVEL_ATTRIBUTE = "level_of_theory.json", "level_of_theory"


def read_own_dataset(path: Path) -> DataPart:
    """Read a data set with ``dataset.json``.

    Raises
    ------
    InputError
        ``dataset.json`` and the folders do not match.
    """
    try:
        own, blocks = read_dataset(path)
    except (PipelineError, ValueError, OSError) as error:
        raise InputError(f"{path}: dataset.json and the npy files do not match: {error}") from error
    return DataPart(own, blocks, _count(path, "dataset", blocks), level_of(path))


def read_folder(
    path: Path, root: Path, type_map: Sequence[str] | None, *, check_numbers: bool = True
) -> DataPart:
    """Read one deepmd/npy folder below ``root``, plain or mixed type.

    Raises
    ------
    InputError
        Something is missing or wrong.
    """
    store = FolderStore(root, path)
    mixed = any((path / part / "real_atom_types.npy").is_file() for part in store.sets())
    level = next((one for one in (path, *path.parents) if (one / LEVEL_FILE).is_file()), None)
    form = "mixed" if mixed else "npy"
    text = None if level is None else (level / LEVEL_FILE).read_text(encoding="utf-8", errors="replace")
    return _part([store], path, form, root.resolve().name, type_map, level_from(text), check_numbers=check_numbers)


def read_hdf5(path: Path, type_map: Sequence[str] | None, *, check_numbers: bool = True) -> DataPart:
    """Read a deepmd/hdf5 file.

    Raises
    ------
    InputError
        Not HDF5, no system in it, or something is missing or wrong.
    """
    import h5py

    try:
        root = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path}: not readable as HDF5: {str(error).splitlines()[0]}") from error
    with root:
        with readable(str(path)):
            stores = [GroupStore(path, group) for group in walk_groups(root)]
            level = level_from(root.attrs.get(LEVEL_ATTRIBUTE))
        if not stores:
            raise InputError(f"{path}: no deepmd system found (no type.raw in or below it)")
        return _part(stores, path, "hdf5", path.resolve().stem, type_map, level, check_numbers=check_numbers)


def level_from(text: object) -> LevelOfTheory | None:
    """Return the level of theory that was stored as JSON; None if there is none or it is not readable."""
    try:
        return None if text is None else LevelOfTheory.model_validate(json.loads(str(text)))
    except (ValidationError, ValueError):
        return None


def _part(
    stores: Sequence[Store], path: Path, form: str, name: str, type_map: Sequence[str] | None,
    level: LevelOfTheory | None, *, check_numbers: bool,
) -> DataPart:
    own = own_type_map(stores)
    elements = own or list(type_map or [])
    blocks: list[SystemData] = []
    problems = []
    for store in stores:
        try:
            blocks += load_system(store, elements, name, check_numbers=check_numbers, unnamed=type_map)
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))
    return DataPart(elements, blocks, _count(path, form, blocks), level)


def _count(path: Path, form: str, blocks: Sequence[SystemData]) -> SourceCount:
    frames = sum(map(len, blocks))
    return SourceCount(path=str(path), form=form, found=frames, taken=frames)
