"""From a YAML file (and values on the command line) to a checked project, with every problem at its line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import to_json

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.series import expand_system
from dpa_sse.pipeline.config.fields import is_free_mapping
from dpa_sse.pipeline.config.messages import TRUTH_WORDS, Fault, faults
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
from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.config.sections import ELEMENTS
from dpa_sse.pipeline.config.yaml_file import YamlContent, parse_yaml, read_yaml

_MAX_ROUNDS = 40


@dataclass(frozen=True)
class Located:
    """A project and the place of each of its keys."""

    project: Project
    path: Path
    marks: Marks

    @property
    def base_dir(self) -> Path:
        """The folder that relative paths of the configuration start from."""
        return self.path.parent

    def problem(self, path: KeyPath, message: str) -> Problem:
        """Return a problem at the line of ``path`` (of the nearest section around it if the key is not written)."""
        return locate(self.marks, path, message, self.path)


def load_project(path: Path | str, overrides: Sequence[str] = ()) -> Project:
    """Read and check a configuration file.

    Parameters
    ----------
    path : Path or str
        YAML file; messages show it as given.
    overrides : sequence of str
        ``key.subkey=value`` from the command line, applied before anything is checked; list items by their
        number from 0 (``systems.0.site_disorder=0.25``); the value is YAML.

    Returns
    -------
    Project
        All values, defaults included.

    Raises
    ------
    ConfigError
        With all problems at once. Files named in the configuration are looked at by
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
    """What came out of reading a configuration: its problems, and a project made of all that is sound.

    Attributes
    ----------
    problems : list of Problem
        Everything wrong with keys and values.
    located : Located or None
        The project; with ``problems`` the faulty values are left out of it (None: nothing can be made of the rest).
    removed : set of KeyPath
        The values that were left out.
    origin : mapping
        Path in the reduced project -> path in the file (they differ behind list items that were left out).
    """

    problems: list[Problem]
    located: Located | None
    removed: set[KeyPath]
    origin: Mapping[KeyPath, KeyPath]

    def place(self, path: KeyPath) -> KeyPath:
        """Return the path in the file of a path in the reduced project."""
        return _before(path, self.origin)


def attempt_load(path: Path | str, overrides: Sequence[str] = ()) -> Attempt:
    """Read a configuration file and keep what is sound; raises ConfigError only where nothing can be read."""
    path = Path(path)
    content = read_yaml(path)
    problems = list(content.problems)
    for text in overrides:
        problems += _apply_override(content, text)
    project, found, removed, origin = _validate(content.data)
    known = {problem.path for problem in problems}
    for fault in found:
        if not any(dotted(fault.path[: len(fault.path) - up]) in known for up in range(len(fault.path))):
            problems.append(locate(content.marks, fault.path, fault.message, path))
    located = None if project is None else Located(project, path, content.marks)
    return Attempt(sort_problems(problems), located, removed, origin)


def resolved_yaml(project: Project) -> str:
    """Return the project as YAML with every default written out; loading it gives an equal project."""
    return yaml.dump(
        project.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=120,
        allow_unicode=True,
    )


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.2 takes for a number, and repeats values instead of writing anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9.][0-9_.]*([eE][-+]?[0-9]+)?$"),
                              list("-+.0123456789"))
_Dumper.add_representer(
    float, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:float", repr(value))
)


def _apply_override(content: YamlContent, text: str) -> list[Problem]:
    """Set one value of the command line in the data; return what is wrong with it."""
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
            return [Problem(COMMAND_LINE, None, key, f"'{dotted(path)}' is a plain value and holds no '{part}'")]
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


def _validate(
    data: Mapping[str, Any],
) -> tuple[Project | None, list[Fault], set[KeyPath], Mapping[KeyPath, KeyPath]]:
    """Validate; on faults, take the faulty values out and validate again, so that all faults come to light.

    Returns the project (of what remained), all faults, the paths taken out, and where each path was before.
    """
    found: list[Fault] = []
    removed: set[KeyPath] = set()
    for _ in range(_MAX_ROUNDS):
        reduced, origin = _without(data, removed)
        try:
            project = Project.model_validate_json(to_json(reduced, inf_nan_mode="constants"), strict=True)
            return project, found, removed, origin
        except ValidationError as error:
            fresh = [
                fault._replace(
                    path=_before(fault.path, origin), depends_on=tuple(_before(one, origin) for one in fault.depends_on)
                )
                for fault in faults(error, reduced)
            ]
        if _convert(data, fresh):
            continue
        found += [fault for fault in fresh if not _caused(fault, removed)]
        gone = len(removed)
        removed |= {_culprit(fault) for fault in fresh}
        if len(removed) == gone or () in removed:
            break
    return None, found, removed, {}


def _culprit(fault: Fault) -> KeyPath:
    """Return what to take out so that the rest can be validated: the value, or the section that lacks one."""
    if fault.path[:1] == ("systems",) and fault.path[2:3] == ("series",):
        return fault.path[:2]  # without its series the structure of a system means nothing
    whole_section = fault.kind in ("missing", "union_tag_not_found", "union_tag_invalid")
    return fault.path[:-1] if whole_section and len(fault.path) > 1 else fault.path


def _caused(fault: Fault, removed: set[KeyPath]) -> bool:
    """Return whether a fault may only exist because something it depends on was taken out before."""
    if fault.kind not in ("sections", "missing", "value_error", "too_short", "too_few"):
        return False
    around = any(fault.path[: len(gone)] == gone for gone in removed)
    read = fault.depends_on if fault.kind == "sections" else (fault.path,)
    return around or any(gone[: len(path)] == path or path[: len(gone)] == gone for path in read for gone in removed)


def _convert(data: Any, found: Sequence[Fault]) -> bool:
    """Turn yes/no into truth values and 1e3 into 1000 where the schema wants them; True if anything was turned."""
    turned = False
    for fault in found:
        if fault.kind not in ("bool_type", "int_type", "int_from_float", "bool_parsing", "int_parsing"):
            continue
        here = data
        for part in fault.path[:-1]:
            here = here[part]
        value = here[fault.path[-1]]
        if fault.kind.startswith("bool") and isinstance(value, str) and value.lower() in TRUTH_WORDS:
            here[fault.path[-1]], turned = TRUTH_WORDS[value.lower()], True
        elif fault.kind.startswith("int") and isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
            here[fault.path[-1]], turned = int(value), True
    return turned


def _without(data: Any, removed: set[KeyPath]) -> tuple[Any, dict[KeyPath, KeyPath]]:
    """Return ``data`` without the values at ``removed``, and where each path of the result was before."""
    origin: dict[KeyPath, KeyPath] = {}

    def copy(value: Any, old: KeyPath, new: KeyPath) -> Any:
        origin[new] = old
        if isinstance(value, dict):
            return {
                key: copy(item, (*old, key), (*new, key)) for key, item in value.items() if (*old, key) not in removed
            }
        if isinstance(value, list):
            kept = [(index, item) for index, item in enumerate(value) if (*old, index) not in removed]
            return [copy(item, (*old, index), (*new, place)) for place, (index, item) in enumerate(kept)]
        return value

    reduced = copy(data, (), ())
    _expand(reduced, origin)
    if removed:  # without these two nothing else could be looked at; with all elements no rule about them is broken
        reduced.setdefault("name", "unnamed")
        if any(path[0] == "type_map" for path in removed):
            reduced["type_map"] = ELEMENTS
    return reduced, origin


def _expand(data: dict[str, Any], origin: dict[KeyPath, KeyPath]) -> None:
    """Put the systems that a series stands for in its place; each of their keys keeps its place in the file."""
    items = data.get("systems")
    if not isinstance(items, list):
        return
    places = {path: old for path, old in origin.items() if path[:1] == ("systems",) and len(path) > 1}
    for path in places:
        del origin[path]
    systems: list[Any] = []
    for index, item in enumerate(items):
        try:
            several = expand_system(item) if isinstance(item, dict) and isinstance(item.get("name"), str) else [item]
        except InputError:
            several = [item]  # its section says what is wrong
        for one in several:
            for path, old in places.items():
                if path[1] == index:
                    origin["systems", len(systems), *path[2:]] = old
            systems.append(one)
    data["systems"] = systems


def _before(path: KeyPath, origin: Mapping[KeyPath, KeyPath]) -> KeyPath:
    for length in range(len(path), -1, -1):
        if path[:length] in origin:
            return (*origin[path[:length]], *path[length:])
    return path
