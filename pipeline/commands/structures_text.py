"""Text output of ``dpa-sse structures`` about entries of the library and cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from ase import Atoms

    from dpa_sse.ops.structures.library import Entry


class MeasuredConductivity(TypedDict, total=False):
    """A measured conductivity as the library stores it."""

    sigma_mS_cm: float | list[float]
    T_K: float
    Ea_eV: float
    composition: str
    remark: str
    reference: str
    confidence: str


class EntrySummary(TypedDict):
    """An entry of the library as ``structures list --json`` prints it."""

    name: str
    system: str
    formula: str
    tier: str
    primary: bool
    space_group: str
    atoms: int | None
    source: str
    confidence: str
    experimental_lattice: bool
    used_for: list[str]
    conductivity: list[MeasuredConductivity]


def summary(entry: Entry) -> EntrySummary:
    """Return what the list shows of an entry."""
    source = entry.data.get("source") or {}
    kind = source.get("kind", "experimental")
    return {
        "name": entry.name, "system": entry.system, "formula": entry.formula, "tier": entry.tier,
        "primary": entry.primary, "space_group": entry.space_group, "atoms": entry.data.get("atoms_in_cell"),
        "source": source.get("id") or ("experiment" if "experimental" in kind else "built"),
        "confidence": entry.confidence, "experimental_lattice": entry.experimental_lattice is not None,
        "used_for": entry.data.get("used_for", []), "conductivity": entry.data.get("conductivity", []),
    }


def list_line(entry: Entry) -> str:
    """Return the line of an entry in the list."""
    one = summary(entry)
    stoichiometric = next((known for known in one["conductivity"] if "composition" not in known), None)
    return (
        f"{one['name'] + ('*' if entry.primary else ' '):24s} {one['formula']:12s} {one['space_group']:11s} "
        f"{one['atoms'] or 'mixed':>5}  {one['tier']:15s} {one['source']:12s} {first_word(one['confidence']):10s} "
        f"{sigma_text(stoichiometric)}"
    ).rstrip()


def first_word(confidence: str) -> str:
    """Return the first word of a confidence: high, medium, low."""
    return confidence.split(" (", maxsplit=1)[0].split(";", maxsplit=1)[0].split(",", maxsplit=1)[0]


def sigma_text(known: MeasuredConductivity | None) -> str:
    """Return a measured conductivity, mS/cm, or its range; empty if there is none."""
    value = known["sigma_mS_cm"] if known else ""
    return "-".join(f"{number:g}" for number in value) if isinstance(value, list) else f"{value:g}" if value else ""


def _measured(one: MeasuredConductivity) -> str:
    """Return a measured conductivity with its source as one line."""
    parts = [f"{sigma_text(one)} mS/cm at {one['T_K']} K"]
    parts += [f"Ea {one['Ea_eV']} eV"] if "Ea_eV" in one else []
    parts += [one["composition"]] if "composition" in one else []
    parts += [one["remark"]] if "remark" in one else []
    return f"{', '.join(parts)} - {one['reference']} ({one['confidence']})"


def description(entry: Entry) -> list[str]:
    """Return an entry as lines: lattice, sites, distances, measurements, source."""
    data = entry.data
    lines = [
        f"{entry.name}: {entry.formula}, {entry.space_group} (No. {entry.space_group_number}), {entry.tier}",
        f"  lattice      {_lattice(entry.lattice)}",
    ]
    if entry.experimental_lattice:
        note = "" if entry.experimental_lattice_trusted else "  (not verified, not used)"
        lines.append(f"  experiment   {_lattice(entry.experimental_lattice)}{note}")
    lines += [
        f"  {site.element:2s} {site.wyckoff:4s} {site.position[0]:9.5f} {site.position[1]:9.5f} {site.position[2]:9.5f}"
        f"  occupancy {site.occupancy:.3f}"
        for site in entry.sites
    ]
    checked = data.get("verification", {})
    distances = checked.get("min_distances") or checked.get("min_distances_partial_sites") or {}
    lines.append("  shortest     " + ", ".join(f"{pair} {value:.2f} A" for pair, value in distances.items()))
    lines.append(f"  density      {checked.get('density_g_cm3')} g/cm3")
    source = data.get("source") or {}
    lines += [f"  measured     {_measured(one)}" for one in data.get("conductivity", [])]
    facts = {"used for": ", ".join(data.get("used_for", [])),
             "source": source.get("id") or source.get("kind"), "reference": data.get("reference"),
            "confidence": entry.confidence, "note": data.get("note")}
    return lines + [f"  {key:12s} {value}" for key, value in facts.items() if value]


def _lattice(values: tuple[float, ...]) -> str:
    return "{:.4f} {:.4f} {:.4f} A, {:.2f} {:.2f} {:.2f} degrees".format(*values)


def cell_line(cell: Atoms) -> str:
    """Return a built cell as one line, with the request where the cell differs from it."""
    lengths = " x ".join(f"{length:.1f}" for length in cell.cell.lengths())
    parts = [f"{cell.info['system']}: {len(cell)} atoms, {cell.get_chemical_formula('hill')}, {lengths} A"]
    if "ewald_eV" in cell.info:
        parts.append(f"Ewald {cell.info['ewald_eV']:+.2f} eV")
    if "labeler_eV" in cell.info:
        parts.append(f"energy {cell.info['labeler_eV']:+.3f} eV")
    if cell.info.get("composition_error"):
        parts.append(f"requested {cell.info['composition_target']}")
    if "site_disorder" in cell.info:
        target = cell.info.get("site_disorder_target")
        asked = "" if target is None else f" (requested {float(target):.3f})"
        parts.append(f"site disorder {float(cell.info['site_disorder']):.3f}{asked}")
    return ", ".join(parts)


def cut_bonds(atoms: Atoms) -> str:
    """Return the number of covalent bonds that a surface cuts, in words."""
    number = int(atoms.info["cut_bonds"])
    return f"covalent bonds cut: {number}" if number else "no covalent bonds cut"


def dipole(atoms: Atoms) -> str:
    """Return the dipole moments of a slab or of the parts of an interface, in words."""
    text = str(atoms.info["dipole_e_per_A"])
    values = [abs(float(one)) for one in text.split(" | ") if one != "unknown"]
    if max(values, default=0.0) >= 0.01:
        return f"polar: dipole {text} e/A (formal charges)"
    return f"dipole {text} e/A" if "unknown" in text else "not polar"
