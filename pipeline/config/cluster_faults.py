"""Faults of a cluster preset, each at the key that the user wrote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.pipeline.config.messages import Fault, faults, show
from dpa_sse.pipeline.config.problems import KeyPath, dotted

AMOUNTS = ("memory", "memory_request", "disk", "shared_memory")
OVERRIDES: KeyPath = ("cluster", "overrides")
PRESET: KeyPath = ("cluster", "preset")


class PresetError(InputError):
    """The cluster preset is invalid; ``findings`` holds every faulty key and what is wrong with it."""

    def __init__(self, findings: Iterable[tuple[KeyPath, str]]) -> None:
        self.findings = list(findings)
        super().__init__("\n".join(f"{dotted(where)}: {message}" for where, message in self.findings))


def preset_faults(  # foreign: data and overrides are the user's YAML
    error: ValidationError, data: Mapping[str, Any], overrides: Mapping[str, Any], file: Path
) -> Iterator[tuple[KeyPath, str]]:
    """Yield the faults of a preset with its overrides.

    Parameters
    ----------
    error : ValidationError
        Raised by the preset with the overrides applied.
    data : mapping
        The preset with the overrides applied.
    overrides : mapping
        Dotted key -> value, as the user wrote them.
    file : Path
        File of the preset.

    Yields
    ------
    tuple
        Path in the configuration (that of an override, else of the preset) and message.
    """
    from dpa_sse.pipeline.config.cluster import ClusterPreset

    for fault in faults(error, data):
        place, message = dotted(fault.path), _message(fault, ClusterPreset, data)
        if (key := _override_at(fault.path, overrides)) is None:
            yield PRESET, f"{file.name}: {place}: {message}"
        else:
            yield (*OVERRIDES, key), message if key == place else f"{place}: {message}"


def _override_at(path: KeyPath, overrides: Mapping[str, Any]) -> str | None:
    """Return the override that set the value at ``path``, or a part of it; the last one wins."""
    whole = tuple(map(str, path))
    for key in reversed(list(overrides)):
        own = tuple(key.split("."))
        if own == whole[: len(own)] or whole == own[: len(whole)]:
            return key
    return None


def _message(fault: Fault, preset: type[BaseModel], data: Any) -> str:
    """Return the message of a fault; those that refer to keys of the configuration are rephrased."""
    key = str(fault.path[-1]) if fault.path else ""
    if fault.kind == "extra_forbidden":
        keys = _keys(preset, fault.path[:-1])
        return "unknown key" + (did_you_mean(key, keys) or f" - possible keys: {', '.join(keys)}")
    if fault.kind == "string_pattern_mismatch":
        for part in fault.path:
            data = data[part]
        form = "an amount such as 500Mi or 2Gi" if key in AMOUNTS else (
            "a path that starts with /" if key == "path" else
            "a Kubernetes name: lower-case letters, digits, - and ., with a letter or digit at both ends"
        )
        return f"must be {form}, not {show(data)}"
    return fault.message


def _keys(preset: type[BaseModel], path: KeyPath) -> list[str]:
    """Return the keys of the section at ``path`` of a preset."""
    here: Any = preset
    for part in path:
        is_section = isinstance(here, type) and issubclass(here, BaseModel)
        here = here.model_fields[str(part)].annotation if is_section else get_args(here)[-1]
    return list(here.model_fields)
