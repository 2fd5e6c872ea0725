"""The audit of a data set: all checks, one result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.audit.consistency import check_bulk_modulus, check_consistency, check_strain
from dpa_sse.ops.audit.duplicates import find_duplicates
from dpa_sse.ops.audit.frames import Finding, Table, drop_unsound, make_table
from dpa_sse.ops.audit.gather import DataGroup, gather_groups
from dpa_sse.ops.audit.labels import check_distances, check_forces, check_virials, fit_energies
from dpa_sse.ops.audit.settings import check_levels
from dpa_sse.ops.core.errors import outside_type_map
from dpa_sse.ops.core.files import jsonable, write_csv, write_json, write_text

LEVELS = ("unusable", "warning", "note")
FRAME_COLUMNS = (
    "source", "split", "system", "trajectory", "frame", "temperature_K", "n_atoms", "energy_eV",
    "energy_residual_eV_atom", "max_force_eV_A", "net_force_eV_A", "pressure_GPa", "volume_A3_atom", "bond_ratio",
)


def audit_data(
    paths: Sequence[Path], *, form: str | None = None, type_map: Sequence[str] | None = None,
    calculator: str | None = None, arguments: dict[str, Any] | None = None, strain_frames: int = 6,
    out: Path | None = None,
) -> dict[str, Any]:
    """Audit data sets and, if wanted, write the result.

    Parameters
    ----------
    paths : sequence of Path
        Data in any known format (together one set), and run folders of this pipeline (each data set by itself).
    form : str, optional
        Format of the data, if it is not recognised.
    type_map : sequence of str, optional
        Elements that the data may hold.
    calculator : str, optional
        ``chgnet`` or ``module:Class``: the virials are compared with the finite strain of its energy.
    arguments : dict, optional
        Keyword arguments of the calculator.
    strain_frames : int
        Number of frames for that, twelve energies each.
    out : Path, optional
        Receives ``audit.json``, ``audit.txt``, and per data set ``frames*.csv`` and ``audit*.svg`` and ``.png``.

    Returns
    -------
    dict
        verdict (sound, warnings, unusable) and one entry per data set.

    Raises
    ------
    InputError
        Something can not be read, or the calculator can not be made.
    """
    from dpa_sse.ops.audit.text import audit_text

    groups = gather_groups(paths, form, type_map)
    made = None
    if calculator is not None:
        from dpa_sse.ops.labelers.ase_calculator import AseLabeler
        from dpa_sse.ops.labelers.settings import AseSettings

        made = AseLabeler(AseSettings(calculator=calculator, kwargs=arguments or {})).calculator()
    entries = []
    for number, group in enumerate(groups):
        entry, table, per_frame = _audit_group(group, type_map, made, strain_frames)
        entries.append(entry)
        if out is not None and table is not None:
            mark = f"-{number + 1}" if len(groups) > 1 else ""
            _write_frames(out / f"frames{mark}.csv", table, per_frame)
            from dpa_sse.ops.audit.figure import audit_figure

            audit_figure(entry, table, per_frame, out / f"audit{mark}.svg")
    levels = {finding["level"] for entry in entries for finding in entry["findings"]}
    verdict = "unusable" if "unusable" in levels else "warnings" if "warning" in levels else "sound"
    result: dict[str, Any] = jsonable({"verdict": verdict, "data_sets": entries})
    if out is not None:
        write_json(out / "audit.json", result)
        write_text(out / "audit.txt", audit_text(result) + "\n")
    return result


def _audit_group(
    group: DataGroup, type_map: Sequence[str] | None, calculator: Any, strain_frames: int
) -> tuple[dict[str, Any], Table | None, dict[str, np.ndarray]]:
    blocks, sources, findings = drop_unsound(group.blocks, group.sources)
    findings += [Finding("warning", "reading", note) for note in group.notes]
    findings += _check_elements(group, type_map)
    levels, found = check_levels(group.levels)
    findings += found
    entry: dict[str, Any] = {
        "title": group.title, "formats": sorted(set(group.forms)), "type_map": group.type_map,
        "n_frames": sum(map(len, group.blocks)), "levels": levels,
    }
    if not blocks:
        return entry | {"systems": [], "findings": [asdict(one) for one in findings]}, None, {}
    table = make_table(blocks, group.type_map, sources)
    per_frame: dict[str, np.ndarray] = {}
    for name, check in (("forces", check_forces), ("virials", check_virials), ("duplicates", find_duplicates),
                        ("signs", check_consistency)):
        entry[name], found = check(table)
        findings += found
    entry["energies"], per_frame["residual"], found = fit_energies(table)
    findings += found
    entry["distances"], per_frame["bond_ratio"], found = check_distances(table)
    findings += found
    if calculator is not None:
        entry["strain"], found = check_strain(table, calculator, strain_frames)
        findings += found
    known = entry["signs"]["virials"] is not None or calculator is not None
    entry["bulk_moduli"], found = check_bulk_modulus(table, sign_known=known)
    findings += found
    entry["systems"] = _systems(table)
    entry["splits"] = dict(Counter(table.split.tolist()))
    entry["temperatures_K"] = _temperatures(table)
    findings.sort(key=lambda one: LEVELS.index(one.level))
    entry["findings"] = [asdict(one) for one in findings]
    return entry, table, per_frame


def _check_elements(group: DataGroup, type_map: Sequence[str] | None) -> list[Finding]:
    used = {group.type_map[k] for block in group.blocks for k in np.unique(block.types)}
    findings = []
    outside = sorted(used - set(type_map or group.type_map))
    if outside:
        holding = [
            f"{source}: {block.split}/{block.system}" for block, source in zip(group.blocks, group.sources, strict=True)
            if {group.type_map[k] for k in np.unique(block.types)} & set(outside)
        ]
        findings.append(Finding(
            "unusable", "elements", f"{outside_type_map(outside, type_map or group.type_map)}, but in "
            f"{len(holding)} systems, e.g. {holding[0]}", holding[:20],
        ))
    return findings


def _systems(table: Table) -> list[dict[str, Any]]:
    rows = []
    for name in dict.fromkeys(table.system.tolist()):
        own = table.system == name
        splits = Counter(table.split[own].tolist())
        pressure = table.pressure_GPa[own]
        rows.append({
            "system": name, "n_atoms": sorted(set(table.n_atoms[own].tolist())),
            **{split: splits.get(split, 0) for split in ("train", "validation", "test")},
            "trajectories": len(set(table.trajectory[own].tolist())),
            "energy_eV_atom": float(np.median(table.energy[own] / table.n_atoms[own])),
            "max_force_eV_A": float(table.max_force[own].max()),
            "pressure_GPa": [float(np.nanmin(pressure)), float(np.nanmax(pressure))]
            if np.isfinite(pressure).any() else None,
            "temperatures_K": sorted({float(t) for t in table.temperature_K[own] if np.isfinite(t)}),
        })
    return rows


def _temperatures(table: Table) -> dict[str, int]:
    counts = Counter(float(t) if np.isfinite(t) else None for t in table.temperature_K)
    known = sorted(t for t in counts if t is not None)
    return {f"{t:g}": counts[t] for t in known} | ({"unknown": counts[None]} if counts[None] else {})


def _write_frames(path: Path, table: Table, per_frame: dict[str, np.ndarray]) -> None:
    system, split, trajectory = table.system, table.split, table.trajectory
    rows = [
        {
            "source": table.sources[table.block[k]], "split": split[k], "system": system[k],
            "trajectory": trajectory[k], "frame": int(table.index[k]),
            "temperature_K": _number(table.temperature_K[k]), "n_atoms": int(table.n_atoms[k]),
            "energy_eV": float(table.energy[k]), "energy_residual_eV_atom": float(per_frame["residual"][k]),
            "max_force_eV_A": float(table.max_force[k]), "net_force_eV_A": float(table.net_force[k]),
            "pressure_GPa": _number(table.pressure_GPa[k]),
            "volume_A3_atom": float(table.volume[k] / table.n_atoms[k]),
            "bond_ratio": _number(per_frame["bond_ratio"][k]),
        }
        for k in range(len(table))
    ]
    write_csv(path, rows, FRAME_COLUMNS)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
