"""The gates in the order in which they are run, and their thresholds."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.limits import read_small_yaml
from dpa_sse.ops.core.resources import configs_folder
from dpa_sse.ops.core.settings import Settings
from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.ops.results.gates import Tier
from dpa_sse.ops.validation.gates.base import Measure
from dpa_sse.ops.validation.gates.judge import TIERS, GateThresholds, Limits, Threshold, at_or_below

MODULES = {
    "G3": "parity", "G6": "wall", "G1": "accuracy", "G2": "on_policy", "G7": "softening", "G4": "nve",
    "G5": "stability", "G8": "structure", "G9": "transport", "G11": "equation_of_state", "G13": "arrangements",
    "G14": "decomposition", "G12": "phonons", "G10": "hop", "G15": "forgetting", "G16": "coverage", "G17": "value",
}
"""Module of each gate; those that need no MD come first."""
OWN = configs_folder("gates") / "thresholds.yaml"


@dataclass(frozen=True)
class Thresholds:
    """Thresholds and protocols of all gates.

    Attributes
    ----------
    gates : dict
        By key, in the order in which they are run.
    md : dict
        Protocol of the shared MD, by tier.
    sha256 : str
        Of both.
    """

    gates: dict[str, GateThresholds]
    md: dict[Tier, dict[str, float]]
    sha256: str

    def md_at(self, tier: Tier) -> dict[str, float]:
        """Return the protocol of the MD at a tier."""
        return at_or_below(self.md, tier)

    def at(self, tier: Tier) -> dict[str, GateThresholds]:
        """Return the gates of a tier: those of the lower ones, too."""
        return {key: one for key, one in self.gates.items() if TIERS.index(one.tier) <= TIERS.index(tier)}


def measure_of(key: str) -> Measure:
    """Return the function of a gate."""
    found: Measure = import_module(f"dpa_sse.ops.validation.gates.{MODULES[key]}").measure
    return found


def load_thresholds(given: Mapping[str, Any] | None = None) -> Thresholds:
    """Return the thresholds of the package, with what a mapping of the user changes.

    Raises
    ------
    InputError
        It has a key or a value that does not exist: one line for each.
    """
    data = package_thresholds()
    if given is not None:
        if found := list(faults(given)):
            raise InputError("\n".join(f"{'.'.join(map(str, path))}: {message}" for path, message in found))
        data = _merged(data, given)
    gates = {key: GateThresholds.model_validate(data["gates"][key]) for key in MODULES if key in data["gates"]}
    text = json.dumps({"md": data["md"], "gates": data["gates"]}, sort_keys=True)
    return Thresholds(gates, data["md"], hashlib.sha256(text.encode()).hexdigest())


def package_thresholds() -> dict[str, Any]:
    """Return the thresholds of the package as they are in their file."""
    found = read_small_yaml(OWN)
    assert isinstance(found, dict)  # noqa: S101  (a file of the package)
    return found


Fault = tuple[tuple[str, ...], str]
"""Path of a key, and what is wrong there."""


def faults(given: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with thresholds of a user: keys that do not exist, values that cannot be used."""
    data = package_thresholds()
    if found := list(_unknown(given, _shape(data), ())):
        yield from found
        return
    merged = _merged(data, given)
    yield from _not_positive(merged["md"], ("md",))
    for key in MODULES:
        yield from _not_positive(merged["gates"][key].get("protocol", {}), ("gates", key, "protocol"))
        try:
            GateThresholds.model_validate(merged["gates"][key])
        except ValidationError as error:
            for one in error.errors(include_url=False):
                if one["loc"][:1] == ("protocol",):
                    continue  # reported above
                message = one["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
                yield _written(("gates", key, *map(str, one["loc"])), merged), message[:1].lower() + message[1:]


def _not_positive(protocol: Mapping[str, Mapping[str, object]], path: tuple[str, ...]) -> Iterator[Fault]:
    """Yield numbers of a protocol that are not: lengths, temperatures and counts are positive."""
    for tier, numbers in protocol.items():
        for name, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                yield (*path, tier, name), f"must be a number, not {value!r}"
            elif not 0 < value < math.inf:
                yield (*path, tier, name), f"must be a positive number, not {value:g}"


def _shape(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that thresholds of a user may have, section by section; None for a value."""
    def numbers(tiers: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
        names = dict.fromkeys(name for values in tiers.values() for name in values)
        return dict.fromkeys(TIERS, names)

    def keys(of: type[Settings]) -> dict[str, Any]:
        return {field.alias or name: None for name, field in of.model_fields.items()}

    limits = {tier: keys(Limits) for tier in TIERS}
    return {"md": numbers(data["md"]), "gates": {
        key: {
            **keys(GateThresholds), "protocol": numbers(entry.get("protocol", {})),
            "metrics": {name: {**keys(Threshold), "tiers": limits} for name in entry["metrics"]},
        }
        for key, entry in data["gates"].items()
    }}


def _unknown(given: Any, shape: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Fault]:
    if not isinstance(given, Mapping):
        yield path, f"must be a section of keys and values, not {given!r}"
        return
    for name, value in given.items():
        place = (*path, str(name))
        if name not in shape:
            known = ", ".join(shape) or "none here"
            yield place, f"does not exist{did_you_mean(str(name), shape, cutoff=0.5)} (known: {known})"
        elif shape[name] is not None and value is not None:
            yield from _unknown(value, shape[name], place)


def _written(path: Sequence[str], data: Any) -> tuple[str, ...]:
    """Return a path as it is written in the file, without pydantic's names for alternatives and items of lists."""
    found = []
    for part in path:
        if not isinstance(data, Mapping) or part not in data:
            break
        found.append(part)
        data = data[part]
    return tuple(found)


def _merged(data: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with the values of another one in place of the same keys."""
    result = dict(data)
    if {"pass", "warn"} & {*given} and "tiers" in data and "tiers" not in given:
        del result["tiers"]  # ranges of a metric that are given hold at every tier
    for key, value in given.items():
        if value is None:  # a section without anything in it
            continue
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result
