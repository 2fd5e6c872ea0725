"""Diffusion coefficients from elsewhere: a CSV table in place of trajectories."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.errors import InputError

_NEEDED = ("temperature_K", "D_cm2_s", "sigma_D_cm2_s")


def _check(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such file")


def read_measured(path: Path) -> list[dict[str, Any]]:
    """Return measured values to compare with.

    Parameters
    ----------
    path : Path
        CSV with ``system`` and any of ``temperature_K`` (300 by default), ``x`` (composition), ``sigma_mS_cm``,
        ``sigma_low_mS_cm``, ``sigma_high_mS_cm``, ``D_cm2_s``, ``Ea_eV``, ``source``.

    Raises
    ------
    InputError
        No such file, no ``system`` column, or a number is not one.
    """
    _check(path)
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        if "system" not in (reader.fieldnames or []):
            raise InputError(f"{path}: no column `system`")
        rows = list(enumerate(reader, 2))
    numeric = ("temperature_K", "x", "sigma_mS_cm", "sigma_low_mS_cm", "sigma_high_mS_cm", "D_cm2_s", "Ea_eV")
    found = []
    for number, row in rows:
        entry: dict[str, Any] = {"system": row["system"], "source": row.get("source") or ""}
        for name in numeric:
            text = (row.get(name) or "").strip()
            try:
                entry[name] = float(text) if text else None
            except ValueError as error:
                raise InputError(f"{path}:{number}: {name} = {text} is not a number") from error
        entry["temperature_K"] = entry["temperature_K"] or 300.0
        found.append(entry)
    return found


def read_points(path: Path) -> list[dict[str, Any]]:
    """Return entries for ``temperatures`` from a CSV table.

    Parameters
    ----------
    path : Path
        Columns ``temperature_K``, ``D_cm2_s``, ``sigma_D_cm2_s`` (one standard error); optional ``system``,
        ``D_upper95_cm2_s`` (for rows without D), ``n_carriers`` and ``volume_A3`` (both needed for conductivities).

    Raises
    ------
    InputError
        No such file, a column is missing, or a number is not one or not positive, with its line.
    """
    _check(path)
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in _NEEDED if name not in (reader.fieldnames or [])]
        if missing:
            raise InputError(f"{path}: no column {', '.join(missing)}; needed are {', '.join(_NEEDED)}")
        rows = [(number, row) for number, row in enumerate(reader, 2)]
    if not rows:
        raise InputError(f"{path}: the table is empty")
    return [_entry(row, f"{path}:{number}", path.stem) for number, row in rows]


def _entry(row: dict[str, str], place: str, system: str) -> dict[str, Any]:
    """Return one row as an entry of ``temperatures``."""
    def number(name: str) -> float | None:
        text = (row.get(name) or "").strip()
        if not text:
            return None
        try:
            value = float(text)
        except ValueError as error:
            raise InputError(f"{place}: {name} = {text} is not a number") from error
        if not (value > 0 and math.isfinite(value)):
            raise InputError(f"{place}: {name} = {text} must be positive")
        return value

    temperature, D, sigma, upper = (number(name) for name in (*_NEEDED, "D_upper95_cm2_s"))
    if temperature is None:
        raise InputError(f"{place}: no temperature")
    if D is not None and sigma is None:
        raise InputError(f"{place}: D needs its standard error sigma_D_cm2_s")
    if D is None and upper is None:
        raise InputError(f"{place}: neither D_cm2_s nor D_upper95_cm2_s")
    ln_sigma = sigma / D if D and sigma else None
    interval = (D * math.exp(-1.96 * ln_sigma), D * math.exp(1.96 * ln_sigma)) if D and ln_sigma else None
    return {
        "system": row.get("system") or system, "temperature_K": temperature, "n_runs": 0, "sources": [], "reasons": [],
        "verdict": "from a table" if D else "from a table (upper limit)", "D_cm2_s": D, "D_ci95_cm2_s": interval,
        "D_upper95_cm2_s": None if D else upper, "ln_D_sigma": ln_sigma, "volume_A3": number("volume_A3"),
        "n_carriers": number("n_carriers"),
    }
