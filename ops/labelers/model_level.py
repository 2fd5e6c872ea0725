"""The level of theory of labels from a potential: calculator, version, and the hash of what it computes with."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.results.level import LevelOfTheory

NOT_PHYSICS = ("device", "use_device", "check_cuda_mem", "verbose", "stress_weight", "on_isolated_atoms")
"""Arguments of calculators that do not change their answers."""


def calculator_level(name: str, kwargs: Mapping[str, Any], calculator: Any) -> LevelOfTheory:
    """Return the level of theory of an ASE calculator.

    Parameters
    ----------
    name : str
        ``chgnet`` or ``module:Class``.
    kwargs : mapping
        Its keyword arguments; files named in them count by their content.
    calculator : ase.calculators.calculator.Calculator
        The calculator; the weights of its model (``model.state_dict()``) count if it has any.
    """
    settings = {"calculator": name, "version": package_version(name.partition(":")[0].partition(".")[0])}
    for key, value in sorted(kwargs.items()):
        if key in NOT_PHYSICS:
            continue
        path = Path(value).expanduser() if isinstance(value, str) else None
        if path is not None and path.is_file():
            settings[f"{key}_sha256"] = file_hash(path)
        else:
            settings[key] = json.dumps(value, sort_keys=True, default=str)
    if weights := weights_hash(calculator):
        settings["model_sha256"] = weights
    return LevelOfTheory(code="ASE", settings=settings)


def model_level(path: Path, head: str | None) -> LevelOfTheory:
    """Return the level of theory of a DeePMD-kit model.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    settings = {"model_sha256": file_hash(path), "version": package_version("deepmd-kit")}
    return LevelOfTheory(code="DeePMD-kit", settings=settings | ({"head": head} if head else {}))


def package_version(name: str) -> str:
    """Return the version of the distribution that provides a package; ``unknown`` if none does."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def file_hash(path: Path) -> str:
    """Return the hash of a file.

    Raises
    ------
    InputError
        It cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def weights_hash(calculator: Any) -> str:
    """Return the hash of the weights of a calculator's PyTorch model; empty if it has none."""
    states = getattr(getattr(calculator, "model", None), "state_dict", None)
    if not callable(states):
        return ""
    digest = hashlib.sha256()
    for key, tensor in sorted(states().items()):
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
