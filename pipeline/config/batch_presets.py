"""Presets of a batch system: files in ``configs/resources/slurm/`` or the user's own, with a project's overrides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from dpa_sse.ops.core.errors import InputError
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
from dpa_sse.pipeline.config.preset_file import read_preset
from dpa_sse.pipeline.config.problems import KeyPath, dotted

KINDS: tuple[Kind, ...] = get_args(Kind)


class SharingError(InputError):
    """The tasks of a kind of work cannot share its jobs equally."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def load_batch_preset(name: str, base_dir: Path) -> BatchPreset:
    """Return a preset: one of ``configs/resources/slurm/``, or a file.

    Raises
    ------
    InputError
        There is no such preset, or it is not valid; all faults are listed.
    """
    path, data = read_preset(name, ("resources", "slurm"), base_dir)
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
        if fault := found[kind].share_fault:
            raise SharingError(kind, f"{kind}: {fault}")
    return found


def engine_faults(engine: EngineSettings, base_dir: Path) -> Iterator[tuple[KeyPath, str]]:
    """Yield what is wrong with the presets of batch systems, by the path in the configuration."""
    for system in SYSTEMS:
        settings = getattr(engine, system)
        if settings is None:
            continue
        try:
            jobs_of(settings, base_dir)
        except SharingError as error:
            given = error.kind in settings.overrides
            yield ("engine", system, *(("overrides", error.kind) if given else ("preset",))), str(error)
        except InputError as error:
            yield from ((("engine", system, "preset"), line) for line in str(error).splitlines())
