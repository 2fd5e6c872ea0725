"""``dpa-sse conductivity``: the analysis alone, for anybody's trajectories."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, TypeVar

import typer

DIFFUSIVE, BAD_INPUT, REFUSED = 0, 2, 3
Model = TypeVar("Model")


def conductivity(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Trajectories, MD or run folders, or a CSV table of D.", show_default=False),
    ],
    temperature: Annotated[float | None, typer.Option("--temperature-K", help="If no name says it.")] = None,
    mobile: Annotated[str, typer.Option(help="Mobile species, e.g. Li or Li,Na.")] = "Li",
    charge: Annotated[
        list[str] | None, typer.Option(metavar="SPECIES=CHARGE", help="Charge in e; the formal one if not given.")
    ] = None,
    timestep: Annotated[float | None, typer.Option("--timestep-fs", help="MD time step.")] = None,
    frame_every: Annotated[int | None, typer.Option(help="MD steps between frames, if the file does not say.")] = None,
    elements: Annotated[str | None, typer.Option(help="Elements of atom types 1, 2, ...: Li,P,S.")] = None,
    cell: Annotated[str | None, typer.Option(help="a,b,c,alpha,beta,gamma for files without a cell.")] = None,
    topology: Annotated[str | None, typer.Option(help="Structure file with the elements of a DCD or XTC.")] = None,
    system: Annotated[str | None, typer.Option(help="Name of the system.")] = None,
    hop: Annotated[float, typer.Option("--hop-A", help="Distance between sites of the mobile ion.")] = 3.0,
    at: Annotated[str, typer.Option("--at-K", help="Temperatures to extrapolate to.")] = "300",
    skip: Annotated[float, typer.Option("--skip-ps", help="Left out at the beginning of each run.")] = 0.0,
    start: Annotated[float | None, typer.Option("--start-ps", help="Start of the fit; found if not given.")] = None,
    reference: Annotated[str, typer.Option(help="framework, barycentre or laboratory.")] = "framework",
    exponent: Annotated[float, typer.Option(help="m in sigma = sigma0 T^m exp(-Ea/kT).")] = -1.0,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("conductivity"),
    compare: Annotated[Path | None, typer.Option(help="CSV of measured values to draw beside.")] = None,
    figures: Annotated[bool, typer.Option(help="Write figures.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print conductivity.json.")] = False,
) -> None:
    """Analyse trajectories: diffusion, ionic conductivity, Arrhenius line, with error bars.

    Exit code 0: there are numbers; 3: nothing is diffusive; 2: bad input.
    """
    from dpa_sse.ops.conductivity.analyse import analyse_folder, is_diffusive, plain_verdict
    from dpa_sse.ops.conductivity.settings import ConductivitySettings, SourceOptions
    from dpa_sse.ops.core.files import read_json

    species = _words(mobile)
    options = _checked(
        SourceOptions, temperature_K=temperature, timestep_fs=timestep, frame_every=frame_every, system=system,
        elements=_words(elements) or None, topology=topology, cell=_numbers(cell, "--cell", 6) if cell else None,
    )
    settings = _checked(
        ConductivitySettings, mobile=species, charges=_charges(charge or [], species), hop_distance_A=hop,
        skip_ps=skip, start_ps=start, extrapolate_to_K=_numbers(at, "--at-K"), reference=reference,
        arrhenius_exponent=exponent, figures=figures,
    )
    progress = None if as_json else lambda line: typer.echo(line, err=True)
    paths = [path for source in sources for path in production_runs(source)]
    result = analyse_folder(paths, settings, out, options, progress, compare)
    if as_json:
        import json

        typer.echo(json.dumps(read_json(out / "conductivity.json"), indent=1))
    else:
        typer.echo("\n".join([*plain_verdict(result), f"results: {out}"]))
    only_bad = result["runs"] and all(run.get("bad_input") for run in result["runs"])
    raise typer.Exit(DIFFUSIVE if is_diffusive(result) else BAD_INPUT if only_bad else REFUSED)


def production_runs(path: Path) -> list[Path]:
    """Return the production MD folders of a run of the pipeline; any other path as it is."""
    from dpa_sse.ops.core.errors import InputError
    from dpa_sse.pipeline.runs.folder import CONFIG, Run

    if not (path / CONFIG).is_file():
        return [path]
    ended = {
        event.task: path / event.folder for event in Run(path).latest_attempt()
        if event.kind in {"done", "cached", "failed"} and event.folder
    }
    found = [folder for task, folder in sorted(ended.items()) if re.fullmatch(r"md-\d+", task) and folder.is_dir()]
    if not found:
        raise InputError(f"{path}: no production MD has ended in this run; see `dpa-sse status {path}`")
    return found


def _checked(model: type[Model], **values: object) -> Model:
    """Build a settings object; a refused value becomes an ``InputError`` in plain words."""
    from pydantic import ValidationError

    from dpa_sse.ops.core.errors import InputError

    try:
        return model(**values)
    except ValidationError as error:
        problems = [
            f"{_option(one['loc'])} {_shown(one['input'])}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors()
        ]
        raise InputError("; ".join(problems)) from error


_OPTIONS = {
    "temperature_K": "--temperature-K", "timestep_fs": "--timestep-fs", "hop_distance_A": "--hop-A",
    "extrapolate_to_K": "--at-K", "skip_ps": "--skip-ps", "start_ps": "--start-ps", "arrhenius_exponent": "--exponent",
    "charges": "--charge",
}
"""Options whose name is not that of the setting."""


def _option(place: tuple[int | str, ...]) -> str:
    """Return the option that a person gave for a setting."""
    name = str(place[0]) if place else ""
    return _OPTIONS.get(name, f"--{name.replace('_', '-')}")


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _numbers(text: str, option: str, count: int | None = None) -> list[float]:
    from dpa_sse.ops.core.errors import InputError

    try:
        values = [float(word) for word in _words(text)]
    except ValueError as error:
        raise InputError(f"{option} {text}: not a list of numbers") from error
    if count is not None and len(values) != count:
        raise InputError(f"{option} {text}: {count} numbers are needed")
    return values


def _charges(pairs: list[str], species: list[str]) -> dict[str, float]:
    """Return the charges of ``Li=1`` options; a mobile species without one must have a formal charge."""
    from ase.data import atomic_numbers

    from dpa_sse.ops.conductivity.run import FORMAL
    from dpa_sse.ops.core.errors import InputError

    charges: dict[str, float] = {}
    for pair in pairs:
        name, _, value = (part.strip() for part in pair.partition("="))
        try:
            charges[name] = float(value)
        except ValueError as error:
            raise InputError(f"--charge {pair}: write SPECIES=CHARGE, e.g. --charge Li=1") from error
        if name not in species and name not in atomic_numbers:
            raise InputError(f"--charge {pair}: {name} is no element")
        if name in species and charges[name] == 0:
            raise InputError(f"--charge {pair}: a mobile ion without charge carries no current")
    unknown = [name for name in species if name not in charges and name not in FORMAL]
    if unknown:
        raise InputError(f"--charge: the charge of {unknown[0]} is not known; give it, e.g. --charge {unknown[0]}=2")
    return charges
