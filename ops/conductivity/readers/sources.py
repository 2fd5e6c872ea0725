"""Find trajectories, with their temperature and time step, in the files and folders that the user names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dpa_sse.ops.conductivity.readers.formats import kind_of
from dpa_sse.ops.conductivity.settings import SourceOptions
from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.results.conductivity import MELTED
from dpa_sse.ops.results.md import read_any_run
from dpa_sse.ops.results.status import TaskStatus
from dpa_sse.ops.structures.series import base_name

_TEMPERATURE = re.compile(
    r"(?:^|[_\-. /T])(\d{2,4}(?:\.\d+)?)\s?K(?=$|[_\-. /])|(?:^|[_\-. /])T[_=\-]?(\d{3,4}(?:\.\d+)?)(?=$|[_\-. /])"
)
_COUNTED = re.compile(r"(traj|trajectory|n?steps?|frames?)[_\-. ]$", re.IGNORECASE)  # 100K of them
_LEAST_AFTER_COUNT_K = 200.0
_PACKING = re.compile(r"\.(gz|bz2|xz|zst)$", re.IGNORECASE)
_NOT_POSITIONS = re.compile(r"-(frc|vel|force|forces|velocity)-\d+\.xyz$", re.IGNORECASE)
_ENDINGS = (
    ".lammpstrj", ".dump", ".lammpsdump", ".dcd", ".xtc", ".extxyz", ".traj", ".xyz", ".npz", ".bin", ".lmpbin", ".xml",
)
MD_TRAJECTORY = "traj.lammpstrj"
SAME_TEMPERATURE = 0.03
"""Relative difference of two statements about a temperature that still mean the same."""


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
    temperature_K : float
        By option or name; zero where neither says it.
    folder : Path or None
        The MD folder, if the trajectory is in one.
    arrangement : str
        Name of the arrangement of the atoms of an MD folder of this program, if the system has several.
    contradiction : str
        What says another temperature than the options; empty if nothing does.
    bad : bool
        The failure is one of the input, not of the run.
    parts : tuple of Path
        All files of a run that is in several, in order.
    """

    path: Path | None
    label: str
    system: str
    temperature_K: float
    timestep_fs: float | None = None
    failure: str = ""
    melted: bool = False
    folder: Path | None = None
    bad: bool = False
    parts: tuple[Path, ...] = ()
    contradiction: str = ""
    arrangement: str = ""


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
        A path does not exist, a folder has no trajectory, or the temperature of the options is not that of a run.
    """
    sources: list[Source] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        found = _expand(path, options)
        if not found:
            raise InputError(f"{path}: no trajectory in this folder")
        sources += found
    contradicted = [source.contradiction for source in sources if source.contradiction]
    if contradicted:
        more = f" (and {len(contradicted) - 3} more)" if len(contradicted) > 3 else ""
        raise InputError(
            f"--temperature-K {options.temperature_K:g}: {'; '.join(contradicted[:3])}{more}; leave the option out, "
            "analyse the runs one by one, or correct the names"
        )
    seen: dict[str, int] = {}
    for source in sources:
        source.label = re.sub(r"[^A-Za-z0-9._+-]+", "_", source.label).strip("._") or "run"
        seen[source.label] = seen.get(source.label, 0) + 1
        if seen[source.label] > 1:
            source.label += f"_{seen[source.label]}"
    return sources


def _expand(path: Path, options: SourceOptions, above: tuple[str, ...] = ()) -> list[Source]:
    """Return the sources of one path; ``above`` are the names of the folders around it, the nearest first."""
    if path.is_file():
        return [_file_source(path, options, above or (path.resolve().parent.name,))]
    above = (path.resolve().name, *above)
    if (path / "run.json").is_file() or (path / "status.json").is_file():
        source = _md_source(path, options)
        return [source] if source else []
    found: list[Source] = []
    for child in sorted(path.iterdir()):
        if child.name.startswith("."):
            continue
        if child.is_dir():
            found += _expand(child, options, above)
        elif is_trajectory(child):
            found.append(_file_source(child, options, above))
    return found


def _md_source(folder: Path, options: SourceOptions) -> Source | None:
    """Return the source of an MD folder of the pipeline; None if there was nothing to do in it."""
    run, status = read_any_run(folder), TaskStatus.of_folder(folder)
    path = folder / MD_TRAJECTORY
    if not path.is_file():
        path = path.with_name(f"{MD_TRAJECTORY}.gz")
    if run is None:
        if status.status == "empty":
            return None
        failure = f"failed: {status.reason or 'the run left no run.json'}"
        temperature = options.temperature_K or 0.0
        system = options.system or folder.name
        label = f"{system}_{temperature:g}K_0" if temperature else folder.name
        return Source(path, label, system, temperature, options.timestep_fs, failure, False, folder)
    failure = ""
    if run.status != "ok":
        failure = f"{run.status}: {run.reason}" if run.reason else run.status
    elif not path.is_file():
        failure = f"no {MD_TRAJECTORY} in the MD folder"
    system, temperature = options.system or run.system, options.temperature_K or run.temperature_K
    name = base_name(system)
    return Source(
        path, f"{system}_{temperature:g}K_{run.replica}", name, temperature, options.timestep_fs or run.timestep_fs,
        failure, run.status == MELTED, folder, arrangement=system if system != name else "",
        contradiction=_contradiction(folder.name, [run.temperature_K], options),
    )


def _contradiction(name: str, stated: Sequence[float], options: SourceOptions) -> str:
    """Return that a run has another temperature than the options say; empty if one of those stated agrees."""
    given = options.temperature_K
    if given is None or not stated or any(abs(one / given - 1) <= SAME_TEMPERATURE for one in stated):
        return ""
    return f"{name} says {' or '.join(f'{one:g}' for one in stated)} K"


def is_trajectory(path: Path) -> bool:
    """Return whether a file in a folder is a trajectory by content, or has the name of one.

    Other files beside trajectories are passed over; forces and velocities in xyz files are not positions.
    """
    plain = _PACKING.sub("", path.name)
    if _NOT_POSITIONS.search(plain):
        return False
    named = plain.lower().endswith(_ENDINGS) or "xdatcar" in plain.lower()
    try:
        kind = kind_of(path)
    except (InputError, OSError):
        return named
    if plain.lower().endswith(".xml"):
        return kind == "vasprun"
    return kind is not None or (named and not plain.lower().endswith((".npz", ".bin")))


def _file_source(path: Path, options: SourceOptions, above: tuple[str, ...]) -> Source:
    """Return the source of a single trajectory file; its temperature may be in its name or in that of a folder."""
    parent = above[0]
    of_name = temperatures_in(path.name)
    failure = ""
    stated = of_name or next((found for name in above if (found := temperatures_in(name))), [])
    if options.temperature_K is None and len(stated) > 1:
        several = ", ".join(f"{one:g}" for one in stated)
        failure = f"several temperatures in the name ({several} K); give --temperature-K"
    temperature = options.temperature_K or (stated[0] if len(stated) == 1 else 0.0)
    stem = path.name.split(".")[0]
    label = stem if of_name else f"{parent}_{stem}"
    return Source(
        path, label, options.system or "system", temperature, options.timestep_fs, failure, bad=bool(failure),
        contradiction=_contradiction(path.name if of_name else f"{parent}/{path.name}", stated, options),
    )


def temperatures_in(name: str) -> list[float]:
    """Return the temperatures that a name like ``LGPS_700K_1``, ``T700`` or ``700K.lammpstrj`` holds, K, each once.

    ``T01`` is a number, and ``100K`` in ``traj_100K`` or ``steps_100K`` may count steps.
    """
    plain = _PACKING.sub("", name)
    found = []
    for match in _TEMPERATURE.finditer(plain):
        value = float(match.group(1) or match.group(2))
        counted = value < _LEAST_AFTER_COUNT_K and _COUNTED.search(plain[: match.start() + 1])
        if value >= 10 and not counted:
            found.append(value)
    return list(dict.fromkeys(found))
