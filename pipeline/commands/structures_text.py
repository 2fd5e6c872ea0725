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
    lines = [f"{entry.name}: {entry.formula}, {entry.space_group} (No. {entry.space_group_number}), {entry.tier}"]
    if entry.experimental_lattice and entry.experimental_lattice_used:
        lines.append(f"  lattice      {_lattice(entry.experimental_lattice)}  (experiment; all below and all cells)")
        if entry.experimental_lattice != entry.lattice:
            lines.append(f"  calculated   {_lattice(entry.lattice)}  (not used)")
    else:
        lines.append(f"  lattice      {_lattice(entry.lattice)}  (all below and all cells)")
        if entry.experimental_lattice:
            lines.append(f"  experiment   {_lattice(entry.experimental_lattice)}  (not verified, not used)")
    lines += [
        f"  {site.element:2s} {site.wyckoff:4s} {site.position[0]:9.5f} {site.position[1]:9.5f} {site.position[2]:9.5f}"
        f"  occupancy {site.occupancy:.3f}"
        for site in entry.sites
    ]
    shortest, density = used_distances(entry), used_density(entry)
    if shortest:
        lines.append("  shortest     " + ", ".join(f"{pair} {value:.2f} A" for pair, value in shortest.items()))
    if density is not None:
        lines.append(f"  density      {density:.3f} g/cm3")
    source = data.get("source") or {}
    lines += [f"  measured     {_measured(one)}" for one in data.get("conductivity", [])]
    facts = {"used for": ", ".join(data.get("used_for", [])),
             "source": source.get("id") or source.get("kind"), "reference": data.get("reference"),
            "confidence": entry.confidence, "note": data.get("note")}
    return lines + [f"  {key:12s} {value}" for key, value in facts.items() if value]


def used_density(entry: Entry) -> float | None:
    """Return the density in the lattice that cells use, g/cm3; the library states that of the other one."""
    import numpy as np

    from dpa_sse.ops.structures.library import lattice_of

    stated = entry.data.get("verification", {}).get("density_g_cm3")
    if stated is None:
        return None
    calculated, used = (
        abs(np.linalg.det(lattice_of(entry, use_experimental_lattice=one)[0])) for one in (False, True)
    )
    return float(stated) * float(calculated / used)


def used_distances(entry: Entry) -> dict[str, float]:
    """Return the shortest distance of each pair of elements that the library lists, in the lattice that cells use, A.

    Those of partly occupied sites belong to the lattice of the library; where cells use another one, there are none.
    """
    import numpy as np

    from dpa_sse.ops.structures.library import cell_from_entry

    checked = entry.data.get("verification", {})
    stated: dict[str, float] = checked.get("min_distances") or checked.get("min_distances_partial_sites") or {}
    if not (entry.experimental_lattice_used and entry.experimental_lattice != entry.lattice):
        return stated
    if not entry.ordered:
        return {}
    cell = cell_from_entry(entry).repeat(2)  # of an element there may be one atom in the cell
    distances, symbols = cell.get_all_distances(mic=True), np.array(cell.get_chemical_symbols())
    np.fill_diagonal(distances, np.inf)
    pairs = {pair: pair.split("-") for pair in stated}
    return {pair: float(distances[np.ix_(symbols == a, symbols == b)].min()) for pair, (a, b) in pairs.items()}


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
