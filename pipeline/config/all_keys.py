"""A configuration with all keys written out: defaults included, each with its meaning, from the declared sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from dpa_sse.pipeline.config.fields import section_models
from dpa_sse.pipeline.config.load import resolved_yaml
from dpa_sse.pipeline.config.problems import KeyPath
from dpa_sse.pipeline.config.schema import Project

COMMENT_COLUMN = 44


def all_keys_yaml(project: Project) -> str:
    """Return a project as YAML with a comment on every key; loading it gives an equal project.

    Sections that the project leaves out are listed with their defaults, commented out.
    """
    data = yaml.safe_load(resolved_yaml(project))
    return "\n".join(_section(project, (), data, "")) + "\n"


def _section(model: BaseModel, path: KeyPath, data: dict[str, Any], indent: str) -> Iterator[str]:  # foreign: YAML
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        meaning = field.description or ""
        if isinstance(value, BaseModel):
            yield _line(f"{indent}{name}:", meaning)
            yield from _section(value, (*path, name), data[name], f"{indent}  ")
        elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
            yield _line(f"{indent}{name}:", meaning)
            for number, item in enumerate(value):
                lines = list(_section(item, (*path, name, number), data[name][number], f"{indent}    "))
                yield f"{indent}  - {lines[0].lstrip()}"
                yield from lines[1:]
        else:
            yield _line(f"{indent}{name}: {_inline(data[name])}", meaning)
            if value is None or value == []:
                yield from _left_out((*path, name), f"{indent}#   ", is_list=value == [])


def _left_out(path: KeyPath, start: str, *, is_list: bool) -> Iterator[str]:
    """Yield the keys of a section that is left out, as comments."""
    for section in section_models((*path, 0) if is_list else path, {})[:1]:
        for name, field in section.model_fields.items():
            yield _line(f"{start}{name}: {_default(field)}", field.description or "")


def _default(field: FieldInfo) -> str:
    """Return a default value as YAML in one line."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "(required)"
    return _inline(value.model_dump(mode="json") if isinstance(value, BaseModel) else value)


def _inline(value: object) -> str:
    value = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _line(text: str, meaning: str) -> str:
    """Return a line with its comment."""
    return f"{text:<{COMMENT_COLUMN}} # {meaning}" if meaning else text
