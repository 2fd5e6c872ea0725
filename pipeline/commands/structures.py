"""``dpa-sse structures``: the library of electrolytes, ordered cells and solid solutions, perturbed copies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ase import Atoms

    from ops.structures.library import Entry

app = typer.Typer(help="The library of electrolytes, solid solutions, disorder, perturbation.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything that is drawn.")]


@app.command("list")
def list_structures(
    tier: Annotated[str | None, typer.Option(help="Only: electrolyte, ternary, binary, metal, fine-tuning.")] = None,
    as_json: Json = False,
) -> None:
    """List the library: formula, space group, atoms, source, certainty."""
    from ops.errors import InputError
    from ops.structures.library import load_entry, names

    entries = [load_entry(name) for name in names()]
    if tier is not None:
        tiers = sorted({entry.tier for entry in entries})
        entries = [entry for entry in entries if entry.tier.startswith(tier.lower())]
        if not entries:
            raise InputError(f"no tier {tier!r} (there are: {', '.join(tiers)})")
    if as_json:
        typer.echo(json.dumps([_summary(entry) for entry in entries], indent=1))
        return
    typer.echo(f"{'name':24s} {'formula':12s} {'space group':11s} {'atoms':>5s}  {'tier':15s} {'source':12s} certainty")
    for entry in entries:
        one = _summary(entry)
        mark = "*" if entry.primary else " "
        typer.echo(
            f"{one['name'] + mark:24s} {one['formula']:12s} {one['space_group']:11s} {one['atoms'] or 'mixed':>5}  "
            f"{one['tier']:15s} {one['source']:12s} {one['confidence'].split(' (')[0].split(';')[0]}"
        )
    typer.echo("* the entry that a system name stands for")


@app.command("show")
def show_structure(
    name: Annotated[str, typer.Argument(help="Library name.", show_default=False)], as_json: Json = False
) -> None:
    """Show one entry: cell, sites, occupancies, shortest distances, source."""
    from ops.structures.library import load_entry

    entry = load_entry(name)
    if as_json:
        typer.echo(json.dumps(entry.data, indent=1))
        return
    for line in _description(entry):
        typer.echo(line)


@app.command("build")
def build_structures(
    structure: Annotated[str, typer.Argument(help="Library name, file, or composition.", show_default=False)],
    site_disorder: Annotated[float | None, typer.Option(help="Argyrodites: share of the 4c sites with halide.")] = None,
    supercell: Annotated[str, typer.Option(help="Repetitions, e.g. 2,2,1.")] = "1,1,1",
    atoms: Annotated[str | None, typer.Option(help="Near-cubic supercell of so many atoms, e.g. 200..400.")] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Distinct arrangements, where there are several.")] = 1,
    seed: Seed = 1,
    name: Annotated[str | None, typer.Option(help="Name of the system; made from the structure by default.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="extxyz file.")] = Path("cells.extxyz"),
) -> None:
    """Build ordered cells of a structure, a solid solution or a disordered crystal."""
    from ops.structures.build import build_ensemble
    from ops.structures.extxyz import write_frames

    system = _system(structure, name, site_disorder, supercell)
    cells = build_ensemble(system, Path.cwd(), seed, count, _range(atoms) if atoms else None)
    if len(cells) > 1:
        for number, cell in enumerate(cells):
            cell.info["system"] = f"{system.name}.c{number:03d}"
    write_frames(out, cells)
    for cell in cells:
        typer.echo(_line(cell))
    if len(cells) < count:
        typer.echo(f"{len(cells)} of {count} wanted: no more distinct arrangements were found")
    typer.echo(f"written: {out}")


@app.command("perturb")
def perturb_structures(
    cells: Annotated[Path, typer.Argument(help="extxyz file with one cell per system.", show_default=False)],
    strain: Annotated[float, typer.Option(help="Largest absolute component of the strain tensor.")] = 0.03,
    displacement: Annotated[float, typer.Option("--displace-A", help="Largest displacement, Angstrom.")] = 0.1,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Perturbed cells per system.")] = 4,
    seed: Seed = 1,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the task folders.")] = Path("perturbed"),
) -> None:
    """Write strained and displaced copies of cells, one task folder each."""
    from ops.structures.perturb import perturb_cells
    from ops.structures.settings import PerturbSettings

    settings = _validated(PerturbSettings, count=count, strain=strain, displacement_A=displacement)
    number = perturb_cells(cells, settings, seed, out)
    typer.echo(f"{number} perturbed cells in {out}")


def _system(structure: str, name: str | None, site_disorder: float | None, supercell: str) -> Any:
    from ops.structures.settings import SystemSettings

    system_name = name or "".join(char if char.isalnum() or char in "._+-" else "-" for char in Path(structure).stem)
    if name is None and "/" not in structure and not Path(structure).is_file():
        system_name = structure
    return _validated(
        SystemSettings, name=system_name, structure=structure, site_disorder=site_disorder,
        supercell=_integers(supercell),
    )


def _validated(kind: type[Any], **values: Any) -> Any:
    """Return settings, or refuse with one line per wrong value."""
    from pydantic import ValidationError

    from ops.errors import InputError

    try:
        return kind(**values)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}, got {one['input']!r}" for one in error.errors()]
        raise InputError("\n".join(faults)) from error


def _integers(text: str) -> tuple[int, ...]:
    from ops.errors import InputError

    parts = text.replace("x", ",").split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise InputError(f"--supercell {text}: write three positive integers, e.g. 2,2,1")
    return tuple(int(part) for part in parts)


def _range(text: str) -> tuple[int, int]:
    from ops.errors import InputError

    first, dots, last = text.partition("..")
    if not first.isdigit() or (dots and not last.isdigit()):
        raise InputError(f"--atoms {text}: write a range, e.g. 200..400")
    smallest, largest = int(first), int(last or first)
    if not 0 < smallest <= largest:
        raise InputError(f"--atoms {text}: the range is empty")
    return smallest, largest


def _summary(entry: Entry) -> dict[str, Any]:
    source = entry.data.get("source") or {}
    kind = source.get("kind", "experimental")
    return {
        "name": entry.name, "system": entry.system, "formula": entry.formula, "tier": entry.tier,
        "primary": entry.primary, "space_group": entry.space_group, "atoms": entry.data.get("atoms_in_cell"),
        "source": source.get("id") or ("experiment" if "experimental" in kind else "built"),
        "confidence": entry.confidence, "experimental_lattice": entry.experimental_lattice is not None,
    }


def _description(entry: Entry) -> list[str]:
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
    told = {"source": source.get("id") or source.get("kind"), "reference": data.get("reference"),
            "confidence": entry.confidence, "note": data.get("note")}
    return lines + [f"  {key:12s} {value}" for key, value in told.items() if value]


def _lattice(values: tuple[float, ...]) -> str:
    return "{:.4f} {:.4f} {:.4f} A, {:.2f} {:.2f} {:.2f} degrees".format(*values)


def _line(cell: Atoms) -> str:
    lengths = " x ".join(f"{length:.1f}" for length in cell.cell.lengths())
    parts = [f"{cell.info['system']}: {len(cell)} atoms, {cell.get_chemical_formula('hill')}, {lengths} A"]
    if "ewald_eV" in cell.info:
        parts.append(f"Ewald {cell.info['ewald_eV']:+.2f} eV")
    if cell.info.get("composition_error"):
        parts.append(f"asked for {cell.info['composition_target']}")
    if "site_disorder" in cell.info:
        parts.append(f"site disorder {float(cell.info['site_disorder']):.3f}")
    return ", ".join(parts)
