"""Models of the registry in a configuration: ``name@version`` becomes a file of that version, whose hash is right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.models.builtin import builtin_hashes, stored_builtin
from dpa_sse.ops.models.names import SIGN, names_version
from dpa_sse.ops.models.where import open_registry
from dpa_sse.ops.results.model_card import ModelCard, UsedModel
from dpa_sse.ops.results.model_file import SUFFIXES
from dpa_sse.pipeline.config.model_check import OTHER_BACKENDS
from dpa_sse.pipeline.config.problems import KeyPath, dotted
from dpa_sse.pipeline.config.schema import Project

if TYPE_CHECKING:
    from dpa_sse.ops.models.registry import StoredModel

FILES = {
    "pretrain": ("model.pt", "model.pth", "model_compressed.pth", "model.pt2"),
    "md": ("model_compressed.pth", "model.pth", "model.pt", "model.pt2"),
    "labeler": ("model.pth", "model_compressed.pth", "model.pt", "model.pt2"),
}
"""Files of a version by what they are for, the first one that there is: a teacher may be trained on, MD wants speed."""


class Resolved(NamedTuple):
    """A project with files in place of models of the registry, these models by their keys, and what is wrong."""

    project: Project
    models: dict[str, UsedModel]
    findings: list[tuple[KeyPath, str]]


def with_registered_models(project: Project, base_dir: Path) -> Resolved:
    """Return a project with the file of each model that it names as ``name@version``; the files are verified."""
    models: dict[str, UsedModel] = {}
    findings: list[tuple[KeyPath, str]] = []
    for where, name in _named(project):
        if (base_dir / Path(name).expanduser()).is_file():
            continue
        try:
            stored = _stored(name)
            if stored is None:
                continue
            path = stored.file(*FILES[str(where[0])])
        except InputError as error:
            findings.append((where, str(error)))
            continue
        models[dotted(where)] = UsedModel(
            model=str(stored.name), file=path.name, sha256=stored.sums[path.name], verdict=stored.card.verdict
        )
        project = _replaced(project, where, path, stored.card.architecture.branch)
    return Resolved(project, models, findings)


def with_names(project: Project) -> Project:
    """Return a project with ``name@version`` in place of files of the registry, which are places of this machine."""
    named = list(_named(project))
    root = open_registry().root.resolve() if named else None
    for where, name in named:
        version = Path(name).parent
        if version.is_absolute() and version.parent.parent == root and ModelCard.path_in(version).is_file():
            section, key = map(str, where)
            update = {key: f"{version.parent.name}{SIGN}{version.name}"}
            project = project.model_copy(update={section: getattr(project, section).model_copy(update=update)})
    return project


def _named(project: Project) -> Iterator[tuple[KeyPath, str]]:
    """Yield the keys that name a model, and the names."""
    for section in (project.pretrain, project.md):
        if section is not None and section.model:
            yield ("pretrain" if section is project.pretrain else "md", "model"), section.model
    key = project.labeler.model_file
    if key and getattr(project.labeler, key):
        yield ("labeler", key), str(getattr(project.labeler, key))


def _stored(name: str) -> StoredModel | None:
    """Return a model of the registry; None for a name that is not meant as one, or for a built-in one that it lacks.

    Raises
    ------
    InputError
        There is no such version, it is damaged, or the version is not named.
    """
    if names_version(name):
        return open_registry().open(name)
    if "/" in name or name.endswith((*SUFFIXES.values(), *OTHER_BACKENDS)):
        return None
    registry = open_registry()
    if name in builtin_hashes():  # from the registry where it has been pulled: no download, any place may use it
        return stored_builtin(registry, name)
    if name in registry.names():
        latest = registry.versions(name)[-1]
        raise InputError(f"'{name}' is a model of the registry: name its version, {name}{SIGN}{latest} for the latest")
    return None


def _replaced(project: Project, where: KeyPath, path: Path, branch: str) -> Project:
    section, key = map(str, where)
    own = getattr(project, section)
    update = {key: str(path.resolve())}
    if section == "pretrain" and branch and not own.branch and path.name == "model.pt":
        update["branch"] = branch  # the one that its card is about
    return project.model_copy(update={section: own.model_copy(update=update)})
