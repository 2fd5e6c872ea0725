"""Arguments of ASE calculators, examined without importing their packages."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.suggest import did_you_mean

CHGNET_MODELS = ("0.3.0", "r2scan", "0.2.0")
"""Weights that CHGNet's package contains."""
CHGNET_ARGUMENTS = (
    "model", "use_device", "check_cuda_mem", "stress_weight", "on_isolated_atoms", "return_site_energies",
)

SEVENNET = "sevenn.calculator:SevenNetCalculator"
SEVENNET_MODALS = {
    "7net-mf-0": ("PBE", "R2SCAN"), "7net-mf-ompa": ("mpa", "omat24"),
    "7net-omni": (
        "mpa", "omat24", "matpes_pbe", "matpes_r2scan", "mp_r2scan", "oc20", "oc22", "odac23", "omol25_low",
        "omol25_high", "spice", "qcml", "pet_mad",
    ),
}
"""Levels of theory that SevenNet's models with several of them know; one has to be chosen."""


def argument_problems(name: str, kwargs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield argument and what is wrong with it.

    Parameters
    ----------
    name : str
        ``chgnet`` or ``module:Class``.
    kwargs : mapping
        Its keyword arguments.
    """
    known: Collection[str] | None = CHGNET_ARGUMENTS
    if name == "chgnet":
        model = kwargs.get("model", CHGNET_MODELS[0])
        if model not in CHGNET_MODELS:
            yield "model", f"CHGNet has no model {model!r}{did_you_mean(str(model), CHGNET_MODELS)}; its package " \
                f"contains {', '.join(CHGNET_MODELS)}"
    else:
        known = constructor_arguments(name, free=name == SEVENNET)  # SevenNet takes any, and ignores most
    if name == SEVENNET:
        yield from _modal_problems(kwargs)
    if known is not None:
        for argument in sorted({*kwargs} - {*known}):
            hint = did_you_mean(argument, known)
            yield argument, f"{name} has no argument {argument!r}{hint}; it has {', '.join(sorted(known))}"


def _modal_problems(kwargs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the level of theory that is chosen of a SevenNet model."""
    model = str(kwargs.get("model", "7net-0")).lower()
    known, modal = SEVENNET_MODALS.get(model), kwargs.get("modal")
    if known is not None and modal is None:
        yield "modal", f"the model {model} has several levels of theory; choose one of {', '.join(known)}"
    elif known is not None and modal not in known:
        yield "modal", f"the model {model} has no level {modal!r}{did_you_mean(str(modal), known)}; it has " \
            f"{', '.join(known)}"


def constructor_arguments(name: str, *, free: bool = False) -> set[str] | None:
    """Return the keyword arguments of a class, from its source; None where they cannot be told.

    That is so for a class that takes any (``**kwargs``), unless ``free`` is true: then those with a name are returned;
    for one that inherits its constructor, or that its module imports from elsewhere.
    """
    module, _, wanted = name.partition(":")
    path = _source(module)
    if path is None:
        return None
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == wanted:
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                    arguments = item.args
                    if arguments.kwarg is not None and not free:
                        return None
                    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
                    return {one.arg for one in every} - {"self"}
    return None


def _source(module: str) -> Path | None:
    """Return the source file of a module, without importing its package."""
    locations: list[str] | None = None
    spec = None
    for part in module.split("."):
        spec = PathFinder.find_spec(part, locations)
        if spec is None:
            return None
        locations = list(spec.submodule_search_locations or [])
    origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None
