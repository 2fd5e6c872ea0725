"""``dpa-sse structures``: library of crystal structures, ordered cells, solid solutions, interfaces, perturbation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from dpa_sse.pipeline.commands import structures_text
from dpa_sse.pipeline.commands.options import Json, Seed

if TYPE_CHECKING:
    from ase import Atoms
    from pydantic import BaseModel

    from dpa_sse.ops.structures.settings import SystemSettings

Model = TypeVar("Model", bound="BaseModel")

app = typer.Typer(
    help="Crystal structures: library, ordered cells, solid solutions, interfaces, perturbation.", no_args_is_help=True
)


def _known_format(path: Path | None) -> Path | None:
    """Refuse the name of an output file before anything is built."""
    if path is not None:
        from dpa_sse.ops.structures.write import target_format

        target_format(path)
    return path


CellsOut = Annotated[
    Path, typer.Option("--out", "-o", help="Output file: .extxyz, .cif, .vasp or POSCAR.", callback=_known_format)
]


@app.command("list", short_help="List the library.")
def list_structures(
    tier: Annotated[
        str | None, typer.Option(help="Only one tier: electrolyte, ternary, binary, metal or fine-tuning.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the library: formula, space group, number of atoms, source, confidence, measured conductivity."""
    from dpa_sse.ops.core.errors import InputError
    from dpa_sse.ops.core.suggest import did_you_mean
    from dpa_sse.ops.structures.library import load_entry, names

    entries = [load_entry(name) for name in names()]
    if tier is not None:
        tiers = sorted({entry.tier for entry in entries})
        entries = [entry for entry in entries if entry.tier.startswith(tier.lower())]
        if not entries:
            raise InputError(f"no tier {tier!r}{did_you_mean(tier, tiers)} (known: {', '.join(tiers)})")
    if as_json:
        typer.echo(json.dumps([structures_text.summary(entry) for entry in entries], indent=1))
        return
    head = f"{'name':24s} {'formula':12s} {'space group':11s} {'atoms':>5s}  {'tier':15s} {'source':12s} confidence"
    typer.echo(f"{head} mS/cm")
    for entry in entries:
        typer.echo(structures_text.list_line(entry))
    typer.echo("* used for the plain system name; mS/cm: measured near 300 K, see `show` for the source")


@app.command("show", short_help="Show an entry of the library.")
def show_structure(
    name: Annotated[str, typer.Argument(help="Library name.", show_default=False)],
    as_json: Json = False,
    png: Annotated[Path | None, typer.Option(help="Write a picture of the cell (PNG).")] = None,
) -> None:
    """Show an entry of the library: cell, sites, neighbours, measured conductivities, source, text drawing."""
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
    for line in [*structures_text.description(entry), *neighbours, *draw_text(entry)]:
        typer.echo(line)


@app.command("build", short_help="Build cells: ordered, mixed or disordered.")
def build_structures(
    structure: Annotated[str, typer.Argument(help="Library name, file, or composition.", show_default=False)],
    site_disorder: Annotated[
        float | None, typer.Option(help="Argyrodites: fraction of the 4c sites occupied by the halide.")
    ] = None,
    supercell: Annotated[str, typer.Option(help="Repetitions along a, b, c, e.g. 2,2,1.")] = "1,1,1",
    atoms: Annotated[
        str | None, typer.Option(help="Near-cubic supercell with a number of atoms in this range, e.g. 200..400.")
    ] = None,
    min_edge: Annotated[
        float | None, typer.Option("--min-edge-A", help="Smallest distance between opposite faces of the supercell.")
    ] = None,
    orthogonal: Annotated[bool, typer.Option("--orthogonal", help="Only supercells with right angles.")] = False,
    mixing: Annotated[
        str, typer.Option(help="Solid solutions: random, or sqs (special quasi-random structure).")
    ] = "random",
    contact: Annotated[
        float, typer.Option("--contact-A", help="Partly occupied sites closer than this are not occupied together.")
    ] = 2.0,
    series: Annotated[str | None, typer.Option(help="Values of x in the structure, e.g. x=0,0.25,0.5.")] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Number of distinct arrangements to build.")] = 1,
    rank: Annotated[str, typer.Option(help="Energy by which arrangements are sorted: ewald, or that of an ASE "
                                           "calculator (chgnet or module:Class).")] = "ewald",
    seed: Seed = 1,
    name: Annotated[str | None, typer.Option(help="Name of the system (default: derived from the structure).")] = None,
    out: CellsOut = Path("cells.extxyz"),
) -> None:
    """Build cells of an ordered structure, a solid solution or a disordered crystal."""
    from dpa_sse.ops.structures.build import build_ensemble
    from dpa_sse.ops.structures.series import expand_system
    from dpa_sse.ops.structures.write import write_cells_as

    base = {"name": name or _name(structure), "structure": structure, "supercell": _integers(supercell),
            "site_disorder": site_disorder, "atoms": _range(atoms) if atoms else None, "min_edge_A": min_edge,
            "orthogonal": orthogonal, "mixing": mixing, "contact_A": contact}
    cells = []
    for item in expand_system({**base, "series": _series(series)} if series else base):
        system = _system(item)
        several = _in_order(build_ensemble(system, Path.cwd(), seed, count), rank)
        for number, cell in enumerate(several):
            cell.info["system"] = f"{system.name}.c{number:03d}" if len(several) > 1 else system.name
        cells += several
        for cell in several:
            typer.echo(structures_text.cell_line(cell))
        for note in sorted({str(cell.info["notes"]) for cell in several if "notes" in cell.info}):
            typer.echo(f"note: {note}")
        if len(several) < count:
            typer.echo(f"only {len(several)} of {count} distinct arrangements were found")
    write_cells_as(out, cells)
    typer.echo(f"written: {out}")


@app.command("interface", short_help="Build an interface between two crystals.")
def build_interfaces(
    film: Annotated[str, typer.Argument(help="Electrolyte: library name, file or composition.", show_default=False)],
    substrate: Annotated[
        str, typer.Argument(help="Other side, e.g. Li or Li2S; its lattice is kept.", show_default=False)
    ],
    film_miller: Annotated[str, typer.Option(help="Miller indices of the film surface.")] = "0,0,1",
    substrate_miller: Annotated[str, typer.Option(help="Miller indices of the substrate surface.")] = "0,0,1",
    film_thickness: Annotated[float, typer.Option("--film-thickness-A", help="Smallest thickness of the film.")] = 12.0,
    substrate_thickness: Annotated[
        float, typer.Option("--substrate-thickness-A", help="Smallest thickness of the substrate.")
    ] = 12.0,
    gap: Annotated[float, typer.Option("--gap-A", help="Distance between the two sides.")] = 2.5,
    vacuum: Annotated[
        float, typer.Option("--vacuum-A", help="Vacuum above the film; 0: interfaces on both sides.")
    ] = 0.0,
    max_strain: Annotated[float, typer.Option(help="Largest strain of the film.")] = 0.05,
    max_area: Annotated[float, typer.Option("--max-area-A2", help="Largest area of the common cell.")] = 400.0,
    termination: Annotated[
        int, typer.Option(help="Pair of terminations, from 0: smallest dipole, then fewest cut bonds first.")
    ] = 0,
    seed: Seed = 1,
    out: CellsOut = Path("interface.extxyz"),
) -> None:
    """Build an interface between two crystals with matched lattices, e.g. Li6PS5Cl on Li."""
    from dpa_sse.ops.structures.build import build_cell
    from dpa_sse.ops.structures.interface import InterfaceOptions, build_interface
    from dpa_sse.ops.structures.write import write_cells_as

    systems = [_system({"name": _name(one), "structure": one}) for one in (film, substrate)]
    sides = [build_cell(system, Path.cwd(), seed) for system in systems]
    options = InterfaceOptions(
        _miller(film_miller), _miller(substrate_miller), film_thickness, substrate_thickness, gap, vacuum, max_strain,
        max_area, termination,
    )
    made = build_interface(sides[0], sides[1], options, _tell)
    write_cells_as(out, [made])
    info = made.info
    typer.echo(structures_text.cell_line(made))
    typer.echo(
        f"area {info['matching_area_A2']:.1f} A2, strain {info['strain']:.3f}, {info['terminations']}, "
        f"{structures_text.cut_bonds(made)}, {structures_text.dipole(made)}"
    )
    typer.echo(f"written: {out}")


@app.command("slab", short_help="Build a slab with vacuum.")
def build_slabs(
    structure: Annotated[str, typer.Argument(help="Library name, file or composition.", show_default=False)],
    miller: Annotated[str, typer.Option(help="Miller indices of the surface.")] = "0,0,1",
    thickness: Annotated[float, typer.Option("--thickness-A", help="Smallest thickness, in whole layers.")] = 12.0,
    vacuum: Annotated[float, typer.Option("--vacuum-A", help="Vacuum between periodic images of the slab.")] = 15.0,
    termination: Annotated[
        int, typer.Option(help="Termination, from 0: smallest dipole, then fewest cut bonds first.")
    ] = 0,
    seed: Seed = 1,
    out: CellsOut = Path("slab.extxyz"),
) -> None:
    """Build a slab with vacuum and the surface normal along c."""
    from dpa_sse.ops.structures.build import build_cell
    from dpa_sse.ops.structures.interface import build_slab
    from dpa_sse.ops.structures.write import write_cells_as

    crystal = build_cell(_system({"name": _name(structure), "structure": structure}), Path.cwd(), seed)
    slab = build_slab(crystal, _miller(miller), thickness, vacuum, termination, _tell)
    write_cells_as(out, [slab])
    line = f"{structures_text.cell_line(slab)}, {slab.info['operation']}"
    typer.echo(f"{line}, {structures_text.cut_bonds(slab)}, {structures_text.dipole(slab)}")
    typer.echo(f"written: {out}")


@app.command("references", short_help="List decomposition products of a compound.")
def list_references(
    formula: Annotated[str, typer.Argument(help="Composition, e.g. Li6PS5Cl.", show_default=False)],
    ternary: Annotated[bool, typer.Option("--ternary", help="Include ternary sulfides, not only binaries.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write their cells to this file: .extxyz or .cif.", callback=_known_format),
    ] = None,
    min_edge: Annotated[
        float,
        typer.Option(
            "--min-edge-A",
            help="Smallest distance between opposite faces of these cells; 12 A is enough for Gamma-only sampling.",
        ),
    ] = 12.0,
    as_json: Json = False,
) -> None:
    """List the compounds of the library that a composition can decompose into, and write their cells."""
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
    cells: Annotated[Path, typer.Argument(help="Cells to perturb, one per system (extxyz).", show_default=False)],
    strain: Annotated[float, typer.Option(help="Largest absolute component of the strain tensor.")] = 0.03,
    displacement: Annotated[float, typer.Option("--displacement-A", help="Largest displacement of an atom.")] = 0.1,
    normal: Annotated[
        bool, typer.Option("--normal", help="Normally distributed displacements instead of uniform ones.")
    ] = False,
    keep_volume: Annotated[
        bool, typer.Option("--keep-volume", help="Strain changes only the shape of the cell.")
    ] = False,
    element: Annotated[
        list[str] | None, typer.Option(metavar="ELEMENT=A", help="Largest displacement of one element, e.g. Li=0.3.")
    ] = None,
    min_distance: Annotated[
        float, typer.Option("--min-distance-A", help="Smallest allowed distance between atoms.")
    ] = 0.0,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Perturbed cells per system.")] = 4,
    seed: Seed = 1,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Output folder with one task folder per cell.")
    ] = Path("perturbed"),
) -> None:
    """Write strained and displaced copies of cells, each in its own task folder."""
    from dpa_sse.ops.core.errors import InputError
    from dpa_sse.ops.structures.perturb import perturb_cells
    from dpa_sse.ops.structures.settings import PerturbSettings

    if any(out.glob("task.*")):  # otherwise old cells could remain among the new ones
        raise InputError(f"{out}: already contains perturbed cells; remove the folder or choose another one")
    settings = _checked(
        PerturbSettings, count=count, strain=strain, displacement_A=displacement, volume_preserving=keep_volume,
        distribution="normal" if normal else "uniform", element_displacement_A=_amplitudes(element or []),
        min_distance_A=min_distance,
    )
    number = perturb_cells(cells, settings, seed, out)
    typer.echo(f"{number} perturbed cells in {out}")


def _in_order(cells: list[Atoms], rank: str) -> list[Atoms]:
    """Return arrangements as they are (by Ewald energy), or sorted by the energy of a calculator."""
    if rank == "ewald":
        return cells
    from dpa_sse.ops.labelers.ranking import rank_by_labeler
    from dpa_sse.ops.labelers.registry import make_labeler
    from dpa_sse.ops.labelers.settings import AseSettings

    return rank_by_labeler(cells, make_labeler(AseSettings(calculator=rank)))


def _write_references(found: dict[str, float], min_edge_A: float, out: Path) -> None:
    from dpa_sse.ops.structures.build import build_cell
    from dpa_sse.ops.structures.write import write_cells_as

    systems = [_system({"name": name, "structure": name, "min_edge_A": min_edge_A}) for name in found]
    write_cells_as(out, [build_cell(system, Path.cwd(), 1) for system in systems])


def _tell(line: str) -> None:
    """Show progress on a terminal; files and pipes hold results only."""
    import sys

    if sys.stderr.isatty():
        typer.echo(line, err=True)


def _name(structure: str) -> str:
    """Return a name for a structure: as written, or the file name; unsuitable characters become hyphens."""
    text = Path(structure).stem if Path(structure).is_file() else re.sub(r"\{[^{}]*\}", "", structure)  # amounts of x
    text = Path(text).stem if "/" in text else text
    name = "".join(char if (char.isascii() and char.isalnum()) or char in "._+-" else "-" for char in text)
    return name.lstrip("._+-")[:64] or "structure"


def _system(item: dict[str, Any]) -> SystemSettings:
    from dpa_sse.ops.structures.settings import SystemSettings

    return _checked(SystemSettings, **item)


def _checked(kind: type[Model], **values: Any) -> Model:
    """Return settings; raise InputError with one line per invalid value."""
    from pydantic import ValidationError

    from dpa_sse.ops.core.errors import InputError
    from dpa_sse.pipeline.config.messages import faults

    try:
        return kind(**values)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, one.path))}: {one.message}" for one in faults(error, values, kind)]
        raise InputError("\n".join(lines)) from error


def _series(text: str) -> dict[str, list[float]]:
    from dpa_sse.ops.core.errors import InputError

    variable, _, values = text.partition("=")
    try:
        return {variable.strip(): [float(value) for value in values.split(",")]}
    except ValueError as error:
        raise InputError(f"--series {text}: write it like x=0,0.25,0.5") from error


def _amplitudes(texts: list[str]) -> dict[str, float]:
    from dpa_sse.ops.core.errors import InputError

    try:
        return {element.strip(): float(value) for element, value in (text.split("=") for text in texts)}
    except ValueError as error:
        raise InputError(f"--element {' '.join(texts)}: write it like Li=0.3") from error


def _miller(text: str) -> tuple[int, int, int]:
    from dpa_sse.ops.core.errors import InputError

    try:
        h, k, l = (int(part) for part in text.split(","))  # noqa: E741 - the letters of crystallography
    except ValueError as error:
        raise InputError(f"{text!r} is not a surface: write Miller indices like 1,1,0") from error
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
