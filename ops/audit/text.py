"""The result of an audit as text for people."""

from __future__ import annotations

from collections.abc import Sequence

from dpa_sse.ops.audit.consistency import SLOPE
from dpa_sse.ops.results.audit import Audit, DataSetAudit, Severity, SystemNumbers, Verdict
from dpa_sse.ops.results.level import LevelOfTheory

SIGNS: dict[Severity, str] = {"unusable": "UNUSABLE", "warning": "warning ", "note": "note    "}
VERDICTS: dict[Verdict, str] = {
    "sound": "OK: nothing found", "warnings": "usable, with the warnings above",
    "unusable": "UNUSABLE: fix what is listed above first",
}
SHOWN_SETTINGS = ("GGA", "METAGGA", "ENCUT", "functional", "codes")
MOST_MODULI = 6


def audit_text(result: Audit) -> str:
    """Return tables, findings and verdict."""
    parts = ["\n".join(_data_set(entry)) for entry in result.data_sets]
    return "\n\n".join([*parts, f"verdict: {VERDICTS[result.verdict]}"])


def _data_set(entry: DataSetAudit) -> list[str]:
    lines = [
        f"{entry.title}  ({', '.join(entry.formats)}; {entry.n_frames} frames; type_map {' '.join(entry.type_map)})",
        "",
    ]
    if entry.systems:
        lines += [*_table(entry.systems), "", *_numbers(entry), ""]
    lines += [f"{SIGNS[one.level]}  {one.check}: {one.message}" for one in entry.findings]
    return lines if entry.findings else [*lines, "nothing found"]


def _table(systems: Sequence[SystemNumbers]) -> list[str]:
    head = ("system", "atoms", "train", "valid.", "test", "traj.", "E/atom eV", "max F eV/A", "pressure GPa", "T/K")
    rows = [
        (
            one.system, _span(one.n_atoms, "{:d}"), str(one.train), str(one.validation), str(one.test),
            str(one.trajectories), f"{one.energy_eV_atom:.3f}", f"{one.max_force_eV_A:.2f}",
            _span(one.pressure_GPa, "{:.1f}"), _span(one.temperatures_K, "{:.0f}"),
        )
        for one in systems
    ]
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    return [
        "  ".join(cell.ljust(width) if k == 0 else cell.rjust(width) for k, (cell, width) in
                  enumerate(zip(row, widths, strict=True))).rstrip()
        for row in [head, *rows]
    ]


def _numbers(entry: DataSetAudit) -> list[str]:
    """Return one line per quantity; those that were not determined have none."""
    return [
        *(f"labels by                {_level(level)}" for level in entry.levels[:4]),
        *_temperatures(entry), *_energies(entry), *_distances_and_forces(entry), *_signs(entry), *_moduli(entry),
        *_strain(entry), *_copies(entry),
    ]


def _temperatures(entry: DataSetAudit) -> list[str]:
    found = entry.temperatures_K or {}
    if not found.keys() - {"unknown"}:
        return []
    counts = ", ".join(f"{name}{' K' if name != 'unknown' else ''}: {count}" for name, count in found.items())
    return [f"frames per temperature   {counts}"]


def _energies(entry: DataSetAudit) -> list[str]:
    energies = entry.energies
    if energies is None:
        return []
    if energies.per_element_eV:
        fit = ", ".join(f"{name} {value:.3f}" for name, value in energies.per_element_eV.items())
        return [f"energy per element, eV   {fit}"]
    return [
        f"energy per element       not determined: {energies.rank} independent compositions, "
        f"{energies.elements} elements"
    ]


def _distances_and_forces(entry: DataSetAudit) -> list[str]:
    lines = []
    if entry.distances:
        shortest = ", ".join(f"{pair} {value:.2f}" for pair, value in entry.distances.shortest_A.items())
        lines.append(f"shortest distances, A    {shortest}")
    if entry.forces:
        lines.append(f"largest net force        {entry.forces.largest_net_force_per_atom_eV_A:.2g} eV/A per atom")
    return lines


def _moduli(entry: DataSetAudit) -> list[str]:
    found = entry.bulk_moduli or ()
    moduli = [f"{one.system} {one.bulk_modulus_GPa:.0f} +- {one.error_GPa:.0f}" for one in found]
    if not moduli:
        return []
    more = len(moduli) - MOST_MODULI
    shown = moduli[:MOST_MODULI] + ([f"and {more} more"] if more > 0 else [])
    return [f"-dP/d ln V, GPa          {', '.join(shown)}  (+- is the standard error)"]


def _strain(entry: DataSetAudit) -> list[str]:
    strain = entry.strain
    if strain is None or strain.slope is None:
        return []
    return [
        f"against finite strain    slope {strain.slope:.3f}, correlation {strain.correlation:.3f}  "
        f"({strain.frames} frames)"
    ]


def _copies(entry: DataSetAudit) -> list[str]:
    copies = entry.duplicates
    if copies is None:
        return []
    return [
        f"copies                   {copies.copies} ({copies.across_splits} across splits, "
        f"{copies.reoriented} in another orientation or order), nearly copies across splits: "
        f"{copies.near_across_splits}"
    ]


def _signs(entry: DataSetAudit) -> list[str]:
    """Return the slopes of the energy differences, the accepted range and, for accepted data, what lowers them."""
    signs = entry.signs
    known = {name: slope for name in SLOPE if signs and (slope := getattr(signs, name)) is not None}
    if signs is None or not known:
        return []
    shown = ", ".join(f"{name} {one.slope:.3f} +- {one.error:.3f}" for name, one in known.items())
    accepted = ", ".join(f"{name} {SLOPE[name][0]:g} to {SLOPE[name][1]:g}" for name in known)
    lines = [
        f"dE against the work of   {shown}  (+- is the standard error; {signs.pairs} pairs of frames)",
        f"{'':25}right is 1, accepted are {accepted}",
    ]
    doubted = any(one.check == "signs" and one.level != "note" for one in entry.findings)
    if not doubted and any(one.slope < 1 - 2 * one.error for one in known.values()):
        lines.append(f"{'':25}below 1 is usual for distant frames: the forces at both ends overestimate the work")
    return lines


def _level(level: LevelOfTheory) -> str:
    shown = [f"{name} {level.settings[name]}" for name in SHOWN_SETTINGS if name in level.settings]
    return ", ".join([level.code, *shown])


def _span(values: Sequence[float] | None, form: str) -> str:
    if not values:
        return "-"
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low}..{high}"
