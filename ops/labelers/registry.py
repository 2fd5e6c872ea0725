"""From settings to a labeler; a new labeler is one file and one line here."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.labelers.base import CalculatorLabeler, Labeler
from dpa_sse.ops.labelers.settings import AimdSettings, LabelerSettings

LABELERS = {
    "mock": "dpa_sse.ops.labelers.mock:MockLabeler",
    "ase": "dpa_sse.ops.labelers.ase_calculator:AseLabeler",
    "deepmd": "dpa_sse.ops.labelers.deepmd:DeepmdLabeler",
    "cp2k": "dpa_sse.ops.labelers.cp2k.labeler:Cp2kLabeler",
    "vasp": "dpa_sse.ops.labelers.vasp.labeler:VaspLabeler",
}
IMAGES = {"mock": "base"}
"""Image of a labeler where it is not named after its kind."""
_made: dict[str, Labeler] = {}


def make_labeler(settings: LabelerSettings) -> Labeler:
    """Return the labeler that ``settings`` describe; one process loads a model only once.

    Raises
    ------
    InputError
        The kind is unknown, or the calculator can not be made with these settings.
    """
    key = f"{settings.kind} {settings.model_dump_json()}"
    if key not in _made:
        _made[key] = labeler_class(settings)(settings)
    return _made[key]


def labeler_class(settings: LabelerSettings) -> Any:
    """Return the class of the labeler that ``settings`` describe; nothing heavy is imported."""
    if settings.kind not in LABELERS:
        raise InputError(f"no labeler of kind {settings.kind!r} (known: {', '.join(sorted(LABELERS))})")
    module, name = LABELERS[settings.kind].split(":")
    return getattr(importlib.import_module(module), name)


def labeler_image(kind: str) -> str:
    """Return which of the pipeline's container images the labels of a kind need (``base``, ``cp2k``, ...)."""
    return IMAGES.get(kind, kind)


def labeler_problems(
    settings: LabelerSettings, type_map: Sequence[str], base_dir: Path
) -> list[tuple[tuple[str, ...], str]]:
    """Return what files, programs and packages of this machine lack for the labeler: key path and message of each."""
    kind = labeler_class(settings)
    return list(kind.problems(settings, type_map, base_dir)) if hasattr(kind, "problems") else []


def aimd_problems(settings: LabelerSettings, aimd: AimdSettings) -> list[tuple[str, str]]:
    """Return what the labeler's molecular dynamics can not do: key and message of each."""
    from dpa_sse.ops.labelers.dynamics import dynamics_problems

    kind = labeler_class(settings)
    if hasattr(kind, "aimd_problems"):
        return list(kind.aimd_problems(settings, aimd))
    return list(dynamics_problems(aimd)) if issubclass(kind, CalculatorLabeler) else []


def parse_labeler(data: dict[str, Any], model: Path | None = None) -> LabelerSettings:
    """Return the settings of the labeler from their JSON form, with the place where its model lies now."""
    settings: LabelerSettings = TypeAdapter(LabelerSettings).validate_python(data)
    if model is not None and settings.model_file:
        settings = settings.model_copy(update={settings.model_file: str(model)})
    return settings
