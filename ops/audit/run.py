"""The audit of a data set: all checks, one result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.audit.consistency import check_bulk_modulus, check_consistency, check_strain
from dpa_sse.ops.audit.duplicates import find_duplicates
from dpa_sse.ops.audit.frames import Table, drop_invalid, make_table
from dpa_sse.ops.audit.gather import DataGroup, gather_groups
from dpa_sse.ops.audit.labels import check_distances, check_forces, check_virials, fit_energies
from dpa_sse.ops.audit.levels import check_levels
from dpa_sse.ops.core.errors import outside_type_map
from dpa_sse.ops.core.files import write_csv, write_text
from dpa_sse.ops.results.audit import LISTED, SEVERITIES, Audit, DataSetAudit, Finding, SystemNumbers, Verdict

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

FRAME_COLUMNS = (
    "source", "split", "system", "trajectory", "frame", "temperature_K", "n_atoms", "energy_eV",
    "energy_residual_eV_atom", "max_force_eV_A", "net_force_eV_A", "pressure_GPa", "volume_A3_atom", "bond_ratio",
)


def audit_data(
    paths: Sequence[Path], *, form: str | None = None, type_map: Sequence[str] | None = None,
    calculator: str | None = None, kwargs: dict[str, Any] | None = None, strain_frames: int = 6,
    out: Path | None = None,
) -> Audit:  # foreign: kwargs are those of any ASE calculator
    """Audit data sets and, if wanted, write the result.

    Parameters
    ----------
    paths : sequence of Path
        Data in any known format (together one set), and run folders of this pipeline (each data set separately).
    form : str, optional
        Format of the data, if it is not detected.
    type_map : sequence of str, optional
        Elements that the data may contain.
    calculator : str, optional
        ``chgnet`` or ``module:Class``: the virials are compared with the finite strain of its energy.
    kwargs : dict, optional
        Keyword arguments of the calculator.
    strain_frames : int
        Number of frames for this comparison, twelve energies each.
    out : Path, optional
        Receives ``audit.json``, ``audit.txt``, and per data set ``frames*.csv`` and ``audit*.svg`` and ``.png``.

    Raises
    ------
    InputError
        Data cannot be read, or the calculator cannot be created.
    """
    from dpa_sse.ops.audit.text import audit_text

    groups = gather_groups(paths, form, type_map)
    made = None
    if calculator is not None:
        from dpa_sse.ops.labelers.ase_calculator import AseLabeler
        from dpa_sse.ops.labelers.settings import AseSettings

        made = AseLabeler(AseSettings(calculator=calculator, kwargs=kwargs or {})).calculator()
    entries = []
    for number, group in enumerate(groups):
        entry, frames = _audit_group(group, type_map, made, strain_frames)
        entries.append(entry)
        if out is not None and frames is not None:
            mark = f"-{number + 1}" if len(groups) > 1 else ""
            _write_frames(out / f"frames{mark}.csv", frames)
            from dpa_sse.ops.audit.figure import audit_figure

            audit_figure(entry, frames.table, frames.residual, frames.bond_ratio, out / f"audit{mark}.svg")
    levels = {finding.level for entry in entries for finding in entry.findings}
    verdict: Verdict = "unusable" if "unusable" in levels else "warnings" if "warning" in levels else "sound"
    result = Audit(verdict=verdict, data_sets=tuple(entries))
    if out is not None:
        result.write(out)
        write_text(out / "audit.txt", audit_text(result) + "\n")
    return result


@dataclass(frozen=True)
class _Frames:
    """The frames that were examined; residual in eV/atom, bond ratio relative to the sum of covalent radii."""

    table: Table
    residual: NDArray[np.float64]
    bond_ratio: NDArray[np.float64]


def _audit_group(
    group: DataGroup, type_map: Sequence[str] | None, calculator: Calculator | None, strain_frames: int
) -> tuple[DataSetAudit, _Frames | None]:
    blocks, sources, findings = drop_invalid(group.blocks, group.sources)
    findings += [
        Finding(level="warning" if "left out" in note or " steps taken; " in note else "note", check="reading",
                message=note) for note in group.notes
    ]
    findings += _check_elements(group, type_map)
    levels, found = check_levels(group.levels)
    findings += found
    entry = DataSetAudit(
        title=group.title, formats=tuple(sorted(set(group.forms))), type_map=tuple(group.type_map),
        n_frames=sum(map(len, group.blocks)), levels=levels, findings=tuple(findings),
    )
    if not blocks:
        return entry, None
    table = make_table(blocks, group.type_map, sources)
    forces, of_forces = check_forces(table)
    virials, of_virials = check_virials(table)
    duplicates, of_duplicates = find_duplicates(table)
    signs, of_signs = check_consistency(table)
    energies, residual, of_energies = fit_energies(table)
    distances, bond_ratio, of_distances = check_distances(table)
    strain, of_strain = (None, []) if calculator is None else check_strain(table, calculator, strain_frames)
    moduli, of_moduli = check_bulk_modulus(table, sign_known=signs.virials is not None or calculator is not None)
    findings += [
        *of_forces, *of_virials, *of_duplicates, *of_signs, *of_energies, *of_distances, *of_strain, *of_moduli,
    ]
    findings.sort(key=lambda one: SEVERITIES.index(one.level))
    entry = entry.model_copy(update={
        "findings": tuple(findings), "systems": _systems(table), "splits": dict(Counter(table.split.tolist())),
        "temperatures_K": _temperatures(table), "forces": forces, "virials": virials, "duplicates": duplicates,
        "signs": signs, "energies": energies, "distances": distances, "strain": strain, "bulk_moduli": moduli,
    })
    return entry, _Frames(table, residual, bond_ratio)


def _check_elements(group: DataGroup, type_map: Sequence[str] | None) -> list[Finding]:
    wanted = list(type_map or group.type_map)
    holding: list[str] = []
    outside: set[str] = set()
    for block, source in zip(group.blocks, group.sources, strict=True):
        if extra := {group.type_map[k] for k in np.unique(block.types)} - set(wanted):
            outside |= extra
            holding.append(f"{source}: {block.split}/{block.system}")
    if not outside:
        return []
    return [Finding(
        level="unusable", check="elements", message=f"{outside_type_map(sorted(outside), wanted)}, but in "
        f"{len(holding)} systems, e.g. {holding[0]}", frames=tuple(holding[:LISTED]),
    )]


def _systems(table: Table) -> tuple[SystemNumbers, ...]:
    rows = []
    for name in dict.fromkeys(table.system.tolist()):
        own = table.system == name
        splits = Counter(table.split[own].tolist())
        pressure = table.pressure_GPa[own]
        span = (float(np.nanmin(pressure)), float(np.nanmax(pressure))) if np.isfinite(pressure).any() else None
        rows.append(SystemNumbers(
            system=name, n_atoms=tuple(sorted(set(table.n_atoms[own].tolist()))), train=splits["train"],
            validation=splits["validation"], test=splits["test"],
            trajectories=len(set(table.trajectory[own].tolist())),
            energy_eV_atom=float(np.median(table.energy[own] / table.n_atoms[own])),
            max_force_eV_A=float(table.max_force[own].max()), pressure_GPa=span,
            temperatures_K=tuple(sorted({float(t) for t in table.temperature_K[own] if np.isfinite(t)})),
        ))
    return tuple(rows)


def _temperatures(table: Table) -> dict[str, int]:
    counts = Counter(float(t) if np.isfinite(t) else None for t in table.temperature_K)
    known = sorted(t for t in counts if t is not None)
    return {f"{t:g}": counts[t] for t in known} | ({"unknown": counts[None]} if counts[None] else {})


def _write_frames(path: Path, frames: _Frames) -> None:
    table = frames.table
    system, split, trajectory = table.system, table.split, table.trajectory
    rows = [
        {
            "source": table.sources[table.block[k]], "split": split[k], "system": system[k],
            "trajectory": trajectory[k], "frame": int(table.index[k]),
            "temperature_K": _number(table.temperature_K[k]), "n_atoms": int(table.n_atoms[k]),
            "energy_eV": float(table.energy[k]), "energy_residual_eV_atom": float(frames.residual[k]),
            "max_force_eV_A": float(table.max_force[k]), "net_force_eV_A": float(table.net_force[k]),
            "pressure_GPa": _number(table.pressure_GPa[k]),
            "volume_A3_atom": float(table.volume[k] / table.n_atoms[k]),
            "bond_ratio": _number(frames.bond_ratio[k]),
        }
        for k in range(len(table))
    ]
    write_csv(path, rows, FRAME_COLUMNS)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
