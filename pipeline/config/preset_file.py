"""Preset files: those of the package by name, or the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.limits import read_small_yaml
from dpa_sse.ops.core.resources import configs_folder

MAX_PRESET_BYTES = 100_000
"""YAML of 600 kB takes four seconds to read."""


def read_preset(name: str, folder: tuple[str, ...], base_dir: Path) -> tuple[Path, dict[str, Any]]:  # foreign: YAML
    """Return the file of a preset and its keys and values, which are not checked.

    Parameters
    ----------
    name : str
        Of a preset of the package, or a file.
    folder : tuple of str
        Of the package's presets, below ``configs``.
    base_dir : Path
        Folder that a relative file name refers to.

    Raises
    ------
    InputError
        There is no such preset, or it cannot be read.
    """
    known = {path.stem: path for path in sorted(configs_folder(*folder).glob("*.yaml"))}
    path = known.get(name, base_dir / name)
    if not path.is_file():
        raise InputError(f"{name!r} is neither a file nor one of the presets {', '.join(known)}")
    try:
        data = read_small_yaml(path, MAX_PRESET_BYTES) or {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: the file must contain keys and values")
    return path, data
