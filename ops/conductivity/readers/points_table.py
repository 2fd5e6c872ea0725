"""Values from elsewhere: diffusion coefficients in place of trajectories, and measurements to compare with."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.ops.results.conductivity import PooledTransport

_NEEDED = ("temperature_K", "D_cm2_s", "sigma_D_cm2_s")
_VALUES = ("sigma_mS_cm", "D_cm2_s", "Ea_eV")
_MEASURED = ("x", "sigma_mS_cm", "sigma_low_mS_cm", "sigma_high_mS_cm", "D_cm2_s", "Ea_eV")


@dataclass(frozen=True)
class MeasuredValue:
    """A measurement to compare with; what was not measured is None.

    Attributes
    ----------
    x : float
        Composition.
    source : str
        Where it was published.
    """

    system: str
    temperature_K: float
    source: str = ""
    x: float | None = None
    sigma_mS_cm: float | None = None
    sigma_low_mS_cm: float | None = None
    sigma_high_mS_cm: float | None = None
    D_cm2_s: float | None = None
    Ea_eV: float | None = None


def _rows(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the columns and the rows of a CSV table with their line numbers."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        return list(reader.fieldnames or []), list(enumerate(reader, 2))


def _number(row: dict[str, str], name: str, place: str) -> float | None:
    """Return a field as a number, None where it is empty or absent."""
    text = (row.get(name) or "").strip()
    try:
        return float(text) if text else None
    except ValueError as error:
        raise InputError(f"{place}: {name} = {text} is not a number") from error


def read_measured(path: Path) -> list[MeasuredValue]:
    """Return measured values to compare with.

    Parameters
    ----------
    path : Path
        CSV with ``system`` and any of ``temperature_K`` (300 by default), ``x`` (composition), ``sigma_mS_cm``,
        ``sigma_low_mS_cm``, ``sigma_high_mS_cm``, ``D_cm2_s``, ``Ea_eV``, ``source``.

    Raises
    ------
    InputError
        There is no such file, a column is missing or unknown, a field is not a number, or no row has a value.
    """
    columns, rows = _rows(path)
    known = ("system", "temperature_K", "source", *_MEASURED)
    faults = ["no column `system`"] if "system" not in columns else []
    for name in columns:
        if name not in known:
            faults.append(f"unknown column `{name}`{did_you_mean(name, known)}")
    if not faults and not set(columns) & set(_VALUES):
        faults.append("no column with a value to compare")
    if faults:
        raise InputError(f"{path}: {'; '.join(faults)}; the table has `system` and any of {', '.join(known[1:])}")
    measured = [
        MeasuredValue(
            row["system"], _number(row, "temperature_K", f"{path}:{line}") or 300.0, row.get("source") or "",
            *(_number(row, name, f"{path}:{line}") for name in _MEASURED),
        )
        for line, row in rows
    ]
    if not any(getattr(one, name) is not None for one in measured for name in _VALUES):
        raise InputError(f"{path}: no row has a value ({', '.join(_VALUES)})")
    return measured


def read_points(path: Path) -> list[PooledTransport]:
    """Return diffusion coefficients from a CSV table, as entries of ``temperatures``.

    Parameters
    ----------
    path : Path
        Columns ``temperature_K``, ``D_cm2_s``, ``sigma_D_cm2_s`` (one standard error); optional ``system``,
        ``D_upper95_cm2_s`` (for rows without D), ``n_carriers`` and ``volume_A3`` (both needed for conductivities).

    Raises
    ------
    InputError
        There is no such file, a column is missing, or a field is not a positive number; names the line.
    """
    columns, rows = _rows(path)
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; the table needs {', '.join(_NEEDED)}")
    if not rows:
        raise InputError(f"{path}: the table is empty")
    return [_entry(row, f"{path}:{line}", path.stem) for line, row in rows]


def _entry(row: dict[str, str], place: str, system: str) -> PooledTransport:
    """Return one row as an entry of ``temperatures``."""
    def number(name: str) -> float | None:
        value = _number(row, name, place)
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise InputError(f"{place}: {name} = {(row.get(name) or '').strip()} must be positive")
        return value

    temperature, D, sigma, upper = (number(name) for name in (*_NEEDED, "D_upper95_cm2_s"))
    if temperature is None:
        raise InputError(f"{place}: no temperature")
    if D is not None and sigma is None:
        raise InputError(f"{place}: D needs its standard error sigma_D_cm2_s")
    if D is None and upper is None:
        raise InputError(f"{place}: neither D_cm2_s nor D_upper95_cm2_s is given")
    ln_sigma = sigma / D if D and sigma else None
    interval = (D * math.exp(-1.96 * ln_sigma), D * math.exp(1.96 * ln_sigma)) if D and ln_sigma else None
    return PooledTransport(
        system=row.get("system") or system, temperature_K=temperature, n_runs=0,
        verdict="from a table" if D else "from a table (upper limit)", D_cm2_s=D, D_ci95_cm2_s=interval,
        D_upper95_cm2_s=None if D else upper, ln_D_sigma=ln_sigma, volume_A3=number("volume_A3"),
        n_carriers=number("n_carriers"),
    )
