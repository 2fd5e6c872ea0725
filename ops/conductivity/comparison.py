"""Calculated next to measured values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dpa_sse.ops.conductivity.readers.points_table import MeasuredValue
from dpa_sse.ops.results.conductivity import ConductivityResult


@dataclass(frozen=True)
class ExtrapolatedSystem:
    """Extrapolated conductivity of a system at the first temperature, with its activation energy."""

    temperature_K: float
    sigma_mS_cm: float
    sigma_ci95_mS_cm: tuple[float, float]
    Ea_eV: float
    Ea_ci95_eV: tuple[float, float]


@dataclass(frozen=True)
class ComparedSystem:
    """A measured system that was calculated."""

    measured: MeasuredValue
    calculated: ExtrapolatedSystem


def extrapolated_systems(result: ConductivityResult) -> dict[str, ExtrapolatedSystem]:
    """Return the systems that have an extrapolated conductivity, by name."""
    found = {}
    for system, line in result.arrhenius_by_system.items():
        point = next((one for one in line.extrapolated if one.sigma_mS_cm is not None), None)
        if point and point.sigma_mS_cm is not None and point.sigma_ci95_mS_cm and line.Ea_eV and line.Ea_ci95_eV:
            found[system] = ExtrapolatedSystem(
                point.temperature_K, point.sigma_mS_cm, point.sigma_ci95_mS_cm, line.Ea_eV, line.Ea_ci95_eV
            )
    return found


def unmatched(result: ConductivityResult, measured: Sequence[MeasuredValue]) -> list[str]:
    """Return a note on the measured systems that were not calculated: they are compared with nothing."""
    calculated = list(result.arrhenius_by_system)
    missing = dict.fromkeys(one.system for one in measured if one.system not in calculated)
    if not missing:
        return []
    return [
        f"not calculated, so compared with nothing: {', '.join(missing)} (calculated: "
        f"{', '.join(calculated) or 'none'}; --system names the system of your trajectories)"
    ]


def compare(result: ConductivityResult, measured: Sequence[MeasuredValue]) -> list[ComparedSystem]:
    """Return every measured system that was calculated."""
    calculated = extrapolated_systems(result)
    return [ComparedSystem(one, calculated[one.system]) for one in measured if one.system in calculated]
