"""``dpa-sse structures``: the library of electrolytes, ordered cells and solid solutions, perturbed copies."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpa_sse.pipeline.commands import structures_text as words

if TYPE_CHECKING:
    from ase import Atoms

app = typer.Typer(help="The library of electrolytes, solid solutions, disorder, perturbation.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything that is drawn.")]


@app.command("list", short_help="List the library.")
def list_structures(
    tier: Annotated[str | None, typer.Option(help="Only: electrolyte, ternary, binary, metal, fine-tuning.")] = None,
    as_json: Json = False,
) -> None:
    """List the library: formula, space group, atoms, source, certainty, known conductivity."""
    from dpa_sse.ops.core.errors import InputError
    from dpa_sse.ops.structures.library import load_entry, names

    entries = [load_entry(name) for name in names()]
    if tier is not None:
        tiers = sorted({entry.tier for entry in entries})
        entries = [entry for entry in entries if entry.tier.startswith(tier.lower())]
        if not entries:
            raise InputError(f"no tier {tier!r} (there are: {', '.join(tiers)})")
    if as_json:
        typer.echo(json.dumps([words.summary(entry) for entry in entries], indent=1))
        return
    head = f"{'name':24s} {'formula':12s} {'space group':11s} {'atoms':>5s}  {'tier':15s} {'source':12s} certainty"
    typer.echo(f"{head} mS/cm")
    for entry in entries:
        one = words.summary(entry)
        mark, sigma = "*" if entry.primary else " ", words.sigma(one["conductivity"])
        typer.echo(
            f"{one['name'] + mark:24s} {one['formula']:12s} {one['space_group']:11s} {one['atoms'] or 'mixed':>5}  "
            f"{one['tier']:15s} {one['source']:12s} {words.first_word(one['confidence']):9s} {sigma}".rstrip()
        )
    typer.echo("* the entry that a system name stands for; mS/cm: measured near 300 K, `show` has the source")


@app.command("show", short_help="Show one entry: sites, neighbours, conductivities.")
def show_structure(
    name: Annotated[str, typer.Argument(help="Library name.", show_default=False)],
    as_json: Json = False,
    png: Annotated[Path | None, typer.Option(help="Write a picture of the cell.")] = None,
) -> None:
    """Show one entry: cell, sites, neighbours, measured conductivities, source, a picture in letters."""
    from dpa_sse.ops.structures.coordination import describe_neighbours
    from dpa_sse.ops.structures.library import load_entry
    from dpa_sse.ops.structures.picture import draw_png, draw_text

    entry = load_entry(name)
    if png is not None:
        draw_png(entry, png)
        typer.echo(f"written: {png}", err=as_json)
    if as_json:
        typer.echo(json.dumps(entry.data, indent=1))
        return
    neighbours = [f"  {line}" for line in describe_neighbours(entry)]
    for line in [*words.description(entry), *neighbours, *draw_text(entry)]:
        typer.echo(line)


@app.command("build", short_help="Build ordered cells, mixed or disordered too.")
def build_structures(
    structure: Annotated[str, typer.Argument(help="Library name, file, or composition.", show_default=False)],
    site_disorder: Annotated[float | None, typer.Option(help="Argyrodites: share of the 4c sites with halide.")] = None,
    supercell: Annotated[str, typer.Option(help="Repetitions, e.g. 2,2,1.")] = "1,1,1",
    atoms: Annotated[str | None, typer.Option(help="Near-cubic supercell of so many atoms, e.g. 200..400.")] = None,
    min_edge: Annotated[float | None, typer.Option("--min-edge-A", help="Smallest supercell so wide.")] = None,
    orthogonal: Annotated[bool, typer.Option("--orthogonal", help="Only supercells with right angles.")] = False,
    mixing: Annotated[str, typer.Option(help="Solid solutions: random or sqs (special quasi-random).")] = "random",
    series: Annotated[str | None, typer.Option(help="Values of x in the structure, e.g. x=0,0.25,0.5.")] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Distinct arrangements, where there are several.")] = 1,
    rank: Annotated[str, typer.Option(help="Order of the arrangements: ewald, or the energy of an ASE calculator "
                                           "(chgnet, module:Class).")] = "ewald",
    seed: Seed = 1,
    name: Annotated[str | None, typer.Option(help="Name of the system; made from the structure by default.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="extxyz file.")] = Path("cells.extxyz"),
) -> None:
    """Build ordered cells of a structure, a solid solution or a disordered crystal."""
    from dpa_sse.ops.structures.build import build_ensemble
    from dpa_sse.ops.structures.extxyz import write_frames
    from dpa_sse.ops.structures.series import expand_system

    base = {"name": name or _name(structure), "structure": structure, "supercell": _integers(supercell),
            "site_disorder": site_disorder, "atoms": _range(atoms) if atoms else None, "min_edge_A": min_edge,
            "orthogonal": orthogonal, "mixing": mixing}
    cells = []
    for item in expand_system({**base, "series": _series(series)} if series else base):
        system = _validated(item)
        several = _in_order(build_ensemble(system, Path.cwd(), seed, count), rank)
        for number, cell in enumerate(several):
            cell.info["system"] = f"{system.name}.c{number:03d}" if len(several) > 1 else system.name
        cells += several
        for cell in several:
            typer.echo(words.line(cell))
        if len(several) < count:
            typer.echo(f"{len(several)} of {count} wanted: no more distinct arrangements were found")
    write_frames(out, cells)
    typer.echo(f"written: {out}")


@app.command("interface", short_help="Build an interface of two crystals.")
def build_interfaces(
    film: Annotated[str, typer.Argument(help="Library name, file or composition of the electrolyte.")],
    substrate: Annotated[str, typer.Argument(help="The other side, e.g. Li or Li2S; it keeps its lattice.")],
    film_miller: Annotated[str, typer.Option(help="Surface of the film.")] = "0,0,1",
    substrate_miller: Annotated[str, typer.Option(help="Surface of the substrate.")] = "0,0,1",
    film_thickness: Annotated[float, typer.Option("--film-thickness-A", help="At least.")] = 12.0,
    substrate_thickness: Annotated[float, typer.Option("--substrate-thickness-A", help="At least.")] = 12.0,
    gap: Annotated[float, typer.Option("--gap-A", help="Distance of the two sides.")] = 2.5,
    vacuum: Annotated[float, typer.Option("--vacuum-A", help="Above the film; 0: interfaces on both sides.")] = 0.0,
    max_strain: Annotated[float, typer.Option(help="Of the film.")] = 0.05,
    max_area: Annotated[float, typer.Option("--max-area-A2", help="Of the common cell.")] = 400.0,
    termination: Annotated[int, typer.Option(help="Which pair, from 0: those that cut the fewest bonds first.")] = 0,
    seed: Seed = 1,
    out: Annotated[Path, typer.Option("--out", "-o", help="extxyz file.")] = Path("interface.extxyz"),
) -> None:
    """Build an interface of two crystals with matched lattices, e.g. Li6PS5Cl on Li."""
    from dpa_sse.ops.structures.build import build_cell
    from dpa_sse.ops.structures.extxyz import write_frames
    from dpa_sse.ops.structures.interface import InterfaceOptions, build_interface

    systems = [_validated({"name": _name(one), "structure": one}) for one in (film, substrate)]
    sides = [build_cell(system, Path.cwd(), seed) for system in systems]
    options = InterfaceOptions(
        _miller(film_miller), _miller(substrate_miller), film_thickness, substrate_thickness, gap, vacuum, max_strain,
        max_area, termination,
    )
    made = build_interface(sides[0], sides[1], options)
    write_frames(out, [made])
    info = made.info
    typer.echo(words.line(made))
    typer.echo(
        f"area {info['matching_area_A2']:.1f} A2, strain {info['strain']:.3f}, {info['terminations']}, "
        f"{words.cuts(made)}"
    )
    typer.echo(f"written: {out}")


@app.command("slab")
def build_slabs(
    structure: Annotated[str, typer.Argument(help="Library name, file or composition.", show_default=False)],
    miller: Annotated[str, typer.Option(help="Surface.")] = "0,0,1",
    thickness: Annotated[float, typer.Option("--thickness-A", help="At least, in whole layers.")] = 12.0,
    vacuum: Annotated[float, typer.Option("--vacuum-A", help="Between the slab and its next image.")] = 15.0,
    termination: Annotated[int, typer.Option(help="Which one, from 0: those that cut the fewest bonds first.")] = 0,
    seed: Seed = 1,
    out: Annotated[Path, typer.Option("--out", "-o", help="extxyz file.")] = Path("slab.extxyz"),
) -> None:
    """Build a slab with vacuum, its surface normal along c."""
    from dpa_sse.ops.structures.build import build_cell
    from dpa_sse.ops.structures.extxyz import write_frames
    from dpa_sse.ops.structures.interface import build_slab

    crystal = build_cell(_validated({"name": _name(structure), "structure": structure}), Path.cwd(), seed)
    slab = build_slab(crystal, _miller(miller), thickness, vacuum, termination)
    write_frames(out, [slab])
    typer.echo(f"{words.line(slab)}, {slab.info['operation']}, {words.cuts(slab)}")
    typer.echo(f"written: {out}")


@app.command("references", short_help="Name the compounds it can decompose into.")
def list_references(
    formula: Annotated[str, typer.Argument(help="Composition, e.g. Li6PS5Cl.", show_default=False)],
    ternary: Annotated[bool, typer.Option("--ternary", help="Ternary sulfides too, not only binaries.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write their cells, extxyz.")] = None,
    min_edge: Annotated[float, typer.Option("--min-edge-A", help="Of these cells: so wide that the Gamma point "
                                                                 "suffices.")] = 12.0,
    as_json: Json = False,
) -> None:
    """Name the compounds of the library that a composition can decompose into, and write their cells."""
    from dpa_sse.ops.structures.references import references

    found = references(formula, ("binary", "metal", "ternary") if ternary else ("binary", "metal"))
    if out is not None:
        _write_references(found, min_edge, out)
        typer.echo(f"written: {out}", err=as_json)
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(f"{formula} -> " + " + ".join(f"{amount:g} {name}" for name, amount in found.items()))


@app.command("perturb", short_help="Write strained and displaced copies of cells.")
def perturb_structures(
    cells: Annotated[Path, typer.Argument(help="extxyz file with one cell per system.", show_default=False)],
    strain: Annotated[float, typer.Option(help="Largest absolute component of the strain tensor.")] = 0.03,
    displacement: Annotated[float, typer.Option("--displace-A", help="Largest displacement, Angstrom.")] = 0.1,
    normal: Annotated[bool, typer.Option("--normal", help="Normal displacements instead of uniform ones.")] = False,
    keep_volume: Annotated[bool, typer.Option("--keep-volume", help="Strain changes the shape only.")] = False,
    element: Annotated[list[str] | None, typer.Option(metavar="ELEMENT=A", help="Displacement of one element.")] = None,
    min_distance: Annotated[float, typer.Option("--min-distance-A", help="No two atoms closer than this.")] = 0.0,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Perturbed cells per system.")] = 4,
    seed: Seed = 1,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the task folders.")] = Path("perturbed"),
) -> None:
    """Write strained and displaced copies of cells, one task folder each."""
    from dpa_sse.ops.core.errors import InputError
    from dpa_sse.ops.structures.perturb import perturb_cells
    from dpa_sse.ops.structures.settings import PerturbSettings

    if any(out.glob("task.*")):  # fewer cells than before would leave some of the old ones among the new
        raise InputError(f"{out}: holds perturbed cells already; choose another folder, or remove it")
    settings = _checked(
        PerturbSettings, count=count, strain=strain, displacement_A=displacement, volume_preserving=keep_volume,
        distribution="normal" if normal else "uniform", element_displacement_A=_amplitudes(element or []),
        min_distance_A=min_distance,
    )
    number = perturb_cells(cells, settings, seed, out)
    typer.echo(f"{number} perturbed cells in {out}")


def _in_order(cells: list[Atoms], rank: str) -> list[Atoms]:
    """Return arrangements as they are (by Ewald energy), or by the energy of a calculator."""
    if rank == "ewald":
        return cells
    from dpa_sse.ops.labelers.ranking import rank_by_labeler
    from dpa_sse.ops.labelers.registry import make_labeler
    from dpa_sse.ops.labelers.settings import AseSettings

    return rank_by_labeler(cells, make_labeler(AseSettings(calculator=rank)))


def _write_references(found: dict[str, float], min_edge_A: float, out: Path) -> None:
    from dpa_sse.ops.structures.build import build_cell
    from dpa_sse.ops.structures.extxyz import write_frames

    systems = [_validated({"name": name, "structure": name, "min_edge_A": min_edge_A}) for name in found]
    write_frames(out, [build_cell(system, Path.cwd(), 1) for system in systems])


def _name(structure: str) -> str:
    """Return a name for a structure: as written, or the file's name; other characters become hyphens."""
    text = Path(structure).stem if Path(structure).is_file() else re.sub(r"\{[^{}]*\}", "", structure)  # amounts of x
    text = Path(text).stem if "/" in text else text
    name = "".join(char if (char.isascii() and char.isalnum()) or char in "._+-" else "-" for char in text)
    return name.lstrip("._+-")[:64] or "structure"


def _validated(item: dict[str, Any]) -> Any:
    from dpa_sse.ops.structures.settings import SystemSettings

    return _checked(SystemSettings, **item)


def _checked(kind: type[Any], **values: Any) -> Any:
    """Return settings, or refuse with one line per wrong value."""
    from pydantic import ValidationError

    from dpa_sse.ops.core.errors import InputError

    try:
        return kind(**values)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}, got {one['input']!r}"
            for one in error.errors()
        ]
        raise InputError("\n".join(faults)) from error


def _series(text: str) -> dict[str, list[float]]:
    from dpa_sse.ops.core.errors import InputError

    variable, _, values = text.partition("=")
    try:
        return {variable.strip(): [float(value) for value in values.split(",")]}
    except ValueError as error:
        raise InputError(f"--series {text}: write it as x=0,0.25,0.5") from error


def _amplitudes(texts: list[str]) -> dict[str, float]:
    from dpa_sse.ops.core.errors import InputError

    try:
        return {element.strip(): float(value) for element, value in (text.split("=") for text in texts)}
    except ValueError as error:
        raise InputError(f"--element {' '.join(texts)}: write it as Li=0.3") from error


def _miller(text: str) -> tuple[int, int, int]:
    from dpa_sse.ops.core.errors import InputError

    try:
        h, k, l = (int(part) for part in text.split(","))  # noqa: E741 - the letters of crystallography
    except ValueError as error:
        raise InputError(f"{text!r} is no surface: write its Miller indices as 1,1,0") from error
    return h, k, l


def _integers(text: str) -> tuple[int, ...]:
    from dpa_sse.ops.core.errors import InputError

    parts = text.replace("x", ",").split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise InputError(f"--supercell {text}: write three positive integers, e.g. 2,2,1")
    return tuple(int(part) for part in parts)


def _range(text: str) -> tuple[int, int]:
    from dpa_sse.ops.core.errors import InputError

    first, dots, last = text.partition("..")
    if not first.isdigit() or (dots and not last.isdigit()):
        raise InputError(f"--atoms {text}: write a range, e.g. 200..400")
    smallest, largest = int(first), int(last or first)
    if not 0 < smallest <= largest:
        raise InputError(f"--atoms {text}: the range is empty")
    return smallest, largest
