"""``dpa-sse models``: what is in a model file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpa_sse.pipeline.commands.options import Json, examples

if TYPE_CHECKING:
    from dpa_sse.ops.results.model_file import ModelBranch, ModelFile

app = typer.Typer(help="Model files.", no_args_is_help=True)

KINDS = {"checkpoint": "checkpoint", "frozen": "frozen model (TorchScript)", "package": "frozen model (AOTInductor)"}


@app.callback()
def _models() -> None:
    """Look at model files."""


@app.command("show", short_help="Show what is in a model file.", epilog=examples(
    "dpa-sse models show model.pt", "dpa-sse models show DPA-3.1-3M.pt --json",
))
def show(
    file: Annotated[Path, typer.Argument(help="Any model file (.pt, .pth, .pt2).", show_default=False)],
    as_json: Json = False,
) -> None:
    """Show what is in a model file: elements, network, branches, precision, and what it can be used for.

    Only the headers are read; nothing in the file is run.
    """
    from dpa_sse.ops.potential.describe import describe_model

    model = describe_model(file)
    typer.echo(model.model_dump_json(indent=1) if as_json else "\n".join(lines(model)))


def lines(model: ModelFile) -> Iterator[str]:
    """Yield the description for people."""
    steps = "" if model.steps is None else f", {model.steps} training steps"
    count = f", {len(model.branches)} branches" if model.multi_task else ""
    yield f"{model.file}: {KINDS[model.kind]}, {model.size_bytes / 1e6:.1f} MB{count}{steps}"
    for branch in model.branches:
        yield from _branch_lines(branch)
    if model.compiled_for:
        yield f"compiled for {model.compiled_for}"
    if rates := model.learning_rate:
        end = f", {rates.stop_lr:.3g} so far" if rates.stop_lr else ""
        yield f"learning rate  {rates.start_lr:.3g} at the start{end}"
    yield f"deepmd       {model.deepmd_version or 'version not recorded in the file'}"
    yield "use"
    for use in model.uses:
        yield f"  {use.use:11s}{'yes' if use.possible else 'no '}  {use.how}"


def _branch_lines(branch: ModelBranch) -> Iterator[str]:
    indent = ""
    if branch.name:
        aliases = f" (alias {', '.join(branch.aliases)})" if branch.aliases else ""
        yield f"branch       {branch.name}{aliases}"
        indent = "  "
    width = 13 - len(indent)
    yield f"{indent}{'type map':{width}s}{' '.join(branch.type_map)}"
    if branch.elements_with_data:
        yield f"{indent}{'with data':{width}s}{' '.join(branch.elements_with_data)}"
    parts = [
        branch.descriptor or "type not recorded",
        f"cutoff {branch.rcut_A:g} A" if branch.rcut_A else "cutoff not recorded",
        f"{branch.n_parameters} parameters" if branch.n_parameters
        else "tabulated (compressed)" if branch.compressed else "parameters not counted",
        branch.precision or "precision not recorded",
    ]
    yield f"{indent}{'network':{width}s}{', '.join(parts)}"
    if branch.fitting:
        yield f"{indent}{'predicts':{width}s}{branch.fitting}"
