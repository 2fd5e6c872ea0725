"""How many neighbours the data has, and whether a network's lists (`sel`, `nsel`) can hold them."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.npy import read_system, split_systems
from dpa_sse.ops.structures import neighbour_list

MARGIN = 1.1


def neighbour_counts(
    dataset: Path | Sequence[Path], cutoffs: Sequence[float], type_map: Sequence[str], split: str | None = None
) -> dict[str, Any]:
    """Count the neighbours of every atom of every frame.

    Parameters
    ----------
    dataset : Path or sequence of Path
        A data set folder (all splits, or one), or single folders in deepmd/npy format.
    cutoffs : sequence of float
        Radii in Angstrom.
    type_map : sequence of str
        Elements of the project.
    split : str, optional
        ``train``, ``validation`` or ``test`` of a data set folder; all by default.

    Returns
    -------
    dict
        ``{"type_map", "minimum_distance_A", "cutoffs": {"6": {"total": 52, "per_type": [24, 4, ...]}}}``: the largest
        number around any atom, of all elements together and of each element.
    """
    systems = split_systems(dataset, split) if isinstance(dataset, Path) else list(dataset)
    radii = sorted({float(radius) for radius in cutoffs})
    total = np.zeros(len(radii), dtype=int)
    per_type = np.zeros((len(radii), len(type_map)), dtype=int)
    nearest = math.inf
    for system in systems:
        for block in read_system(system, type_map):
            for positions, cell in zip(block.coord, block.box, strict=True):
                counts, distance = neighbour_list.neighbour_counts(block.types, positions, cell, radii, len(type_map))
                nearest = min(nearest, distance)
                total = np.maximum(total, counts.sum(axis=2).max(axis=1))
                per_type = np.maximum(per_type, counts.max(axis=1))
    if not math.isfinite(nearest):
        raise InputError(f"no frame with neighbours within {radii[-1]:g} A in {', '.join(map(str, systems))}")
    return {
        "type_map": list(type_map),
        "minimum_distance_A": nearest,
        "cutoffs": {
            f"{radius:g}": {"total": int(total[i]), "per_type": per_type[i].tolist()} for i, radius in enumerate(radii)
        },
    }


def selections(model: Mapping[str, Any]) -> list[tuple[dict[str, Any], str, float, bool]]:
    """Return the neighbour lists of a network: (its part of the input, key, cutoff in Angstrom, per element).

    An empty list means that the descriptor is not known here; deepmd then only warns.
    """
    found: list[tuple[dict[str, Any], str, float, bool]] = []
    descriptor = model.get("descriptor", {})
    for node in descriptor.get("list", [descriptor]):
        kind = node.get("type")
        if kind in ("se_e2_a", "se_a", "se_e2_r", "se_r", "se_e3", "se_at"):
            found.append((node, "sel", float(node["rcut"]), True))
        elif kind in ("se_atten", "dpa1", "se_atten_v2", "se_e3_tebd"):
            found.append((node, "sel", float(node["rcut"]), False))
        elif kind == "dpa2":
            repinit, repformer = node["repinit"], node["repformer"]
            found += [
                (repinit, "nsel", float(repinit["rcut"]), False),
                (repformer, "nsel", float(repformer["rcut"]), False),
            ]
            if repinit.get("use_three_body"):
                found.append((repinit, "three_body_sel", float(repinit.get("three_body_rcut", 4.0)), False))
        elif kind == "dpa3" and (repflow := node.get("repflow")):
            found += [
                (repflow, f"{edge}_sel", float(repflow.get(f"{edge}_rcut", default)), False)
                for edge, default in (("e", 6.0), ("a", 4.0))
            ]
    return found


def cutoffs_of(model: Mapping[str, Any]) -> list[float]:
    """Return the cutoffs (Angstrom) of all neighbour lists of a network."""
    return sorted({radius for _, _, radius, _ in selections(model)})


def fit_selection(
    data: Mapping[str, Any], counts: Mapping[str, Any], widen: bool
) -> tuple[dict[str, Any], list[str]]:
    """Fit the neighbour lists of a training input to the data.

    A list that would drop neighbours makes energy and forces wrong and discontinuous, and deepmd only warns.

    Parameters
    ----------
    data : mapping
        Training input with its ``model`` section.
    counts : mapping
        Result of `neighbour_counts` for the cutoffs of the network.
    widen : bool
        Lists that are too short get the number in the data and 10 %; else they are refused. ``auto`` and
        ``auto:1.2`` are always replaced with numbers.

    Returns
    -------
    tuple of dict and list of str
        The input with numbers, and one message for each list that was too short.

    Raises
    ------
    InputError
        A list would drop neighbours and ``widen`` is false.
    """
    result = copy.deepcopy(dict(data))
    messages: list[str] = []
    for node, key, radius, per_type in selections(result["model"]):
        found = counts["cutoffs"][f"{radius:g}"]
        needed = found["per_type"] if per_type else [found["total"]]
        own = node.get(key, "auto")
        if isinstance(own, str):
            factor = float(own.partition(":")[2] or MARGIN)
            fitted = [_round_up(count * factor) for count in needed]
        else:
            given = list(own) if isinstance(own, list) else [own]
            if not per_type:
                given = [sum(given)]
            if len(given) != len(needed):
                raise InputError(f"{key} has {len(given)} numbers but the type map has {len(needed)} elements")
            fitted = [
                value if value >= count else _round_up(count * MARGIN)
                for value, count in zip(given, needed, strict=True)
            ]
            if fitted != given:
                messages.append(_message(key, radius, given, needed, fitted, widen))
        node[key] = fitted if per_type else fitted[0]
    descriptor = result["model"].get("descriptor", {})
    for node in descriptor.get("list", [descriptor]):
        if node.get("type") == "dpa2":  # deepmd asserts that the first list is the longer one
            repinit, repformer = node["repinit"], node["repformer"]
            repinit["nsel"] = max(repinit["nsel"], repformer["nsel"] + 4)
    if messages and not widen:
        raise InputError("; ".join(messages))
    return result, messages


def _message(key: str, radius: float, given: list[int], needed: list[int], fitted: list[int], widen: bool) -> str:
    def show(numbers: list[int]) -> str:
        return str(numbers[0]) if len(numbers) == 1 else str(numbers)

    text = f"{key} {show(given)} would drop neighbours within {radius:g} A: the data has up to {show(needed)}"
    return f"{text}; widened to {show(fitted)}" if widen else f"{text}; set it to {show(fitted)} or allow widening"


def _round_up(number: float) -> int:
    """Return the next multiple of 4, as deepmd does, and at least 4: no element may become invisible."""
    return max(4, 4 * math.ceil(number / 4))
