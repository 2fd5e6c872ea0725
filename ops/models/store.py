"""Store a model with its card, and check the card of a stored one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.core.files import sha256_file
from dpa_sse.ops.models.card import Background, make_card
from dpa_sse.ops.models.claims import altered_page, unfounded
from dpa_sse.ops.models.collect import ModelParts
from dpa_sse.ops.models.names import SIGN, parse_name
from dpa_sse.ops.models.registry import PAGE, ModelRegistry, StoredModel
from dpa_sse.ops.results.gates import Gates
from dpa_sse.ops.results.model_card import StoredFile
from dpa_sse.ops.results.summary import Summary


def store_model(
    registry: ModelRegistry, name: str, parts: ModelParts, known: Background, evidence: Mapping[str, Path],
    version: str = "",
) -> tuple[StoredModel, bool]:
    """Store a model as a new version.

    Parameters
    ----------
    registry : ModelRegistry
    name : str
        Without a version.
    parts : ModelParts
    known : Background
    evidence : mapping
        ``gates.json`` and ``summary.json``, where the numbers on the card come from.
    version : str
        By default the next number.

    Returns
    -------
    tuple of StoredModel and bool
        The version, and whether it is new.

    Raises
    ------
    InputError
        The name cannot be used, or the version is there with other files.
    FatalError
        The card claims what was not measured.
    """
    given = parse_name(name)
    if given.version:
        raise InputError(f"--name {name}: give the version as --version {given.version}")
    if version:
        parse_name(f"{name}{SIGN}{version}")
    files = {**parts.files, **evidence}
    card = make_card(given.name, parts, known)
    whole = card.model_copy(update={"files": {
        file: StoredFile(sha256=sha256_file(path), size_bytes=path.stat().st_size) for file, path in files.items()
    }})
    if wrong := unfounded(whole, known.gates, known.summary):
        raise FatalError(f"{name}: not stored, since its card would claim what was not measured: {wrong[0]}")
    return registry.add(card, files, version)


def claims_of(model: StoredModel) -> list[str]:
    """Return what the card of a stored model claims without a measurement, and its page without the card."""
    gates = _evidence(Gates, model)
    summary = _evidence(Summary, model)
    assert gates is None or isinstance(gates, Gates)  # noqa: S101  (for the type checker)
    assert summary is None or isinstance(summary, Summary)  # noqa: S101
    page = (model.folder / PAGE).read_text(encoding="utf-8") if PAGE in model.sums else None
    altered = altered_page(model.card, page) if page is not None else []
    return [*unfounded(model.card, gates, summary, page), *altered]


def _evidence(kind: type[Gates] | type[Summary], model: StoredModel) -> Gates | Summary | None:
    if kind.FILE not in model.sums:
        return None
    try:
        return kind.read(model.folder)
    except FatalError as error:
        raise InputError(str(error)) from error


