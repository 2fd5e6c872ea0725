"""Finding all faults of a configuration at once: validate, take out what is wrong, validate the rest again.

Pydantic checks the rules that join several values only when each value is valid. To report those rules together with
the wrong values, the wrong values are left out and what remains is validated, until nothing is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.series import expand_system
from dpa_sse.pipeline.config.messages import BOOLEAN_WORDS, MAX_FAULTS, Fault, faults
from dpa_sse.pipeline.config.problems import KeyPath
from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.config.sections import ELEMENTS

MAX_ROUNDS = 40
"""Bound on the time that a hostile file may take; real ones need fewer than five rounds."""


@dataclass(frozen=True)
class Reduced:
    """The data of a configuration without some of its values, each series replaced by its systems.

    Attributes
    ----------
    data : mapping
        What remains.
    origin : mapping
        Path in ``data`` -> path in the file; they differ after list items that were left out, and in a series.
    """

    data: Any
    origin: Mapping[KeyPath, KeyPath]

    @classmethod
    def without(cls, data: Any, removed: set[KeyPath]) -> Reduced:
        """Return ``data`` without the values at ``removed`` (paths in the file)."""
        origin: dict[KeyPath, KeyPath] = {}

        def copy(value: Any, old: KeyPath, new: KeyPath) -> Any:
            origin[new] = old
            if isinstance(value, dict):
                kept = {key: item for key, item in value.items() if (*old, key) not in removed}
                return {key: copy(item, (*old, key), (*new, key)) for key, item in kept.items()}
            if isinstance(value, list):
                left = [(index, item) for index, item in enumerate(value) if (*old, index) not in removed]
                return [copy(item, (*old, index), (*new, place)) for place, (index, item) in enumerate(left)]
            return value

        reduced = copy(data, (), ())
        _expand_series(reduced, origin)
        if removed:  # the rest cannot be checked without these two; with all elements, no rule about them is broken
            reduced.setdefault("name", "unnamed")
            if any(path[0] == "type_map" for path in removed):
                reduced["type_map"] = ELEMENTS
        return cls(reduced, origin)

    def place(self, path: KeyPath) -> KeyPath:
        """Return the path in the file of a path in ``data``."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.origin:
                return (*self.origin[path[:length]], *path[length:])
        return path


class Reducer:
    """Takes faulty values out of the data of a configuration until the rest is a valid project.

    The invariant, after each round: ``faults`` holds each fault found so far once, at its path in the file;
    ``removed`` holds the value to blame for each of them, also a path in the file. A round either ends the search or
    adds to ``removed`` (or converts a value in ``data``, which can happen once per value), so the search ends.
    A fault that exists only because a value was removed before is not one of the user's, and is left out.
    """

    def __init__(self, data: Any) -> None:
        self.data = data
        self.faults: list[Fault] = []
        self.removed: set[KeyPath] = set()
        self.reduced = Reduced(data, {})

    def run(self) -> Project | None:
        """Return the project made of everything that is valid; None if the rest cannot be validated."""
        for _ in range(MAX_ROUNDS):
            self.reduced = Reduced.without(self.data, self.removed)
            try:
                return Project.model_validate_json(
                    to_json(self.reduced.data, inf_nan_mode="constants"), strict=True
                )
            except ValidationError as error:
                total = error.error_count()
                fresh = [self._in_file(fault) for fault in faults(error, self.reduced.data)]
            if _convert(self.data, fresh):
                continue
            self.faults += [fault for fault in fresh if not self._may_follow(fault)]
            if total > MAX_FAULTS:
                message = f"{total} problems in all; only the first {MAX_FAULTS} were examined"
                self.faults.append(Fault((), "too_many", message))
                break
            before = len(self.removed)
            self.removed |= {_to_blame(fault) for fault in fresh}
            if len(self.removed) == before or () in self.removed:
                break
        return None

    def _in_file(self, fault: Fault) -> Fault:
        """Return a fault of the reduced data with its paths in the file."""
        place = self.reduced.place
        return fault._replace(path=place(fault.path), depends_on=tuple(place(one) for one in fault.depends_on))

    def _may_follow(self, fault: Fault) -> bool:
        """Return whether a fault may exist only because something it depends on was removed before."""
        if fault.kind not in ("sections", "missing", "value_error", "too_short", "too_few"):
            return False
        read = fault.depends_on if fault.kind == "sections" else (fault.path,)
        return any(
            fault.path[: len(gone)] == gone
            or any(gone[: len(path)] == path or path[: len(gone)] == gone for path in read)
            for gone in self.removed
        )


def _to_blame(fault: Fault) -> KeyPath:
    """Return what to take out so that the rest can be validated: the value, or the section that lacks one."""
    if "series" in fault.path and "systems" in fault.path[:-1]:
        return fault.path[: fault.path.index("series")]  # without its series, the structure of a system means nothing
    whole_section = fault.kind in ("missing", "union_tag_not_found", "union_tag_invalid")
    return fault.path[:-1] if whole_section and len(fault.path) > 1 else fault.path


def _convert(data: Any, found: Sequence[Fault]) -> bool:
    """Turn yes/no into booleans and 1e3 into 1000 where the schema wants them; True if anything was converted."""
    converted = False
    for fault in found:
        if fault.kind not in ("bool_type", "int_type", "int_from_float", "bool_parsing", "int_parsing"):
            continue
        here = data
        for part in fault.path[:-1]:
            here = here[part]
        value = here[fault.path[-1]]
        if fault.kind.startswith("bool") and isinstance(value, str) and value.lower() in BOOLEAN_WORDS:
            here[fault.path[-1]], converted = BOOLEAN_WORDS[value.lower()], True
        elif fault.kind.startswith("int") and isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
            here[fault.path[-1]], converted = int(value), True
    return converted


def _expand_series(data: dict[str, Any], origin: dict[KeyPath, KeyPath]) -> None:
    """Replace each series by its systems; each of their keys keeps its place in the file."""
    _expand_list(data, ("systems",), origin)
    _expand_list(data, ("simulate",), origin)
    targets = data.get("targets")
    for index, target in enumerate(targets if isinstance(targets, list) else ()):
        if isinstance(target, dict):
            _expand_list(target, ("targets", index, "systems"), origin)


def _expand_list(section: dict[str, Any], path: KeyPath, origin: dict[KeyPath, KeyPath]) -> None:
    """Replace each series in the list of systems at ``path``, the last part of which is its key in ``section``."""
    items, depth = section.get(str(path[-1])), len(path)
    if not isinstance(items, list):
        return
    places: dict[str | int, dict[KeyPath, KeyPath]] = {}
    for known in [known for known in origin if known[:depth] == path and len(known) > depth]:
        places.setdefault(known[depth], {})[known] = origin.pop(known)
    systems: list[Any] = []
    for index, item in enumerate(items):
        try:
            several = expand_system(item) if isinstance(item, dict) and isinstance(item.get("name"), str) else [item]
        except InputError:
            several = [item]  # the validator of the section reports it
        for one in several:
            for known, old in places.get(index, {}).items():
                origin[*path, len(systems), *known[depth + 1 :]] = old
            systems.append(one)
    section[str(path[-1])] = systems
