"""``dpa-sse models``: the registry of models, and what is in a model file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpa_sse.ops.core.environment import MODELS
from dpa_sse.pipeline.commands.options import Json, examples

if TYPE_CHECKING:
    from dpa_sse.ops.models.registry import ModelRegistry

app = typer.Typer(help="Registry of models, and what is in a model file.", no_args_is_help=True)

RegistryOption = Annotated[
    str | None,
    typer.Option("--registry", metavar="FOLDER|S3", help=f"Folder of the registry, or s3://BUCKET/PREFIX (default: "
                 f"${MODELS.name}, else ~/.local/share/dpa-sse/models).", show_default=False),
]
NameArgument = Annotated[str, typer.Argument(help="NAME@VERSION, or NAME for the latest version.", show_default=False)]
LicenseOption = Annotated[
    str | None, typer.Option("--license", help="Licence of the model files, e.g. CC-BY-4.0.", show_default=False)
]
MustNot = Annotated[
    list[str] | None,
    typer.Option("--not-for", help="What it must not be used for, as a line of the card; again for more.",
                 show_default=False),
]
Notes = Annotated[
    list[str] | None, typer.Option("--note", help="A line for the card; again for more.", show_default=False)
]
GatesFile = Annotated[
    Path | None,
    typer.Option("--gates", help="The verdict on it: gates.json of `dpa-sse validate`, or its folder.",
                 show_default=False),
]
VersionOption = Annotated[str, typer.Option("--version", help="By default the next number.", show_default=False)]


@app.callback()
def _models() -> None:
    """Store, find and check models; look at model files."""


@app.command("list", short_help="List the models of the registry.")
def list_models(registry: RegistryOption = None, as_json: Json = False) -> None:
    """List the models of the registry: name and version, verdict of the gates, elements, day."""
    from dpa_sse.ops.core.foreign import printable
    from dpa_sse.pipeline.commands.models_text import list_line

    found = _registry(registry)
    stored = list(found.stored())
    if as_json:
        cards = [{"name": str(name), **({"problem": card} if isinstance(card, str) else {"card": card.model_dump(
            mode="json")})} for name, card in stored]
        typer.echo(json.dumps(cards, indent=1))
        return
    for name, card in stored:
        typer.echo(printable(f"{name}: {card}" if isinstance(card, str) else list_line(card)))
    if not stored:
        typer.echo(f"{found.title}: no models yet; `dpa-sse models add MODEL` stores one")


@app.command("show", short_help="Show a model of the registry, or what is in a model file.", epilog=examples(
    "dpa-sse models show lgps-student@2", "dpa-sse models show model.pt", "dpa-sse models show DPA-3.1-3M.pt --json",
))
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="NAME or NAME@VERSION of the registry, or any model file (.pt, "
                            ".pth, .pt2).", show_default=False)
    ],
    registry: RegistryOption = None,
    as_json: Json = False,
) -> None:
    """Show the card of a model, or what is in a model file: elements, network, branches, precision, possible uses.

    Of a file, only the headers are read; nothing in it is run.
    """
    from dpa_sse.ops.core.foreign import printable
    from dpa_sse.pipeline.commands.models_text import file_lines

    if not _is_file(name):
        model = _registry(registry).open(name)
        page = printable((model.folder / "MODEL_CARD.md").read_text(encoding="utf-8").rstrip())
        typer.echo(model.card.model_dump_json(indent=1) if as_json else f"{page}\n\nfolder: {model.folder}")
        return
    from dpa_sse.ops.potential.describe import describe_model

    described = describe_model(Path(name))
    typer.echo(described.model_dump_json(indent=1) if as_json else "\n".join(file_lines(described)))


@app.command("verify", short_help="Check the files and the card of a model.")
def verify(name: NameArgument, registry: RegistryOption = None) -> None:
    """Compare all files of a model with their hashes, and all numbers of its card with those that were measured."""
    from dpa_sse.ops.core.errors import InputError
    from dpa_sse.ops.models.store import claims_of

    model = _registry(registry).open(name)
    if wrong := claims_of(model):
        raise InputError(f"{model.name}: its card claims what was not measured: {wrong[0]}")
    typer.echo(f"{model.name}: OK ({len(model.sums)} files; gates {model.card.verdict})")


@app.command("add", short_help="Store a model in the registry.", epilog=examples(
    "dpa-sse models add model.pth --name lgps --gates validation/",
    "dpa-sse models add runs/x/models/student/ --name x",
))
def add(
    model: Annotated[Path, typer.Argument(help="Model file (.pt, .pth, .pt2), or model folder.", show_default=False)],
    name: Annotated[
        str, typer.Option("--name", help="Name in the registry (default: that of the file or folder).",
                          show_default=False)
    ] = "",
    gates: GatesFile = None,
    version: VersionOption = "",
    branch: Annotated[str, typer.Option(help="Branch of a multi-task model.", show_default=False)] = "",
    license_: LicenseOption = None,
    must_not: MustNot = None,
    notes: Notes = None,
    registry: RegistryOption = None,
) -> None:
    """Store a model as a new version, with a card of what is known about it."""
    from dpa_sse.ops.core.errors import InputError
    from dpa_sse.ops.models.card import Background
    from dpa_sse.ops.models.collect import collect_model, find_gates
    from dpa_sse.ops.models.store import store_model
    from dpa_sse.ops.results.model_card import NAME

    parts = collect_model(model, branch)
    judged = find_gates(gates, model, parts)
    known = Background(
        gates=judged[1] if judged else None, license=license_, must_not=must_not or (), notes=notes or (),
    )
    evidence = {"gates.json": judged[0]} if judged else {}
    plain = model.resolve().name if model.is_dir() else model.stem
    if not name and not re.fullmatch(NAME, plain):
        raise InputError(f"{model}: its name cannot be that of a model in the registry; give one: --name NAME")
    stored, new = store_model(_registry(registry), name or plain, parts, known, evidence, version)
    _tell(stored.name, stored.folder, stored.card.verdict, new=new)


@app.command("publish", short_help="Store the model of a run, if it has passed its gates.", epilog=examples(
    "dpa-sse models publish my-electrolyte",
    "dpa-sse models publish my-electrolyte --model finetuned --name lpscl-teacher",
    'dpa-sse models publish my-electrolyte --accept G6 --reason "no close contacts in use"',
))
def publish(
    run: Annotated[str, typer.Argument(help="Run folder, or its name in runs/.", show_default=False)],
    model: Annotated[str, typer.Option("--model", help="student, finetuned or pretrained.")] = "student",
    target: Annotated[
        str, typer.Option("--target", help="The only one of many targets (default: all, one model each).",
                          show_default=False)
    ] = "",
    name: Annotated[
        str, typer.Option("--name", help="Name in the registry (default: that of the run, and of the model).",
                          show_default=False)
    ] = "",
    gates: GatesFile = None,
    accept: Annotated[
        list[str] | None,
        typer.Option("--accept", metavar="GATE", help="Publish it although it has not passed this gate (NOT_RUN: "
                     "without gates); again for more.", show_default=False),
    ] = None,
    reason: Annotated[
        list[str] | None,
        typer.Option("--reason", help="Why, one for each --accept; it is printed on the card.", show_default=False),
    ] = None,
    version: VersionOption = "",
    license_: LicenseOption = None,
    must_not: MustNot = None,
    notes: Notes = None,
    registry: RegistryOption = None,
) -> None:
    """Store the model of a run with its card: training data, level of theory, errors, verdict of the gates.

    Of a run with targets, the model of each; a target without a model, or with one that is refused, does not keep the
    others. Exit code 3: a required gate failed or was not run, and is not accepted.
    """
    from dpa_sse.ops.core.errors import RefusedError
    from dpa_sse.ops.models.publish import accepted_gates, accepted_of_all
    from dpa_sse.ops.models.store import store_model
    from dpa_sse.pipeline.commands.models_run import models_of_run

    found, lacking = models_of_run(run, model, gates, target)
    given = accepted_of_all(accept or [], reason or [], [one.gates for one in found])
    refused = []
    for one, (keys, reasons) in zip(found, given, strict=True):
        try:
            accepted = accepted_gates(keys, reasons, one.gates)
        except RefusedError as error:
            refused.append(f"{one.target}: {error}" if one.target else str(error))
            continue
        known = one.background(accepted, license_, must_not or (), notes or ())
        own = f"{name}-{one.target}" if name and len(found) > 1 else name or one.name
        stored, new = store_model(_registry(registry), own, one.parts, known, one.evidence, version)
        _tell(stored.name, stored.folder, stored.card.verdict, new=new)
    for gap in lacking:
        typer.echo(f"{gap.target}: not published: {gap.reason}")
    if refused:
        raise RefusedError("; ".join(refused))


@app.command("pull", short_help="Copy a model from another registry, or a built-in one of DeePMD-kit.", epilog=examples(
    "dpa-sse models pull lgps@3 --from /shared/models", "dpa-sse models pull lgps@3 --from https://example.org/models",
    "dpa-sse models pull DPA-3.1-3M --branch Domains_SSE_PBE",
))
def pull(
    name: Annotated[
        str, typer.Argument(help="NAME@VERSION; NAME for the latest version of a folder, or of a built-in model.",
                            show_default=False)
    ],
    source: Annotated[
        str, typer.Option("--from", metavar="ADDRESS|FOLDER", help="Folder of a registry, or a web address that serves "
                          "one; without it, NAME is a built-in model of DeePMD-kit.", show_default=False)
    ] = "",
    branch: Annotated[
        str, typer.Option(help="Branch of a built-in multi-task model, for its card.", show_default=False)
    ] = "",
    registry: RegistryOption = None,
) -> None:
    """Copy a version from another registry, or store a built-in model; every file is compared with its hash."""
    from dpa_sse.ops.core.errors import InputError
    from dpa_sse.ops.models.builtin import builtin_hashes, builtin_name, pull_builtin
    from dpa_sse.ops.models.pull import pull_model

    if source and branch:
        raise InputError("--branch: a version of a registry has its branch; only a built-in model needs one")
    if not source and not builtin_name(name):
        raise InputError(
            f"models pull {name}: say from where, --from FOLDER or ADDRESS (built-in models: "
            f"{', '.join(builtin_hashes())})"
        )
    own = _registry(registry)
    stored, new = pull_model(own, name, source) if source else pull_builtin(own, name, branch)
    _tell(stored.name, stored.folder, stored.card.verdict, new=new)


def _registry(given: str | None) -> ModelRegistry:
    from dpa_sse.ops.models.where import open_registry

    return open_registry(given)


def _is_file(text: str) -> bool:
    """Return whether a text names a file, there or not, rather than a model of the registry."""
    return "/" in text or text.endswith((".pt", ".pth", ".pt2", ".pb")) or Path(text).is_file()


def _tell(name: object, folder: Path, verdict: str, *, new: bool) -> None:
    state = "stored" if new else "is there already, unchanged"
    typer.echo(f"{name} {state} (gates {verdict}): {folder}")
    typer.echo(f"In a configuration: pretrain: {{model: {name}}}")
