"""The result of an audit as a text for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dpa_sse.ops.audit.consistency import SLOPE

SIGNS = {"unusable": "UNUSABLE", "warning": "warning ", "note": "note    "}
VERDICTS = {
    "sound": "sound: nothing found", "warnings": "usable, with the warnings above",
    "unusable": "UNUSABLE: see above what has to be repaired first",
}


def audit_text(result: dict[str, Any]) -> str:
    """Return the tables, findings and verdict."""
    parts = ["\n".join(_data_set(entry)) for entry in result["data_sets"]]
    return "\n\n".join([*parts, f"verdict: {VERDICTS[result['verdict']]}"])


def _data_set(entry: dict[str, Any]) -> list[str]:
    lines = [
        f"{entry['title']}  ({', '.join(entry['formats'])}; {entry['n_frames']} frames; "
        f"type_map {' '.join(entry['type_map'])})", "",
    ]
    if entry["systems"]:
        lines += [*_table(entry["systems"]), "", *_numbers(entry), ""]
    lines += [f"{SIGNS[one['level']]}  {one['check']}: {one['message']}" for one in entry["findings"]]
    return lines if entry["findings"] else [*lines, "nothing found"]


def _table(systems: Sequence[dict[str, Any]]) -> list[str]:
    head = ("system", "atoms", "train", "valid.", "test", "traj.", "E/atom eV", "max F eV/A", "pressure GPa", "T/K")
    rows = [
        (
            one["system"], _span(one["n_atoms"], "{:d}"), str(one["train"]), str(one["validation"]), str(one["test"]),
            str(one["trajectories"]), f"{one['energy_eV_atom']:.3f}", f"{one['max_force_eV_A']:.2f}",
            _span(one["pressure_GPa"], "{:.1f}"), _span(one["temperatures_K"], "{:.0f}"),
        )
        for one in systems
    ]
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    return [
        "  ".join(cell.ljust(width) if k == 0 else cell.rjust(width) for k, (cell, width) in
                  enumerate(zip(row, widths, strict=True))).rstrip()
        for row in [head, *rows]
    ]


def _numbers(entry: dict[str, Any]) -> list[str]:
    energies = entry["energies"]
    lines = [f"labels by                {_level(level)}" for level in entry["levels"][:4]]
    if entry["temperatures_K"].keys() - {"unknown"}:
        counts = ", ".join(f"{name}{' K' if name != 'unknown' else ''}: {count}"
                           for name, count in entry["temperatures_K"].items())
        lines.append(f"frames per temperature   {counts}")
    if energies["per_element_eV"]:
        fit = ", ".join(f"{name} {value:.3f}" for name, value in energies["per_element_eV"].items())
        lines.append(f"energy per element, eV   {fit}")
    else:
        lines.append(
            f"energy per element       not determined: {energies['rank']} independent compositions, "
            f"{energies['elements']} elements"
        )
    shortest = ", ".join(f"{pair} {value:.2f}" for pair, value in entry["distances"]["shortest_A"].items())
    lines.append(f"shortest distances, A    {shortest}")
    lines.append(f"largest net force        {entry['forces']['largest_net_force_per_atom_eV_A']:.2g} eV/A per atom")
    lines += _slopes(entry["signs"], doubted=any(
        one["check"] == "signs" and one["level"] != "note" for one in entry["findings"]
    ))
    moduli = [
        f"{one['system']} {one['bulk_modulus_GPa']:.0f} +- {one['error_GPa']:.0f}" for one in entry["bulk_moduli"]
    ]
    if moduli:
        shown = moduli[:6] + ([f"and {len(moduli) - 6} more"] if len(moduli) > 6 else [])
        lines.append(f"-dP/d ln V, GPa          {', '.join(shown)}  (+- is the standard error)")
    if "strain" in entry and entry["strain"]["frames"]:
        strain = entry["strain"]
        lines.append(
            f"against finite strain    slope {strain['slope']:.3f}, correlation {strain['correlation']:.3f}  "
            f"({strain['frames']} frames)"
        )
    copies = entry["duplicates"]
    lines.append(
        f"copies                   {copies['copies']} ({copies['across_splits']} across splits, "
        f"{copies['reoriented']} in another orientation or order)"
    )
    return lines


def _slopes(signs: dict[str, Any], *, doubted: bool) -> list[str]:
    """Return the slopes of the energy differences, what is accepted and, of data without a fault, what lowers them."""
    known = [name for name in SLOPE if signs[name]]
    if not known:
        return []
    shown = ", ".join(f"{name} {signs[name]['slope']:.3f} +- {signs[name]['error']:.3f}" for name in known)
    accepted = ", ".join(f"{name} {SLOPE[name][0]:g} to {SLOPE[name][1]:g}" for name in known)
    lines = [
        f"dE against the work of   {shown}  (+- is the standard error; {signs['pairs']} pairs of frames)",
        f"{'':25}right is 1, accepted are {accepted}",
    ]
    if not doubted and any(signs[name]["slope"] < 1 - 2 * signs[name]["error"] for name in known):
        lines.append(f"{'':25}below 1 is usual of frames far apart: the forces at both ends overstate the work")
    return lines


def _level(level: dict[str, Any]) -> str:
    settings = level.get("settings", {})
    shown = [f"{name} {settings[name]}" for name in ("GGA", "METAGGA", "ENCUT", "functional") if name in settings]
    return ", ".join([str(level.get("code", "?")), *shown])


def _span(values: Sequence[float] | None, form: str) -> str:
    if not values:
        return "-"
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low}..{high}"
