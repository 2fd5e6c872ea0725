"""Load a YAML file (and values from the command line) as a checked project, with every problem at its line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from dpa_sse.ops.md.settings import TEACHER
from dpa_sse.pipeline.config.fields import is_free_mapping
from dpa_sse.pipeline.config.problems import (
    COMMAND_LINE,
    ConfigError,
    KeyPath,
    Mark,
    Marks,
    Problem,
    dotted,
    locate,
    sort_problems,
)
from dpa_sse.pipeline.config.reduction import Reduced, Reducer
from dpa_sse.pipeline.config.renamed import take_renamed
from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.config.yaml_file import YamlContent, parse_yaml, read_yaml

if TYPE_CHECKING:
    from ase import Atoms

    from dpa_sse.ops.results.model_card import UsedModel


@dataclass(frozen=True)
class Located:
    """A project, and the place of each of its keys."""

    project: Project
    path: Path
    marks: Marks
    cells: dict[str, Atoms] = field(default_factory=dict, compare=False)
    """Cells of the systems by name, where they have been built and checked."""
    models: dict[str, UsedModel] = field(default_factory=dict, compare=False)
    """Models of the registry by the keys that named them; the project has their files."""

    @property
    def base_dir(self) -> Path:
        """Folder that the relative paths of the configuration refer to."""
        return self.path.parent

    def problem(self, path: KeyPath, message: str) -> Problem:
        """Return a problem at the line of ``path`` (of the nearest enclosing section if the key is not given)."""
        return locate(self.marks, path, message, self.path)


def load_project(path: Path | str, overrides: Sequence[str] = ()) -> Project:
    """Read and check a configuration file.

    Parameters
    ----------
    path : Path or str
        YAML file; messages show the path as given.
    overrides : sequence of str
        ``key.subkey=value`` from the command line, applied before anything is checked; list items by their
        index (``systems.0.site_disorder=0.25``); the value is YAML.

    Returns
    -------
    Project
        All values, defaults included.

    Raises
    ------
    ConfigError
        With all problems at once. The files that the configuration names are checked by
        :func:`dpa_sse.pipeline.config.check.check_project`, not here.
    """
    return load_located(path, overrides).project


def load_located(path: Path | str, overrides: Sequence[str] = ()) -> Located:
    """Read and check a configuration file as :func:`load_project` does, and keep the place of every key."""
    attempt = attempt_load(path, overrides)
    if attempt.problems or attempt.located is None:
        raise ConfigError(attempt.problems)
    return attempt.located


@dataclass(frozen=True)
class Attempt:
    """What reading a configuration yields: its problems, and a project made of everything that is valid.

    Attributes
    ----------
    problems : list of Problem
        Everything wrong with keys and values.
    located : Located or None
        The project; with ``problems``, the faulty values are left out of it (None: nothing can be made of the rest).
    removed : frozenset of KeyPath
        The values that were left out, by their paths in the file.
    reduced : Reduced
        The data that the project was made of; knows where each value is in the file.
    """

    problems: list[Problem]
    located: Located | None
    removed: frozenset[KeyPath]
    reduced: Reduced


def attempt_load(path: Path | str, overrides: Sequence[str] = ()) -> Attempt:
    """Read a configuration file and keep what is valid; raises ConfigError only if nothing can be read."""
    path = Path(path)
    content = read_yaml(path)
    problems = list(content.problems)
    _name_engine(content.data)
    for text in overrides:
        problems += _apply_override(content, text)
    problems += take_renamed(content, str(path))
    _leave_out_pretraining(content.data)
    reducer = Reducer(content.data)
    project = reducer.run()
    known = {problem.path for problem in problems}
    for fault in reducer.faults:
        if not any(dotted(fault.path[: len(fault.path) - up]) in known for up in range(len(fault.path))):
            problems.append(locate(content.marks, fault.path, fault.message, path))
    located = None if project is None else Located(project, path, content.marks)
    return Attempt(sort_problems(problems), located, frozenset(reducer.removed), reducer.reduced)


def _name_engine(data: Any) -> None:
    """Turn `engine: slurm` into the section that it is short for."""
    if isinstance(data, dict) and isinstance(data.get("engine"), str):
        data["engine"] = {"on": data["engine"]}


def _leave_out_pretraining(data: Any) -> None:
    """Turn the default of `pretrain` into null where the MD runs with the user's model: nothing is trained."""
    md = data.get("md") if isinstance(data, dict) else None
    if isinstance(md, dict) and md.get("model") not in (None, TEACHER):
        data.setdefault("pretrain", None)


def resolved_yaml(project: Project) -> str:
    """Return the project as YAML with all defaults written out; loading it gives an equal project."""
    return yaml.dump(
        project.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=120,
        allow_unicode=True,
    )


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.2 would read as a number, and repeats values instead of writing anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9.][0-9_.]*([eE][-+]?[0-9]+)?$"),
                              list("-+.0123456789"))
_Dumper.add_representer(
    float, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:float", repr(value))
)


def _apply_override(content: YamlContent, text: str) -> list[Problem]:
    """Set one value from the command line in the data; return what is wrong with it."""
    key, equals, value_text = text.partition("=")
    parts = [part for part in re.split(r"\.|\[(\d+)\]", key.strip()) if part]
    if not equals or not parts:
        return [Problem(COMMAND_LINE, None, text, "write it as key.subkey=value, e.g. md.replicas=2")]
    try:
        value = parse_yaml(value_text, COMMAND_LINE)
    except ConfigError as error:
        return [Problem(COMMAND_LINE, None, key, problem.message) for problem in error.problems]
    place = Mark(COMMAND_LINE, None)
    here: Any = content.data
    path: KeyPath = ()
    while parts:
        part: str | int = parts.pop(0)
        if path and is_free_mapping(path, content.data):
            part, parts = ".".join([str(part), *parts]), []
        if isinstance(here, list):
            if not str(part).isdigit() or int(part) >= len(here):
                return [Problem(COMMAND_LINE, None, key, f"'{dotted(path)}' is a list of {len(here)} items, numbered "
                                f"from 0; there is no '{part}'")]
            part = int(part)
        elif not isinstance(here, dict):
            return [Problem(COMMAND_LINE, None, key, f"'{dotted(path)}' is a plain value; it has no '{part}'")]
        path = (*path, part)
        if parts:
            if isinstance(here, dict) and here.get(str(part)) is None:
                here[str(part)] = {}
                content.marks[path] = place
            here = here[part]  # type: ignore[index]
        else:
            here[part] = value.data  # type: ignore[index]
    for known in [known for known in content.marks if known[: len(path)] == path]:
        del content.marks[known]
    content.marks[path] = place
    return [Problem(COMMAND_LINE, None, key, problem.message) for problem in value.problems]
