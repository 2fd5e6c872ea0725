"""``dpa-sse conductivity``: the analysis on its own, for any trajectories."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from dpa_sse.ops.core.exit_codes import BAD_INPUT, DONE, REFUSED

if TYPE_CHECKING:
    from pydantic import BaseModel

GIVEN = re.compile(r", not ('[^']*'|[^\s;]+)$")
"""The end of a message about a value, which is named with its option anyway."""
Model = TypeVar("Model", bound="BaseModel")


def conductivity(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Trajectories, MD or run folders, or a CSV table of D.", show_default=False),
    ],
    temperature: Annotated[
        float | None, typer.Option("--temperature-K", help="MD temperature, if no name, folder or input file says it.")
    ] = None,
    mobile: Annotated[str, typer.Option(help="Mobile species, e.g. Li or Li,Na.")] = "Li",
    charges: Annotated[
        list[str] | None,
        typer.Option("--charge", metavar="SPECIES=CHARGE", help="Charge in e (default: the formal charge)."),
    ] = None,
    timestep: Annotated[float | None, typer.Option("--timestep-fs", help="MD time step.")] = None,
    frame_every: Annotated[
        int | None, typer.Option(help="MD steps between frames, for files without step numbers.")
    ] = None,
    elements: Annotated[str | None, typer.Option(help="Elements of atom types 1, 2, ..., e.g. Li,P,S.")] = None,
    cell: Annotated[str | None, typer.Option(help="a,b,c,alpha,beta,gamma for files without a cell.")] = None,
    topology: Annotated[
        str | None, typer.Option(help="Structure file with the elements of a DCD or XTC trajectory.")
    ] = None,
    wrapped: Annotated[
        bool | None,
        typer.Option("--wrapped/--unwrapped", help="Whether positions are wrapped into the cell (default: detected)."),
    ] = None,
    system: Annotated[str | None, typer.Option(help="Name of the system.")] = None,
    hop_distance: Annotated[
        float, typer.Option("--hop-distance-A", help="Distance between neighbouring sites of the mobile ion.")
    ] = 3.0,
    extrapolate_to: Annotated[
        str, typer.Option("--extrapolate-to-K", help="Temperatures to extrapolate to, e.g. 300,350.")
    ] = "300",
    skip: Annotated[float, typer.Option("--skip-ps", help="Time to leave out at the start of each run.")] = 0.0,
    start: Annotated[
        float | None, typer.Option("--start-ps", help="Start of the diffusive regime (default: found automatically).")
    ] = None,
    reference: Annotated[
        str, typer.Option(help="Reference of displacements: framework, barycentre or laboratory.")
    ] = "framework",
    arrhenius_exponent: Annotated[float, typer.Option(help="m in sigma = sigma0 T^m exp(-Ea/kT).")] = -1.0,
    out: Annotated[Path, typer.Option("--out", "-o", help="Output folder.")] = Path("conductivity"),
    compare: Annotated[
        Path | None, typer.Option(
            help="CSV table of measured values to draw beside the results: columns system (as in the results) and any "
                 "of temperature_K, sigma_mS_cm, sigma_low_mS_cm, sigma_high_mS_cm, D_cm2_s, Ea_eV, x, source.",
        ),
    ] = None,
    figures: Annotated[bool, typer.Option(help="Draw figures.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print conductivity.json.")] = False,
) -> None:
    """Analyse trajectories: diffusion, ionic conductivity and Arrhenius line, with error bars.

    Exit code 0: at least one temperature is diffusive; 3: none is; 2: bad input.
    """
    from dpa_sse.ops.conductivity.analyse import analyse
    from dpa_sse.ops.conductivity.comparison import unmatched
    from dpa_sse.ops.conductivity.nernst_einstein import unusual_charges
    from dpa_sse.ops.conductivity.output import only_new_files, write_analysis
    from dpa_sse.ops.conductivity.readers.points_table import read_measured
    from dpa_sse.ops.conductivity.settings import ConductivitySettings, SourceOptions
    from dpa_sse.ops.conductivity.terminal import result_lines

    species = _words(mobile)
    options = _checked(
        SourceOptions, temperature_K=temperature, timestep_fs=timestep, frame_every=frame_every, system=system,
        elements=_words(elements) or None, topology=topology, wrapped=wrapped,
        cell=_numbers(cell, "--cell", 6) if cell else None,
    )
    settings = _checked(
        ConductivitySettings, mobile=species, charges=_charges(charges or [], species), hop_distance_A=hop_distance,
        skip_ps=skip, start_ps=start, extrapolate_to_K=_numbers(extrapolate_to, "--extrapolate-to-K"),
        reference=reference, arrhenius_exponent=arrhenius_exponent, figures=figures,
    )
    for species_name, message in unusual_charges(settings.charges):
        typer.echo(f"--charge {species_name}: {message}", err=True)
    progress = None if as_json else lambda line: typer.echo(line, err=True)
    paths = [path for source in sources for path in production_runs(source)]
    measured = read_measured(compare) if compare else []
    with made_folder(out):  # fails before the analysis, not after it
        analysis = analyse(paths, settings, options, progress)
        with only_new_files(out):
            write_analysis(analysis, settings, out, measured)
    for note in unmatched(analysis.result, measured):
        typer.echo(f"--compare {compare}: {note}", err=True)
    if as_json:
        typer.echo((out / analysis.result.FILE).read_text(encoding="utf-8").rstrip())
    else:
        typer.echo("\n".join([*result_lines(analysis.result), f"results: {out}"]))
    refused = BAD_INPUT if analysis.result.unreadable else REFUSED
    raise typer.Exit(DONE if analysis.result.has_values else refused)


@contextmanager
def made_folder(out: Path) -> Iterator[None]:
    """Make a folder for what this block writes; if that fails, empty folders that were made for it do not stay."""
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    out.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in missing:
            with suppress(OSError):  # not empty
                folder.rmdir()
        raise


def production_runs(path: Path) -> list[Path]:
    """Return the production MD folders of a pipeline run; any other path unchanged."""
    from dpa_sse.ops.core.errors import InputError
    from dpa_sse.pipeline.runs.folder import CONFIG, Run

    if not (path / CONFIG).is_file():
        return [path]
    rounds: dict[str, list[Path]] = {}
    for task, folder in sorted(Run(path).ended().items()):
        if (one := re.fullmatch(r"md(-i\d+)?-\d+", task)) and folder.is_dir():
            rounds.setdefault(one[1] or "", []).append(folder)
    found = rounds[max(rounds)] if rounds else []  # of the last round of the loop back to labels: the full production
    if not found:
        raise InputError(f"{path}: no production MD has finished in this run; see `dpa-sse status {path}`")
    return found


def _checked(model: type[Model], **values: object) -> Model:
    """Build a settings object; an invalid value becomes an ``InputError`` that names the option."""
    from pydantic import ValidationError

    from dpa_sse.ops.core.errors import InputError
    from dpa_sse.pipeline.config.messages import faults

    try:
        return model(**values)
    except ValidationError as error:
        problems = [
            f"{_option(one.path)} {_shown(values.get(str(one.path[0])))}: {GIVEN.sub('', one.message)}"
            if one.path else one.message
            for one in faults(error, values, model)
        ]
        raise InputError("; ".join(problems)) from error


def _option(place: tuple[int | str, ...]) -> str:
    """Return the option that sets a setting: its name with dashes; charges are given one by one."""
    name = str(place[0]) if place else ""
    return "--charge" if name == "charges" else f"--{name.replace('_', '-')}"


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
        raise InputError(f"{option} {text}: expected {count} numbers")
    return values


def _charges(pairs: list[str], species: list[str]) -> dict[str, float]:
    """Return the charges of ``Li=1`` options; a mobile species without one must have a formal charge."""
    from ase.data import atomic_numbers

    from dpa_sse.ops.conductivity.nernst_einstein import FORMAL_CHARGES
    from dpa_sse.ops.core.errors import InputError

    charges: dict[str, float] = {}
    for pair in pairs:
        name, _, value = (part.strip() for part in pair.partition("="))
        try:
            charges[name] = float(value)
        except ValueError as error:
            raise InputError(f"--charge {pair}: write SPECIES=CHARGE, e.g. --charge Li=1") from error
        if name not in species and name not in atomic_numbers:
            raise InputError(f"--charge {pair}: '{name}' is not an element")
        if name in species and charges[name] == 0:
            raise InputError(f"--charge {pair}: a mobile ion without charge carries no current")
    for name in species:
        symbol = name.strip("+-0123456789")
        if symbol != name and symbol in atomic_numbers:
            raise InputError(f"--mobile {name}: write the element, {symbol}; --charge {symbol}=1 gives its charge")
    unknown = [name for name in species if name not in charges and name not in FORMAL_CHARGES]
    if unknown:
        raise InputError(f"--charge: the charge of {unknown[0]} is unknown; give it, e.g. --charge {unknown[0]}=2")
    return charges
