"""Models as text: a line of the registry, the description of a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dpa_sse.ops.results.model_card import ModelCard
    from dpa_sse.ops.results.model_file import ModelBranch, ModelFile

KINDS = {"checkpoint": "checkpoint", "frozen": "frozen model (TorchScript)", "package": "frozen model (AOTInductor)"}


def list_line(card: ModelCard) -> str:
    """Return a version in one line."""
    elements = card.intended_use.elements
    words = " ".join(elements) if len(elements) <= 8 else f"{len(elements)} elements"
    accepted = f" (accepted: {', '.join(one.gate for one in card.accepted)})" if card.accepted else ""
    network = card.architecture.descriptor or "network not recorded"
    return f"{card.reference:30s} {card.verdict:13s} {card.date_added}  {words}, {network}{accepted}"


def file_lines(model: ModelFile) -> Iterator[str]:
    """Yield the description of a model file for people."""
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
        *(["a table of pair potentials"] if branch.has_table else []),
    ]
    yield f"{indent}{'network':{width}s}{', '.join(parts)}"
    if branch.fitting:
        yield f"{indent}{'predicts':{width}s}{branch.fitting}"
