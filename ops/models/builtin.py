"""DeePMD-kit's built-in models by name: found in its cache or downloaded by it, and stored in the registry."""

from __future__ import annotations

import ast
import functools
import logging
from importlib.machinery import PathFinder
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import sha256_file
from dpa_sse.ops.core.foreign import printable
from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.ops.models.card import Background
from dpa_sse.ops.models.collect import collect_model
from dpa_sse.ops.models.registry import MODEL_FILES, ModelRegistry, StoredModel
from dpa_sse.ops.models.store import store_model


@functools.cache
def builtin_hashes() -> dict[str, str]:
    """Return the models that DeePMD-kit can download, by name, with the SHA-256 that it expects of their files.

    They are read from its source: importing it takes seconds.
    """
    spec = PathFinder.find_spec("deepmd")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        registry = Path(folder) / "pretrained" / "registry.py"
        if not registry.is_file():
            continue
        for node in ast.parse(registry.read_text(encoding="utf-8")).body:
            targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
            value = getattr(node, "value", None)
            if isinstance(value, ast.Dict) and any(getattr(one, "id", "") == "MODEL_REGISTRY" for one in targets):
                found = ast.literal_eval(value)
                return {str(name): str(entry.get("sha256", "")) for name, entry in found.items()}
    return {}


def builtin_name(text: str) -> str:
    """Return the name of a built-in model as DeePMD-kit writes it; empty if it has no such model."""
    return {name.lower(): name for name in builtin_hashes()}.get(text.lower(), "")


def builtin_file(text: str) -> Path:
    """Return the file of a built-in model, from DeePMD-kit's cache, or downloaded by it.

    Raises
    ------
    InputError
        It does not exist, or cannot be downloaded.
    """
    name = builtin_name(text)
    if not name:
        known = ", ".join(builtin_hashes())
        hint = did_you_mean(text, builtin_hashes()) or f": {known}"
        raise InputError(f"{printable(text)!r} is neither a file nor one of DeePMD-kit's built-in models{hint}")
    from deepmd.pretrained.download import resolve_model_path

    quiet = logging.getLogger("dpa_sse.builtin")  # what each source answered is in the error
    quiet.propagate = False
    quiet.addHandler(logging.NullHandler())
    try:
        return Path(resolve_model_path(name, logger=quiet))
    except Exception as error:  # network errors of many kinds
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"the built-in model {name} is not in DeePMD-kit's cache and cannot be downloaded "
            f"({type(error).__name__}: {printable(reason, keep='')}); run `dp pretrained download {name}` on a machine "
            "with internet access and give the file instead"
        ) from error


def pull_builtin(registry: ModelRegistry, text: str, branch: str = "") -> tuple[StoredModel, bool]:
    """Store a built-in model in the registry.

    Parameters
    ----------
    registry : ModelRegistry
    text : str
        Its name.
    branch : str
        That its card is about, of a multi-task model.

    Returns
    -------
    tuple of StoredModel and bool
        The version, and whether it is new.

    Raises
    ------
    InputError
        It does not exist, cannot be downloaded, is not the file that DeePMD-kit lists, or needs a branch.
    """
    path = builtin_file(text)
    name = builtin_name(text)
    if (found := sha256_file(path)) != builtin_hashes()[name]:
        raise InputError(f"{path}: is not the file of {name} that DeePMD-kit lists (SHA-256 {found[:12]}); remove it")
    known = Background(notes=(f"built-in model {name} of DeePMD-kit, from the sources that DeePMD-kit lists",))
    return store_model(registry, name, collect_model(path, branch), known, {})


def stored_builtin(registry: ModelRegistry, name: str) -> StoredModel | None:
    """Return the latest version of a built-in model in the registry that holds the file that DeePMD-kit lists."""
    if name not in registry.names():
        return None
    for version in reversed(registry.versions(name)):
        model = registry.open(f"{name}@{version}")
        if builtin_hashes().get(name) in {model.sums[file] for file in MODEL_FILES if file in model.sums}:
            return model
    return None
