"""Write labelled data as deepmd/npy, mixed type, HDF5 or extxyz: complete or not at all, and never over other files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import atomic_path, write_text
from dpa_sse.ops.data.convert import block_to_frames
from dpa_sse.ops.data.dataset import write_dataset
from dpa_sse.ops.data.frames import SystemData, merge_blocks
from dpa_sse.ops.data.npy import write_hdf5, write_mixed
from dpa_sse.ops.data.read_extxyz import LEVEL_KEY
from dpa_sse.ops.data.read_sets import LEVEL_ATTRIBUTE, LEVEL_FILE
from dpa_sse.ops.results.dataset import DatasetInfo
from dpa_sse.ops.structures.extxyz import frame_text


def write_data(
    out: Path, form: str, type_map: Sequence[str], blocks: Sequence[SystemData], *, overwrite: bool = False,
    **facts: Any,
) -> None:
    """Write blocks in one of the writable formats.

    Splits become folders (npy, mixed), groups (hdf5) or ``split=`` of each frame (extxyz); every format keeps system,
    trajectory and temperature, and the last bit of all numbers.

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
    **facts
        Further fields of ``dataset.json`` (npy).

    Raises
    ------
    InputError
        ``out`` exists, or its folder cannot be written.
    """
    check_target(out, overwrite=overwrite)
    if form in ("extxyz", "mixed") and (names := sorted({name for block in blocks for name in block.extra})):
        raise InputError(f"{out}: {form} cannot hold {', '.join(names)} of these data; write npy or hdf5")
    level = facts.get("level")
    text = None if level is None else json.dumps(level.model_dump(mode="json"))
    if form == "extxyz":
        with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8") as stream:
            for block in merge_blocks(blocks):
                for atoms in block_to_frames(block, type_map):
                    atoms.info |= {"split": block.split, "type_map": " ".join(type_map), LEVEL_KEY: text}
                    stream.write(frame_text(atoms))
    elif form == "hdf5":
        with atomic_path(out) as temporary:
            write_hdf5(temporary, type_map, blocks)
            if text is not None:
                import h5py

                with h5py.File(temporary, "a") as stream:
                    stream.attrs[LEVEL_ATTRIBUTE] = text
    else:
        with new_folder(out) as temporary:
            if form == "mixed":
                write_mixed(temporary, type_map, blocks)
                if text is not None:
                    write_text(temporary / LEVEL_FILE, text)
            else:
                write_dataset(temporary, type_map, blocks, **facts)


def check_target(out: Path, *, overwrite: bool) -> None:
    """Refuse to overwrite an existing file or folder, unless asked to.

    Raises
    ------
    InputError
        ``out`` exists; or it is a folder with other files than those of a data set, which overwriting would remove.
    """
    if out.exists() and not overwrite:
        raise InputError(f"{out}: already exists; choose another name, or use --overwrite")
    foreign = next((name for name in _files_in(out) if not _of_dataset(name)), None) if out.is_dir() else None
    if foreign is not None:
        raise InputError(f"{out}: not overwritten, because {foreign} is not a file of a data set; choose another name")


def _files_in(folder: Path) -> Iterator[Path]:
    """Yield the relative names of all files and links in a folder, hidden ones included, links not followed."""
    for root, folders, files in os.walk(folder):
        links = [name for name in folders if Path(root, name).is_symlink()]
        yield from (Path(root, name).relative_to(folder) for name in sorted(files + links))


def _of_dataset(name: Path) -> bool:
    """Return whether a file may be a part of a data set in deepmd/npy format."""
    if name.suffix == ".npy":
        return name.parent.name.startswith("set.")
    return name.name in (DatasetInfo.FILE, LEVEL_FILE, "nopbc", "type.raw", "type_map.raw")


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder next to ``out`` that is renamed to it if the block succeeds."""
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
