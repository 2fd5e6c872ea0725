"""Cluster presets: files in ``configs/resources/`` or the user's own, with the overrides of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.limits import read_small, require_bounded
from dpa_sse.ops.core.resources import configs_folder
from dpa_sse.pipeline.config.cluster import ClusterPreset, ClusterSettings
from dpa_sse.pipeline.config.cluster_faults import OVERRIDES, PRESET, PresetError, preset_faults
from dpa_sse.pipeline.config.problems import KeyPath

MAX_PRESET_BYTES = 100_000
"""YAML of 600 kB takes four seconds to read."""


def load_cluster_preset(settings: ClusterSettings, base_dir: Path) -> ClusterPreset:
    """Return the preset with the overrides applied.

    Raises
    ------
    PresetError
        There is no such preset, or it has invalid values; all of them are reported at once.
    """
    import yaml

    known = {path.stem: path for path in sorted(configs_folder("resources").glob("*.yaml"))}
    path = known.get(settings.preset, base_dir / settings.preset)
    if not path.is_file():
        raise PresetError(
            [(PRESET, f"{settings.preset!r} is neither a file nor one of the presets {', '.join(known)}")]
        )
    try:
        data = require_bounded(yaml.safe_load(read_small(path, MAX_PRESET_BYTES)) or {})
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise PresetError([(PRESET, f"{path}: {' '.join(str(error).split())}")]) from error
    if not isinstance(data, dict):
        raise PresetError([(PRESET, f"{path}: the file must contain keys and values")])
    findings: list[tuple[KeyPath, str]] = []
    for key, value in settings.overrides.items():
        try:
            _replace(data, key.split("."), value)
        except InputError as error:
            findings.append(((*OVERRIDES, key), str(error)))
    try:
        preset = ClusterPreset.model_validate(data)
    except ValidationError as error:
        findings += preset_faults(error, data, settings.overrides, path)
        raise PresetError(findings) from error
    if findings:
        raise PresetError(findings)
    return preset


def _replace(data: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = data.setdefault(key, {})
        if not isinstance(inner, dict):
            raise InputError(f"'{key}' is not a section")
        data = inner
    data[keys[-1]] = value
