"""The gates in the order in which they are run, and their thresholds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.limits import read_small_yaml
from dpa_sse.ops.core.resources import configs_folder
from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.ops.results.gates import Tier
from dpa_sse.ops.validation.gates.base import Measure
from dpa_sse.ops.validation.gates.judge import TIERS, GateThresholds, at_or_below

MODULES = {
    "G3": "parity", "G6": "wall", "G1": "accuracy", "G2": "on_policy", "G7": "softening", "G4": "nve",
    "G5": "stability", "G8": "structure", "G9": "transport", "G11": "equation_of_state", "G13": "arrangements",
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


def load_thresholds(own: Path | None = None) -> Thresholds:
    """Return the thresholds of the package, with what a file of the user changes.

    Raises
    ------
    InputError
        The file cannot be read, or has a key or a value that does not exist; the message begins with its name.
    """
    data = _yaml(OWN)
    if own is not None:
        given = _yaml(own)
        _known(given, data, own)
        data = _merged(data, given)
    try:
        gates = {key: GateThresholds.model_validate(data["gates"][key]) for key in MODULES if key in data["gates"]}
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"{own or OWN}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    text = json.dumps({"md": data["md"], "gates": data["gates"]}, sort_keys=True)
    return Thresholds(gates, data["md"], hashlib.sha256(text.encode()).hexdigest())


def _yaml(path: Path) -> dict[str, Any]:
    try:
        found = read_small_yaml(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: thresholds are a mapping with the keys md and gates")
    return found


def _known(given: Mapping[str, Any], data: Mapping[str, Any], path: Path) -> None:
    """Refuse sections, gates and metrics that do not exist."""
    for place, names, known in (
        ("", given, data), ("gates.", given.get("gates") or {}, data["gates"]),
        *((f"gates.{key}.metrics.", (one or {}).get("metrics") or {}, data["gates"][key]["metrics"])
          for key, one in (given.get("gates") or {}).items() if key in data["gates"]),
    ):
        if not isinstance(names, Mapping):
            raise InputError(f"{path}: {place.rstrip('.')}: must be a mapping")
        for name in names:
            if name not in known:
                raise InputError(
                    f"{path}: {place}{name}: does not exist{did_you_mean(str(name), known)} (known: {', '.join(known)})"
                )


def _merged(data: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with the values of another one in place of the same keys."""
    result = dict(data)
    if {"pass", "warn"} & {*given} and "tiers" in data and "tiers" not in given:
        del result["tiers"]  # ranges of a metric that are given hold at every tier
    for key, value in given.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result
