"""``dpa-sse data``: audit data sets, convert and merge them, and split them by trajectory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpa_sse.ops.core.exit_codes import DONE, REFUSED
from dpa_sse.pipeline.commands.options import Json, examples

if TYPE_CHECKING:
    from dpa_sse.ops.results.base import ResultPart

app = typer.Typer(help="Audit, convert, merge and split labelled data.", no_args_is_help=True)

SHOWN_NOTES = 30

TypeMap = Annotated[str | None, typer.Option("--type-map", help="Elements in the order of the types, e.g. Li,P,S,Cl.")]
From = Annotated[str | None, typer.Option("--from", help="Format of the source, if it is not recognised.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
MixLevels = Annotated[
    bool, typer.Option("--mix-levels", help="Accept labels of different levels of theory in one data set.")
]


@app.command("audit")
def audit(
    sources: Annotated[
        list[Path], typer.Argument(metavar="DATA...", help="Data in any format, or run folders.", show_default=False)
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for JSON, tables and figures.")] = None,
    calculator: Annotated[
        str | None, typer.Option(help="Compare virials with finite strains of this calculator (chgnet, module:Class).")
    ] = None,
    arguments: Annotated[
        list[str] | None, typer.Option("--argument", metavar="NAME=VALUE", help="Keyword argument of the calculator.")
    ] = None,
    strain_frames: Annotated[
        int, typer.Option(min=1, max=1000, help="Frames for this comparison; each takes 12 energies.")
    ] = 6,
    from_format: From = None,
    type_map: TypeMap = None,
    as_json: Json = False,
) -> None:
    """Check whether data are fit for training.

    Finds duplicates and leaks between splits, unphysical labels, wrong signs and units, outliers, atoms that are too
    close. Several paths are audited as one data set, the data sets of a run separately. Exit code 0: usable; 3: not
    usable as it is; 2: not readable.
    """
    from dpa_sse.ops.audit.run import audit_data
    from dpa_sse.ops.audit.text import audit_text
    from dpa_sse.ops.core.files import jsonable
    from dpa_sse.ops.data.exchange import check_type_map

    result = audit_data(
        sources, form=from_format, type_map=check_type_map(_elements(type_map)), calculator=calculator,
        kwargs=_arguments(arguments or []), strain_frames=strain_frames, out=out,
    )
    typer.echo(json.dumps(jsonable(result.model_dump()), indent=1) if as_json else audit_text(result))
    if out is not None:
        typer.echo(f"written: {out}", err=as_json)
    raise typer.Exit(REFUSED if result.verdict == "unusable" else DONE)


@app.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="File or folder.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="File (.extxyz, .h5) or folder.", show_default=False)],
    from_format: From = None,
    to_format: Annotated[
        str | None, typer.Option("--to", help="npy, mixed, hdf5 or extxyz (default: from the name of OUT).")
    ] = None,
    type_map: TypeMap = None,
    overwrite: Overwrite = False,
    mix_levels: MixLevels = False,
    as_json: Json = False,
) -> None:
    """Convert labelled data to another format without loss.

    Reads npy, mixed, hdf5 (DeePMD-kit), extxyz, vasprun, outcar, cp2k (single points), cp2k-md, and results of this
    pipeline; of a folder, everything in it. What is left out, and why, is printed. Labels of different levels of theory
    (functional, cutoff, potentials) are refused.
    """
    from dpa_sse.ops.data.exchange import convert_data

    done = convert_data(
        source, out, from_format, to_format, _elements(type_map), overwrite=overwrite, mix_levels=mix_levels,
    )
    _answer(
        done, as_json,
        f"{done.n_frames} frames of {done.systems} systems, {done.source_format} -> {done.target_format}, "
        f"type_map [{', '.join(done.type_map)}]: {out}",
    )


@app.command("merge", short_help="Merge several data sets into one.", epilog=examples(
    "dpa-sse data merge OUTCAR more/ old-data/ -o my-data/",
))
def merge(
    sources: Annotated[
        list[Path], typer.Argument(metavar="DATA...", help="Files and folders in any format.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File (.extxyz, .h5) or folder.")] = Path("merged-data"),
    to_format: Annotated[
        str | None, typer.Option("--to", help="npy, mixed, hdf5 or extxyz (default: from the name of the output).")
    ] = None,
    type_map: TypeMap = None,
    overwrite: Overwrite = False,
    mix_levels: MixLevels = False,
    as_json: Json = False,
) -> None:
    """Merge several data sets, of any format, into one.

    Splits are kept; frames that are in several inputs are written once, and held-out frames that nearly equal a
    training frame are left out. Labels of different levels of theory are refused.
    """
    from dpa_sse.ops.data.merge_sources import merge_data

    done = merge_data(
        sources, out, to_format, _elements(type_map), overwrite=overwrite, mix_levels=mix_levels
    )
    read = " + ".join(f"{count}" for count in done.read.values())
    left_out = [
        f"{count} {what}" for count, what in (
            (done.duplicates_dropped, "duplicates"), (done.near_copies_dropped, "held-out near copies"),
        ) if count
    ]
    parts = [f"{name} {count}" for name, count in done.n_frames.items() if count]
    lost = f"{' and '.join(left_out)} left out" if left_out else "no duplicates"
    _answer(
        done, as_json,
        f"{read} frames -> {sum(done.n_frames.values())} ({', '.join(parts)}); {lost}, "
        f"type_map [{', '.join(done.type_map)}]: {out}",
    )


@app.command("split", short_help="Split by whole trajectories, never by frame.")
def split(
    source: Annotated[Path, typer.Argument(metavar="DATA", help="File or folder.", show_default=False)],
    test: Annotated[float, typer.Option(help="Share of the trajectories for the test set.")] = 0.1,
    validation: Annotated[float, typer.Option(help="Share of the trajectories for validation.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the assignment of trajectories.")] = 1,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the new data set.")] = Path("split-data"),
    from_format: From = None,
    type_map: TypeMap = None,
    overwrite: Overwrite = False,
    mix_levels: MixLevels = False,
    as_json: Json = False,
) -> None:
    """Split a data set into train, validation and test by whole trajectories, never by frame."""
    from dpa_sse.ops.core.errors import InputError
    from dpa_sse.ops.data.exchange import split_data
    from dpa_sse.ops.data.settings import SplitSettings

    for name, share in (("test", test), ("validation", validation)):
        if not 0 <= share < 1:
            raise InputError(f"--{name} {share:g}: must be at least 0 and less than 1")
    if test + validation >= 1:
        raise InputError(f"--test {test:g} and --validation {validation:g} leave nothing to train on: "
                         "together they must be less than 1")
    done = split_data(
        source, out, SplitSettings(test=test, validation=validation), seed, form=from_format,
        type_map=_elements(type_map), overwrite=overwrite, mix_levels=mix_levels,
    )
    parts = [
        f"{name} {count} frames ({done.trajectories[name]} trajectories)"
        for name, count in done.n_frames.items() if count
    ]
    _answer(done, as_json, f"{', '.join(parts)}; {done.duplicates_dropped} duplicates dropped: {out}")


def _elements(text: str | None) -> list[str] | None:
    return None if text is None else [word for word in text.replace(",", " ").split() if word]


def _arguments(pairs: list[str]) -> dict[str, Any]:
    """Return keyword arguments from ``name=value`` options; values that are valid JSON are parsed as JSON."""
    from dpa_sse.ops.core.errors import InputError

    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(f"--argument {pair}: write NAME=VALUE, e.g. --argument model=small")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _answer(done: ResultPart, as_json: bool, line: str) -> None:
    """Print the result: notes to standard error, then one line, or everything as JSON."""
    from dpa_sse.ops.data.account import summary_line

    data = done.model_dump(mode="json", by_alias=True)
    notes, sources = data["notes"], getattr(done, "sources", ())
    for note in notes if as_json or len(notes) <= SHOWN_NOTES else notes[: SHOWN_NOTES - 1]:
        typer.echo(note, err=True)
    if not as_json and len(notes) > SHOWN_NOTES:
        typer.echo(f"... and {len(notes) - SHOWN_NOTES + 1} more notes (--json has all)", err=True)
    if any(one.left_out for one in sources):
        typer.echo(summary_line(sources), err=True)
    typer.echo(json.dumps(data, indent=1) if as_json else line)
