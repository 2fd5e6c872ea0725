"""The user's files that a configuration names, kept in the run folder: it can be moved, resumed and repeated alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from dpa_sse.ops.core.files import walk_files, write_text
from dpa_sse.ops.core.limits import regular
from dpa_sse.ops.core.removal import remove_tree
from dpa_sse.ops.core.resources import configs_folder
from dpa_sse.ops.md.settings import TEACHER
from dpa_sse.ops.structures.library import find_entry
from dpa_sse.ops.training.presets import complete_preset, preset_names
from dpa_sse.ops.training.tables import OVERRIDE, PACKED
from dpa_sse.pipeline.config.remote import is_remote
from dpa_sse.pipeline.config.schema import Project

INPUTS = "inputs"
COPIED_BYTES = 10 * 2**20
"""Larger files are linked where possible: models and data, which are not edited in place."""
BuiltIn = Callable[[str], bool]


Carried = Path | str
"""A file or folder, or the text of a file."""


def with_own_inputs(project: Project, base_dir: Path) -> tuple[Project, dict[str, Carried]]:
    """Return a project whose files are in ``inputs/`` of its run folder, and where each of them is now.

    Parameters
    ----------
    project : Project
    base_dir : Path
        Folder that its relative paths refer to.

    Returns
    -------
    Project
        With paths such as ``inputs/my.cif``.
    dict of str to Path or str
        Name in ``inputs/`` -> file or folder; the text of a training input, with the table that it names. What does
        not exist keeps its name.
    """
    places: dict[str, Path] = {}

    def rename(name: str, *, folder: bool) -> str:
        source = base_dir / Path(name).expanduser()
        if is_remote(name) or not (source.is_dir() if folder else source.is_file()):
            return name  # a composition, a built-in model; files were checked before
        plain = source.name or source.resolve().name
        for number in range(len(places) + 1):
            own = plain if not number else f"{number}-{plain}"
            if own not in places or _same(places[own], source):
                places[own] = source
                return f"{INPUTS}/{own}"
        raise AssertionError("unreachable")

    data = project.model_dump(mode="json")
    for holder, key, built_in in _file_keys(project, data):
        if not built_in(holder[key]):
            holder[key] = rename(holder[key], folder=isinstance(key, int) and holder is not data["on_end"])
    presets = {f"{INPUTS}/{name}": name for name in places}
    carried: dict[str, Carried] = dict(places)
    for training, _, _ in _presets(data, data["targets"]):
        if (name := presets.get(training["preset"])) and (text := complete_preset(places[name])) is not None:
            carried[name] = text
    return Project.model_validate_json(to_json(data, inf_nan_mode="constants")), carried


def store_inputs(places: dict[str, Carried], folder: Path) -> None:
    """Copy files and folders into ``inputs/`` of a run folder; what was there before is replaced.

    Raises
    ------
    OSError
        Something cannot be read or written.
    InputError
        ``inputs`` of the run folder is something that this program has not made.
    """
    fresh, final = folder / f".{INPUTS}.new", folder / INPUTS
    remove_tree(fresh, folder)
    for name, source in sorted(places.items()):
        if isinstance(source, str):
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            write_text(fresh / name, source)
        elif source.is_dir():
            for file in sorted(walk_files(source)):
                _store(source / file, fresh / name / file)
        else:
            _store(regular(source), fresh / name)
    remove_tree(final, folder)
    if fresh.exists():
        fresh.replace(final)


def _store(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    real = source.resolve()
    if real.stat().st_size > COPIED_BYTES:
        try:
            os.link(real, target)
            return
        except OSError:  # another file system
            pass
    shutil.copy2(real, target)


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _file_keys(  # foreign: the configuration as JSON
    project: Project, data: dict[str, Any]
) -> Iterator[tuple[Any, str | int, BuiltIn]]:
    """Yield, of the values that may name files, each holder and key, and what tells a name that comes with the program.

    The order of precedence is that of their readers: a structure of the library before a file of that name.
    """
    def in_library(name: str) -> bool:
        return find_entry(name) is not None

    downstream, targets = data["downstream"] or {}, data["targets"]
    new = [downstream["system"]] if downstream.get("system") else []
    own = [one for target in targets for one in target["systems"]]
    for system in (*data["systems"], *new, *data["simulate"], *own):
        yield system, "structure", in_library
    for folders in (data["data"], downstream.get("data", []), *(target["data"] for target in targets)):
        yield from ((folders, number, _never) for number in range(len(folders)))
    for section in ("pretrain", "md"):
        if (data[section] or {}).get("model"):
            yield data[section], "model", lambda name: name == TEACHER
    yield from _training_and_md(data, targets)
    for key in (*project.labeler.text_files, project.labeler.model_file):
        if key and data["labeler"].get(key) and "\n" not in data["labeler"][key]:
            yield data["labeler"], key, _never
    yield data["cluster"], "preset", lambda name: (configs_folder("resources") / f"{name}.yaml").is_file()
    for batch in filter(None, data["engine"].values()):
        if isinstance(batch, dict):
            yield batch, "preset", lambda name: (configs_folder("resources", "slurm") / f"{name}.yaml").is_file()
    if data["on_end"] and "/" in data["on_end"][0]:
        yield data["on_end"], 0, _never


# foreign: the configuration as JSON
def _training_and_md(data: dict[str, Any], targets: list[dict[str, Any]]) -> Iterator[tuple[Any, str | int, BuiltIn]]:
    """Yield presets of trainings, tables of their overrides, and templates of LAMMPS inputs."""
    for training, key, built_in in _presets(data, targets):
        yield training, key, built_in
        table = (training.get("overrides") or {}).get(OVERRIDE)
        if isinstance(table, str) and not table.startswith(PACKED):
            yield training["overrides"], OVERRIDE, _never
    for section in (data["concurrent_learning"], data["md"], *(target["md"] for target in targets)):
        if section and "\n" not in (section.get("lammps_template") or "\n"):
            yield section, "lammps_template", _never


# foreign: the configuration as JSON
def _presets(data: dict[str, Any], targets: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str, BuiltIn]]:
    """Yield the trainings that name a preset."""
    committee = (data["concurrent_learning"] or {}).get("train")
    for training in (
        data["pretrain"], (data["simplify"] or {}).get("train"),
        *(committee if isinstance(committee, list) else [committee]),
        (data["distill"] or {}).get("student"), *(target["distill"].get("student") for target in targets),
    ):
        if training and training.get("preset"):
            yield training, "preset", lambda name: name in preset_names()


def _never(name: str) -> bool:
    return False
