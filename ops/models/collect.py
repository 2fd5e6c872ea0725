"""The files of a model that is to be stored: a model folder, or a single file; and the verdict on them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.core.files import sha256_file
from dpa_sse.ops.core.limits import read_small
from dpa_sse.ops.models.registry import MODEL_FILES
from dpa_sse.ops.potential.describe import choose_branch, describe_model
from dpa_sse.ops.potential.folder import CHECKPOINT, COMPRESSED, PACKAGE, TORCHSCRIPT
from dpa_sse.ops.results.gates import Gates
from dpa_sse.ops.results.model import ModelInfo
from dpa_sse.ops.results.model_file import SUFFIXES, ModelBranch, ModelFile

INPUT = "input.json"


@dataclass(frozen=True)
class ModelParts:
    """A model that is to be stored.

    Attributes
    ----------
    files : dict
        Model files, its description and the input of its training, by their names in the registry.
    branch : ModelBranch
        The network; of a multi-task checkpoint, the branch that is used.
    info : ModelInfo or None
        Of a folder of this pipeline.
    training : mapping
        Input of its training; empty if there is none.
    sums : dict
        SHA-256 of the model files.
    """

    files: dict[str, Path]
    branch: ModelBranch
    info: ModelInfo | None
    training: Mapping[str, Any]
    sums: dict[str, str]


def collect_model(place: Path, branch: str = "") -> ModelParts:
    """Return the files of a model.

    Parameters
    ----------
    place : Path
        Model folder (``model.pt``, ``model.pth``, ``model_compressed.pth``), or a model file.
    branch : str
        Of a multi-task checkpoint.

    Raises
    ------
    InputError
        There is no model, a file cannot be read, or a branch is missing or unknown.
    """
    if place.is_dir():
        files = {name: place / name for name in MODEL_FILES if (place / name).is_file()}
        if not files:
            raise InputError(f"{place}: no model in this folder ({', '.join(MODEL_FILES)})")
        described = {name: _described(path) for name, path in files.items()}
    else:
        single = _described(place)
        named = _name_of(single)
        files, described = {named: place}, {named: single}
    info = _info(place) if place.is_dir() else None
    first = described.get(CHECKPOINT) or next(iter(described.values()))
    source = files.get(CHECKPOINT) or next(iter(files.values()))
    try:
        chosen = choose_branch(first, branch or (info.branch if info else None) or "")
    except InputError as error:
        raise InputError(f"{source}: {error}{'' if branch else ' (--branch NAME)'}") from error
    own = first.branch(chosen) if chosen else first.branches[0]
    assert own is not None  # noqa: S101  (choose_branch returns a name that is there)
    _same_elements(described, own)
    sums = {name: sha256_file(path) for name, path in files.items()}
    training: Mapping[str, Any] = {}
    if place.is_dir():
        training = _training(place / INPUT)
        files |= {name: place / name for name in (ModelInfo.FILE, INPUT) if (place / name).is_file()}
    return ModelParts(files, own, info, training, sums)


def find_gates(given: Path | None, place: Path, parts: ModelParts) -> tuple[Path, Gates] | None:
    """Return the verdict on a model: the given file, or the one in its folder; None without any.

    Raises
    ------
    InputError
        It cannot be read, or is the verdict on another file.
    """
    path = Gates.path_in(given) if given is not None else place / Gates.FILE
    if given is None and not (place.is_dir() and path.is_file()):
        return None
    try:
        found = Gates.read(path)
    except FileNotFoundError as error:
        raise InputError(f"--gates {given}: no such file") from error
    except (FatalError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"--gates {path}: {str(error).removeprefix(f'{path}: ')}") from error
    if found.model_sha256 not in parts.sums.values():
        raise InputError(
            f"{path}: is the verdict on another file (SHA-256 {(found.model_sha256 or 'not recorded')[:12]}) than "
            f"{', '.join(parts.sums)}; judge this one: dpa-sse validate {place}"
        )
    return path, found


def _described(path: Path) -> ModelFile:
    found = describe_model(path)
    if path.suffix != SUFFIXES[found.kind]:
        raise InputError(f"{path}: is a {found.kind}, whose name must end in {SUFFIXES[found.kind]}; rename it")
    return found


def _name_of(model: ModelFile) -> str:
    if model.kind == "frozen":
        return COMPRESSED if model.branches[0].compressed else TORCHSCRIPT
    return CHECKPOINT if model.kind == "checkpoint" else PACKAGE


def _same_elements(described: Mapping[str, ModelFile], own: ModelBranch) -> None:
    """Refuse files of different models in one folder."""
    for name, model in described.items():
        if not model.multi_task and model.branches[0].type_map != own.type_map:
            raise InputError(
                f"{model.file}: its elements are {' '.join(model.branches[0].type_map)}, those of the other files "
                f"{' '.join(own.type_map)}: {name} is of another model"
            )


def _info(folder: Path) -> ModelInfo | None:
    try:
        return ModelInfo.read_if_there(folder)
    except (FatalError, UnicodeDecodeError) as error:
        raise InputError(str(error)) from error


def _training(path: Path) -> Mapping[str, Any]:  # foreign: DeePMD-kit's input
    if not path.is_file():
        return {}
    try:
        found = json.loads(read_small(path))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    return found if isinstance(found, dict) else {}
