"""Versions of the program that a labeler calls."""

from __future__ import annotations

import functools
import shutil
from importlib.metadata import packages_distributions
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.labelers.settings import LabelerSettings
from dpa_sse.ops.runtime.versions import executable, installed


def labeler_versions(settings: LabelerSettings) -> dict[str, str]:
    """Return the versions of the packages or the program that compute the labels; empty if they cannot be told."""
    kind = settings.kind
    if kind == "ase":
        name = str(getattr(settings, "calculator", ""))
        packages = ("chgnet",) if name == "chgnet" else _distributions(name.partition(".")[0].partition(":")[0])
        return installed([*packages, "ase", "torch"] if name == "chgnet" else [*packages, "ase"])
    if kind == "deepmd":
        return installed(["deepmd-kit", "torch"])
    try:
        if kind == "cp2k":
            from dpa_sse.ops.labelers.cp2k.program import command_words, version

            return {"cp2k": version(tuple(command_words(settings)))}  # type: ignore[arg-type]
        if kind == "vasp":
            from dpa_sse.ops.labelers.vasp.job import command_of

            words = command_of(settings)  # type: ignore[arg-type]
            return {"vasp": executable(Path(shutil.which(words[-1]) or words[-1]))}
    except (InputError, IndexError):  # reported where the program is needed
        return {}
    return {}


@functools.cache
def _distributions(module: str) -> tuple[str, ...]:
    return tuple(sorted(set(packages_distributions().get(module, ()))))
