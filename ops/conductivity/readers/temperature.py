"""The temperature of a run: options and names against what the files of the run say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from dpa_sse.ops.conductivity.readers.packed import open_text
from dpa_sse.ops.conductivity.readers.sources import SAME_TEMPERATURE as _SAME
from dpa_sse.ops.conductivity.readers.sources import Source
from dpa_sse.ops.core.errors import InputError

_UNKNOWN = "the temperature is unknown; give --temperature-K, or name the file or folder like ..._700K"


def run_temperature(source: Source, stated: tuple[float, float] | None) -> tuple[float, list[str]]:
    """Return the temperature of a run, K, and remarks.

    Parameters
    ----------
    source : Source
        With the temperature of the options or of a name, zero if unknown.
    stated : tuple of float, optional
        First and last target temperature in the trajectory or its INCAR.

    Raises
    ------
    InputError
        It is unknown, changes during the run, or statements contradict each other.
    """
    if stated is not None and abs(stated[0] - stated[1]) > _SAME * max(stated):
        raise InputError(f"the temperature changes from {stated[0]:g} to {stated[1]:g} K (TEBEG, TEEND): not one run")
    if stated is not None and stated[0] > 0:
        if source.temperature_K and abs(stated[0] / source.temperature_K - 1) > _SAME:
            raise InputError(
                f"contradiction: {source.temperature_K:g} K by option or name, but TEBEG = {stated[0]:g} K; correct it"
            )
        return source.temperature_K or stated[0], []
    logged = logged_temperature(source.path) if source.path is not None and source.folder is None else None
    if logged is None:
        if not source.temperature_K:
            raise InputError(_UNKNOWN)
        return source.temperature_K, []
    mean, name = logged
    if not source.temperature_K:
        return mean, [f"temperature {mean:.1f} K: the mean in {name}"]
    if abs(mean / source.temperature_K - 1) > _SAME:
        return source.temperature_K, [f"the mean temperature in {name} is {mean:.0f} K, not {source.temperature_K:g} K"]
    return source.temperature_K, []


def logged_temperature(path: Path) -> tuple[float, str] | None:
    """Return the mean temperature of the second half of a run, K, and the log it is from; None without a log.

    Logs are CP2K's ``name-1.ener`` of ``name-pos-1.xyz``, OSZICAR beside an XDATCAR or vasprun.xml, and ``log.lammps``
    beside the only LAMMPS dump of a folder.
    """
    plain = re.sub(r"\.(gz|bz2|xz|zst)$", "", path.name)
    ener = path.with_name(re.sub(r"-pos(-\d+)\.xyz$", r"\1.ener", plain))
    if ener.name != plain and ener.is_file():
        return _mean(_column(ener, 3), ener)
    oszicar = path.with_name("OSZICAR")
    if plain in {"XDATCAR", "vasprun.xml"} and oszicar.is_file():
        with open_text(oszicar) as stream:
            found = [float(match[1]) for line in stream if (match := re.search(r"\bT=\s*([\d.]+)", line))]
        return _mean(found, oszicar)
    log = path.with_name("log.lammps")
    dumps = [one for one in path.parent.iterdir() if re.search(r"\.(lammpstrj|dump|lammpsdump)(\.\w+)?$", one.name)]
    if log.is_file() and dumps == [path]:
        return _mean(_lammps_column(log), log)
    return None


def _mean(values: list[float], path: Path) -> tuple[float, str] | None:
    second = [value for value in values[len(values) // 2 :] if np.isfinite(value)]
    return (float(np.mean(second)), path.name) if len(second) >= 5 and np.mean(second) > 0 else None


def _column(path: Path, column: int) -> list[float]:
    """Return one column of a table with comment lines."""
    values = []
    with open_text(path) as stream:
        for line in stream:
            words = line.split("#")[0].split()
            try:
                values.append(float(words[column]))
            except (IndexError, ValueError):
                continue
    return values


def _lammps_column(path: Path) -> list[float]:
    """Return the temperatures of the last thermo table of a LAMMPS log."""
    values: list[float] = []
    column = -1
    with open_text(path) as stream:
        for line in stream:
            words = line.split()
            if words[:1] == ["Step"]:
                column = words.index("Temp") if "Temp" in words else -1
                values = []
            elif line.startswith("Loop time"):
                column = -1
            elif column >= 0 and len(words) > column and re.fullmatch(r"[-\d.eE+]+", words[column]):
                try:
                    values.append(float(words[column]))
                except ValueError:
                    continue
    return values
