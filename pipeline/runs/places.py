"""Where run folders are: ``runs/`` of the current folder, or the nearest one in the folders above it."""

from __future__ import annotations

import os
from pathlib import Path

RUNS = "runs"
CONFIG = "config.resolved.yaml"
"""The file that makes a folder a run folder."""


def runs_folders() -> list[Path]:
    """Return the folders ``runs/`` of the current folder and of those above it, the nearest first.

    Above the current folder, only those count that hold a run and belong to this user: a name never leads to somebody
    else's runs.
    """
    here = Path.cwd()
    found = [Path(RUNS)] if Path(RUNS).is_dir() else []
    for folder in here.parents:
        runs = folder / RUNS
        try:
            if runs.stat().st_uid == os.geteuid() and not runs.is_symlink() and known_runs(runs):
                found.append(runs)
        except OSError:
            continue
    return found


def known_runs(runs: Path) -> list[Path]:
    """Return the run folders in a folder, by name."""
    return sorted(path.parent for path in runs.glob(f"*/{CONFIG}"))


def default_runs_folder() -> Path:
    """Return where `run` and `submit` put run folders: the nearest ``runs/``, else a new one here."""
    return next(iter(runs_folders()), Path(RUNS))


def candidates(name: str | Path) -> list[Path]:
    """Return the folders that a name may mean: the path itself, or a run of that name."""
    return [Path(name), *(runs / name for runs in runs_folders())]
