"""Find trajectories, with their temperature and time step, in the files and folders that the user names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpa_sse.ops.conductivity.readers.formats import kind_by_name, sniff
from dpa_sse.ops.conductivity.settings import SourceOptions
from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import read_json
from dpa_sse.ops.results.conductivity import MELTED
from dpa_sse.ops.results.status import TaskStatus

_TEMPERATURE = re.compile(
    r"(?:^|[_\-. /T])(\d{2,4}(?:\.\d+)?)\s?K(?=$|[_\-. /])|(?:^|[_\-. /])T[_=\-]?(\d{2,4})(?=$|[_\-. /])"
)
MD_TRAJECTORY = "traj.lammpstrj"


@dataclass
class Source:
    """One trajectory to analyse.

    Attributes
    ----------
    path : Path or None
        The trajectory; None for an MD folder without one.
    label : str
        Unique short name, used in file names.
    failure : str
        Why an MD folder cannot be used; empty for a good one.
    folder : Path or None
        The MD folder, if the trajectory is in one.
    """

    path: Path | None
    label: str
    system: str
    temperature_K: float
    timestep_fs: float | None = None
    failure: str = ""
    melted: bool = False
    folder: Path | None = None


def find_sources(paths: Sequence[Path], options: SourceOptions) -> list[Source]:
    """Return all trajectories below some paths, with unique labels.

    Parameters
    ----------
    paths : sequence of Path
        Trajectory files, MD folders (``run.json``), or folders of either (searched to any depth).
    options : SourceOptions
        Override what files hold.

    Raises
    ------
    InputError
        A path does not exist, a folder has no trajectory, or a temperature is unknown.
    """
    sources: list[Source] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        found = _expand(path, options)
        if not found:
            raise InputError(f"{path}: no trajectory in this folder")
        sources += found
    seen: dict[str, int] = {}
    for source in sources:
        source.label = re.sub(r"[^A-Za-z0-9._+-]+", "_", source.label).strip("._") or "run"
        seen[source.label] = seen.get(source.label, 0) + 1
        if seen[source.label] > 1:
            source.label += f"_{seen[source.label]}"
    return sources


def _expand(path: Path, options: SourceOptions) -> list[Source]:
    """Return the sources of one path."""
    if path.is_file():
        return [_file_source(path, options)]
    if (path / "run.json").is_file() or (path / "status.json").is_file():
        source = _md_source(path, options)
        return [source] if source else []
    found: list[Source] = []
    for child in sorted(path.iterdir()):
        if child.name.startswith("."):
            continue
        if child.is_dir():
            found += _expand(child, options)
        elif kind_by_name(child):
            found.append(_file_source(child, options))
    return found


def _md_source(folder: Path, options: SourceOptions) -> Source | None:
    """Return the source of an MD folder of the pipeline; None if there was nothing to do in it."""
    facts: dict[str, Any] = read_json(folder / "run.json") if (folder / "run.json").is_file() else {}
    status = TaskStatus.of_folder(folder)
    if not facts:
        if status.status == "empty":
            return None
        facts = {"status": "failed", "reason": status.reason or "the run left no run.json"}
    system = options.system or str(facts.get("system") or folder.name)
    temperature = options.temperature_K or facts.get("temperature_K")
    failure = ""
    state = str(facts.get("status", "ok"))
    if state != "ok":
        failure = f"{state}: {facts['reason']}" if facts.get("reason") else state
    elif not (folder / MD_TRAJECTORY).is_file() and not (folder / f"{MD_TRAJECTORY}.gz").is_file():
        failure = f"no {MD_TRAJECTORY} in the MD folder"
    if temperature is None:
        if not failure:
            raise InputError(f"{folder / 'run.json'}: no temperature_K")
        temperature = 0.0
    path = folder / MD_TRAJECTORY
    label = f"{system}_{float(temperature):g}K_{facts.get('replica', 0)}" if temperature else folder.name
    return Source(
        path if path.is_file() else path.with_name(f"{MD_TRAJECTORY}.gz"), label, system, float(temperature),
        options.timestep_fs or facts.get("timestep_fs"), failure, state == MELTED, folder,
    )


def _file_source(path: Path, options: SourceOptions) -> Source:
    """Return the source of a single trajectory file; the temperature may be part of its name or its folder's."""
    temperature = options.temperature_K or temperature_in(path.name) or temperature_in(path.resolve().parent.name)
    if temperature is None:
        if path.stat().st_size and kind_by_name(path) is None:
            sniff(path)  # a file that is not a trajectory needs no temperature
        raise InputError(
            f"{path}: the temperature is unknown; give --temperature-K, or name the file or folder like ..._700K"
        )
    stem = path.name.split(".")[0]
    parent = path.resolve().parent.name
    label = stem if temperature_in(path.name) else f"{parent}_{stem}"
    return Source(path, label, options.system or "system", temperature, options.timestep_fs)


def temperature_in(name: str) -> float | None:
    """Return the temperature that a name like ``LGPS_700K_1``, ``T700`` or ``700K.lammpstrj`` holds, K."""
    match = _TEMPERATURE.search(name)
    return float(match.group(1) or match.group(2)) if match else None
