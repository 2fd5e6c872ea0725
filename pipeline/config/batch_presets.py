"""Presets of a batch system: files in ``configs/resources/slurm/`` or the user's own, with a project's overrides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.limits import read_small, require_bounded
from dpa_sse.ops.core.resources import configs_folder
from dpa_sse.pipeline.config.batch import (
    SYSTEMS,
    BatchPreset,
    BatchSettings,
    EngineSettings,
    Job,
    JobSettings,
    Kind,
)
from dpa_sse.pipeline.config.messages import faults
from dpa_sse.pipeline.config.problems import KeyPath, dotted

MAX_PRESET_BYTES = 100_000
KINDS: tuple[Kind, ...] = get_args(Kind)


def load_batch_preset(name: str, base_dir: Path) -> BatchPreset:
    """Return a preset: one of ``configs/resources/slurm/``, or a file.

    Raises
    ------
    InputError
        There is no such preset, or it is not valid; all faults are listed.
    """
    import yaml

    known = {path.stem: path for path in sorted(configs_folder("resources", "slurm").glob("*.yaml"))}
    path = known.get(name, base_dir / name)
    if not path.is_file():
        raise InputError(f"{name!r} is neither a file nor one of the presets {', '.join(known)}")
    try:
        data: Any = require_bounded(yaml.safe_load(read_small(path, MAX_PRESET_BYTES)) or {})
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: the file must contain keys and values")
    try:
        return BatchPreset.model_validate(data)
    except ValidationError as error:
        listed = [f"{path.name}: {dotted(fault.path)}: {fault.message}" for fault in faults(error, data)]
        raise InputError("\n".join(listed)) from error


def jobs_of(settings: BatchSettings, base_dir: Path) -> dict[Kind, Job]:
    """Return what the jobs of each kind of work ask for: the preset with the overrides of the project.

    Raises
    ------
    InputError
        The preset is missing or not valid.
    """
    preset = load_batch_preset(settings.preset, base_dir)
    found: dict[Kind, Job] = {}
    for kind in KINDS:
        base = preset.jobs.get(kind, JobSettings())
        wanted = settings.overrides.get(kind, JobSettings()).over(base)
        values = {name: value for name, value in wanted if value is not None}
        values.setdefault("where", "driver" if kind == "light" else "queue")
        values["max_jobs"] = min(values.get("max_jobs", settings.max_jobs), settings.max_jobs)
        values["setup"] = [*settings.setup, *values.get("setup", [])]
        found[kind] = Job(**values)
    return found


def engine_faults(engine: EngineSettings, base_dir: Path) -> Iterator[tuple[KeyPath, str]]:
    """Yield what is wrong with the presets of batch systems, by the path in the configuration."""
    for system in SYSTEMS:
        settings = getattr(engine, system)
        if settings is None:
            continue
        try:
            jobs_of(settings, base_dir)
        except InputError as error:
            yield from ((("engine", system, "preset"), line) for line in str(error).splitlines())
