"""Every key of the configuration has a description, in plain English."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from dpa_sse.pipeline.config.cluster import ClusterPreset
from dpa_sse.pipeline.config.sections import ProjectSections


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the settings classes that an annotation mentions, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def reachable(model: type[BaseModel], found: dict[type[BaseModel], None]) -> dict[type[BaseModel], None]:
    if model not in found:
        found[model] = None
        for field in model.model_fields.values():
            for inner in models_in(field.rebuild_annotation()):
                reachable(inner, found)
    return found


def fields() -> list[tuple[str, str | None]]:
    models = [*reachable(ProjectSections, {}), *reachable(ClusterPreset, {})]
    return [
        (f"{model.__name__}.{name}", field.description)
        for model in models for name, field in model.model_fields.items()
    ]


def test_all_sections_are_visited() -> None:
    names = {key.partition(".")[0] for key, _ in fields()}
    assert {"MdSettings", "Cp2kKind", "VaspSettings", "ExplorationStage", "TrustSettings", "Toleration"} <= names
    assert len(fields()) >= 200


def test_every_key_has_a_description() -> None:
    assert [key for key, text in fields() if not text] == []


def test_descriptions_are_sentences() -> None:
    assert [(key, text) for key, text in fields() if text and not re.fullmatch(r"[A-Z`a-z$].*[.]", text)] == []


def test_descriptions_name_the_unit_of_the_key() -> None:
    units = {"K": "K", "fs": "fs", "ps": "ps", "GPa": "GPa", "eV_A": "eV/A", "Ry": "Ry", "A": "A", "min": "[Mm]inutes",
             "s": "s", "eV": "eV"}
    for key, text in fields():
        unit = next((unit for unit in units if key.endswith(f"_{unit}") and unit != "A"), None)
        if unit is None and key.endswith("_A") and not key.endswith("eV_A"):
            unit = "A"
        if unit is not None:
            assert re.search(rf"\b{units[unit]}\b", text or ""), (key, text)
