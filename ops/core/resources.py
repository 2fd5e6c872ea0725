"""Files that ship with the package: starter configurations, presets, structures, cluster presets."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import dpa_sse


def configs_folder(*parts: str) -> Path:
    """Return a folder or file below ``configs/``, which is part of the installed package.

    Raises
    ------
    FileNotFoundError
        The installation is incomplete.
    """
    path = Path(str(resources.files(dpa_sse))).joinpath("configs", *parts)
    if not path.exists():
        raise FileNotFoundError(f"the installation is incomplete: {path} is missing (run `make setup`)")
    return path


def import_root() -> Path:
    """Return the folder from which ``dpa_sse`` is imported, for the ``PYTHONPATH`` of child processes."""
    return Path(dpa_sse.__file__).parent.parent
