"""Tables of pair potentials that a training input names (``model.use_srtab``): inside the input, no longer beside it.

DeePMD-kit reads a table again from its path whenever it opens a checkpoint, on any machine. Here the path is replaced
by the text: packed in settings and inputs, as lines in checkpoints, which are then complete (NumPy, with which
DeePMD-kit reads a table, takes lines as well as a name). A frozen model has the table in its weights.
"""

from __future__ import annotations

import base64
import binascii
import copy
import lzma
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.limits import read_small, regular
from dpa_sse.ops.potential.describe import COMPRESSIBLE, DPA4
from dpa_sse.ops.training.purpose import parts_of

TABLE = "use_srtab"
KEYS = (TABLE, "sw_rmin", "sw_rmax", "smin_alpha")
OVERRIDE = f"model.{TABLE}"
PACKED = "xz:"
MAX_LINES = 20_000
EVEN = 1e-3
"""Largest deviation of a distance from an even spacing, in spacings."""


def packed_table(value: Any, base_dir: Path) -> Any:
    """Return the packed text of a table that a name stands for; what is packed already, or not text, is returned.

    Raises
    ------
    InputError
        There is no such file, or it is not a text.
    """
    if not isinstance(value, str) or value.startswith(PACKED):
        return value
    path = base_dir / Path(value).expanduser()
    try:
        return pack(read_small(regular(path)).splitlines())
    except FileNotFoundError as error:
        raise InputError(f"{OVERRIDE}: no such file: {path}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{OVERRIDE}: {path}: {error}") from error


def pack(lines: Sequence[str]) -> str:
    """Return lines as one word; equal lines give equal words."""
    return PACKED + base64.b64encode(lzma.compress("\n".join(lines).encode())).decode()


def unpack(word: str) -> list[str]:
    """Return the lines that :func:`pack` packed.

    Raises
    ------
    InputError
        The word was damaged.
    """
    try:
        return lzma.decompress(base64.b64decode(word.removeprefix(PACKED), validate=True)).decode().splitlines()
    except (lzma.LZMAError, binascii.Error, ValueError) as error:
        raise InputError(f"{OVERRIDE}: the table in the input is damaged") from error


# foreign: the section `model` of DeePMD-kit's input, or of a checkpoint
def with_lines(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section ``model`` with the lines of its table, for DeePMD-kit's network."""
    table = model.get(TABLE)
    plain = copy.deepcopy(dict(model))
    if "model_dict" in plain:  # of a training with two tasks
        return {**plain, "model_dict": {task: with_lines(own) for task, own in plain["model_dict"].items()}}
    return {**plain, TABLE: unpack(table)} if isinstance(table, str) and table.startswith(PACKED) else plain


def with_word(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section ``model`` with its table as a word, as DeePMD-kit's argument check wants it."""
    table = model.get(TABLE)
    return {**model, TABLE: pack(table)} if isinstance(table, list) else dict(model)


# foreign: the section `model` of DeePMD-kit's input, or of a checkpoint
def with_table_of(model: Mapping[str, Any], pretrained: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section ``model`` with the table of a pre-trained model, or without one: it is part of that model."""
    own = {key: value for key, value in model.items() if key not in KEYS}
    return {**own, **{key: pretrained[key] for key in KEYS if TABLE in pretrained and key in pretrained}}


def table_faults(model: Mapping[str, Any], type_map: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with the table of a section ``model`` with these elements; nothing if it has none."""
    word = model.get(TABLE)
    if not isinstance(word, str) or not word.startswith(PACKED):
        return
    kinds = {str(part.get("type")) for part in parts_of(model.get("descriptor"))}
    if single := sorted(kinds & {*COMPRESSIBLE, *DPA4}):
        other = "; its own repulsion is model.bridging_method: zbl" if kinds & set(DPA4) else ""
        yield (
            f"{OVERRIDE}: DeePMD-kit combines a table with descriptors that have one network for all elements (dpa1, "
            f"dpa2, dpa3, ...), not with {single[0]}{other}"
        )
        return
    try:
        lines = unpack(word)
        if len(lines) > MAX_LINES:
            raise ValueError(f"more than {MAX_LINES} lines")
        if not any(line.partition("#")[0].strip() for line in lines):
            raise ValueError("the table is empty")
        table = np.loadtxt(lines, dtype=float, ndmin=2)
    except (InputError, ValueError) as error:
        yield f"{OVERRIDE}: not a table of numbers: {' '.join(str(error).split())}"
        return
    yield from (f"{OVERRIDE}: {fault}" for fault in _faults(table, model, type_map))


def _faults(table: np.ndarray, model: Mapping[str, Any], type_map: Sequence[str]) -> Iterator[str]:
    n = len(type_map)
    pairs = [f"{type_map[i]}-{type_map[j]}" for i in range(n) for j in range(i, n)]
    if table.shape[1] != len(pairs) + 1:
        yield (
            f"the table has {table.shape[1]} columns; with type_map [{', '.join(type_map)}] it needs {len(pairs) + 1}: "
            f"r, {', '.join(pairs)}"
        )
        return
    if len(table) < 4:
        yield f"the table has {len(table)} rows; at least 4 are needed"
        return
    if not np.isfinite(table).all():
        yield f"row {int(np.argmin(np.isfinite(table).all(axis=1))) + 1} of the table has values that are not finite"
        return
    distances = table[:, 0]
    step = distances[1] - distances[0]
    uneven = np.abs(np.diff(distances) - step) > EVEN * abs(step)
    if step <= 0 or uneven.any():
        row = int(np.argmax(uneven)) + 2 if step > 0 else 2
        yield f"the first column must be distances in A at even, growing steps; row {row} does not follow"
        return
    yield from _range_faults(distances, model)


def _range_faults(distances: np.ndarray, model: Mapping[str, Any]) -> Iterator[str]:
    low, high = model.get("sw_rmin"), model.get("sw_rmax")
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        yield "needs model.sw_rmin and model.sw_rmax, A: below the one the table counts, above the other the network"
    elif not 0 < low < high:
        yield f"model.sw_rmin ({low:g} A) must be positive and smaller than model.sw_rmax ({high:g} A)"
    elif high > distances[-1]:
        yield f"the table ends at {distances[-1]:g} A, before the network takes over (model.sw_rmax {high:g} A)"
    elif distances[0] >= low:
        yield f"the table begins at {distances[0]:g} A, where the network counts already (model.sw_rmin {low:g} A)"
