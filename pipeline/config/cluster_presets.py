"""Cluster presets: files in ``configs/resources/`` or the user's own, with the overrides of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dpa_sse.ops.core.errors import InputError
from dpa_sse.pipeline.config.cluster import ClusterPreset, ClusterSettings
from dpa_sse.pipeline.config.cluster_faults import OVERRIDES, PRESET, PresetError, preset_faults
from dpa_sse.pipeline.config.preset_file import read_preset
from dpa_sse.pipeline.config.problems import KeyPath


def load_cluster_preset(settings: ClusterSettings, base_dir: Path) -> ClusterPreset:
    """Return the preset with the overrides applied.

    Raises
    ------
    PresetError
        There is no such preset, or it has invalid values; all of them are reported at once.
    """
    try:
        path, data = read_preset(settings.preset, ("resources",), base_dir)
    except InputError as error:
        raise PresetError([(PRESET, str(error))]) from error
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
