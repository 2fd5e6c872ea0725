"""The labelers: from the ``kind`` in the settings to the class. A new labeler is one module and one line here."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.labelers.base import Labeler, ProgramFinding, SettingsProblem
from dpa_sse.ops.labelers.settings import AimdSettings, LabelerSettings

LABELERS = {
    "mock": "dpa_sse.ops.labelers.mock:MockLabeler",
    "ase": "dpa_sse.ops.labelers.ase_calculator:AseLabeler",
    "deepmd": "dpa_sse.ops.labelers.deepmd:DeepmdLabeler",
    "cp2k": "dpa_sse.ops.labelers.cp2k.labeler:Cp2kLabeler",
    "vasp": "dpa_sse.ops.labelers.vasp.labeler:VaspLabeler",
    "abacus": "dpa_sse.ops.labelers.abacus.labeler:AbacusLabeler",
    "qe": "dpa_sse.ops.labelers.qe.labeler:QeLabeler",
}
"""Kind -> ``module:Class``; the class declares settings, image, and what `doctor`, `check` and `plan` show."""
_made: dict[str, Labeler[Any]] = {}


def labeler_class(kind: str) -> type[Labeler[Any]]:
    """Return the class of a kind of labeler; nothing heavy is imported.

    Raises
    ------
    InputError
        There is no such kind.
    """
    if kind not in LABELERS:
        raise InputError(f"no labeler of kind {kind!r} (known: {', '.join(sorted(LABELERS))})")
    module, name = LABELERS[kind].split(":")
    found: type[Labeler[Any]] = getattr(importlib.import_module(module), name)
    return found


def make_labeler(settings: LabelerSettings) -> Labeler[Any]:
    """Return the labeler for these settings; one process loads a model only once.

    Raises
    ------
    InputError
        The kind is unknown, or the calculator cannot be created with these settings.
    """
    key = f"{settings.kind} {settings.model_dump_json()}"
    if key not in _made:
        _made[key] = labeler_class(settings.kind)(settings)
    return _made[key]


def labeler_image(kind: str) -> str:
    """Return the name of the container image with the program of a labeler (a folder of ``images/``, or ``base``)."""
    return labeler_class(kind).image


def labeler_code(kind: str) -> str | None:
    """Return the code in the level of theory of a labeler's labels; None if it does not declare one."""
    return labeler_class(kind).code or None


def labeler_versions(settings: LabelerSettings) -> dict[str, str]:
    """Return the versions of the packages or the program that compute the labels; empty if they cannot be told."""
    try:
        return labeler_class(settings.kind).versions(settings)
    except InputError:  # reported where the program is needed
        return {}


def labeler_files(settings: LabelerSettings, elements: Sequence[str]) -> list[Path]:
    """Return the files by element that calculations need; empty if there are none, or not on this machine."""
    try:
        return labeler_class(settings.kind).files(settings, elements)
    except InputError:  # found by the check of a project, unless the tasks run elsewhere
        return []


def labeler_problems(settings: LabelerSettings, type_map: Sequence[str], base_dir: Path) -> list[SettingsProblem]:
    """Return what files, programs and packages are missing for the labeler: key path and message of each."""
    return list(labeler_class(settings.kind).problems(settings, type_map, base_dir))


def aimd_problems(settings: LabelerSettings, aimd: AimdSettings) -> list[tuple[str, str]]:
    """Return what the labeler's molecular dynamics cannot do: key and message of each."""
    return list(labeler_class(settings.kind).aimd_problems(settings, aimd))


def program_findings() -> Iterator[ProgramFinding]:
    """Yield what the doctor reports about the programs of all labelers."""
    for kind in LABELERS:
        yield from labeler_class(kind).findings()


def parse_labeler(data: Mapping[str, object], model: Path | None = None) -> LabelerSettings:
    """Return the settings of a labeler from their JSON form.

    Parameters
    ----------
    data : mapping
        Keys and values of the section ``labeler``.
    model : Path, optional
        Where its model file, or the folder with its files, is now.

    Raises
    ------
    InputError
        The kind is missing or unknown.
    pydantic.ValidationError
        A key or a value is wrong.
    """
    settings = labeler_class(str(data.get("kind"))).settings_class.model_validate(data)
    return with_model(settings, model)


def with_model(settings: LabelerSettings, model: Path | None) -> LabelerSettings:
    """Return the settings with the present path of the labeler's model file, or of the folder with its files."""
    if model is None:
        return settings
    keys = (settings.model_file,) if settings.model_file else settings.folders
    path = str(model) if settings.model_file else str(model.absolute())
    return settings.model_copy(update=dict.fromkeys(keys, path))
