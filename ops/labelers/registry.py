"""From settings to a labeler; a new labeler is one file and one line here."""

from __future__ import annotations

import importlib

from ops.errors import InputError
from ops.labelers.base import Labeler
from ops.labelers.settings import LabelerSettings

LABELERS = {
    "mock": "ops.labelers.mock:MockPotential",
    "ase": "ops.labelers.ase_calculator:AseCalculatorLabeler",
}
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
        if settings.kind not in LABELERS:
            raise InputError(f"no labeler of kind {settings.kind!r} (known: {', '.join(sorted(LABELERS))})")
        module, name = LABELERS[settings.kind].split(":")
        _made[key] = getattr(importlib.import_module(module), name)(settings)
    return _made[key]
