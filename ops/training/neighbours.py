"""Number of neighbours in the data, and whether the neighbour lists of a network (`sel`, `nsel`) can hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.npy import read_system, split_systems
from dpa_sse.ops.potential.describe import DPA4
from dpa_sse.ops.results.model import CutoffNeighbours, NeighbourCounts
from dpa_sse.ops.structures import neighbour_list
from dpa_sse.ops.training.deepmd_input import DeepmdInput

MARGIN = 1.1
DPA4_CUTOFF_A = 6.0
"""DeePMD-kit's default."""


def neighbour_counts(
    dataset: Path | Sequence[Path], cutoffs: Sequence[float], type_map: Sequence[str], split: str | None = None
) -> NeighbourCounts:
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
    NeighbourCounts

    Raises
    ------
    InputError
        No frame has neighbours within the largest cutoff.
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
    return NeighbourCounts(
        type_map=tuple(type_map),
        minimum_distance_A=nearest,
        cutoffs={
            f"{radius:g}": CutoffNeighbours(total=int(total[i]), per_type=tuple(per_type[i].tolist()))
            for i, radius in enumerate(radii)
        },
    )


@dataclass(frozen=True)
class NeighbourList:
    """A neighbour list of a network.

    Attributes
    ----------
    node : dict
        Part of the training input that has its length.
    key : str
        Name of the length, e.g. ``sel``.
    cutoff_A : float
    per_element : bool
        The length is given for each element.
    """

    node: dict[str, Any]
    key: str
    cutoff_A: float
    per_element: bool


def _neighbour_lists(model: Mapping[str, Any]) -> list[NeighbourList]:
    """Return the neighbour lists of a network.

    An empty list means that the type of the descriptor is not known here; DeePMD-kit then only warns.
    """
    found: list[NeighbourList] = []
    descriptor = model.get("descriptor", {})
    for node in descriptor.get("list", [descriptor]):
        kind = node.get("type")
        if kind in ("se_e2_a", "se_a", "se_e2_r", "se_r", "se_e3", "se_at"):
            found.append(NeighbourList(node, "sel", float(node["rcut"]), per_element=True))
        elif kind in ("se_atten", "dpa1", "se_atten_v2", "se_e3_tebd"):
            found.append(NeighbourList(node, "sel", float(node["rcut"]), per_element=False))
        elif kind == "dpa2":
            repinit, repformer = node["repinit"], node["repformer"]
            found += [
                NeighbourList(part, "nsel", float(part["rcut"]), per_element=False) for part in (repinit, repformer)
            ]
            if repinit.get("use_three_body"):
                cutoff = float(repinit.get("three_body_rcut", 4.0))
                found.append(NeighbourList(repinit, "three_body_sel", cutoff, per_element=False))
        elif kind == "dpa3" and (repflow := node.get("repflow")):
            found += [
                NeighbourList(repflow, f"{edge}_sel", float(repflow.get(f"{edge}_rcut", default)), per_element=False)
                for edge, default in (("e", 6.0), ("a", 4.0))
            ]
    return found


# foreign: the section `model` of DeePMD-kit's input, or of a checkpoint
def cutoffs_of(model: Mapping[str, Any]) -> list[float]:
    """Return the cutoff radii of all neighbour lists of a network, Angstrom."""
    found = {one.cutoff_A for one in _neighbour_lists(model)}
    descriptor = model.get("descriptor", {})
    if str(descriptor.get("type") or model.get("type")).lower() in DPA4:  # has all neighbours, whatever `sel` says
        found.add(float(descriptor.get("rcut", DPA4_CUTOFF_A)))
    return sorted(found)


def fit_neighbour_lists(
    data: DeepmdInput, counts: NeighbourCounts, *, widen: bool
) -> tuple[DeepmdInput, list[str]]:
    """Fit the neighbour lists of a training input to the data.

    A list that drops neighbours makes energy and forces wrong and discontinuous, and DeePMD-kit only warns.

    Parameters
    ----------
    data : DeepmdInput
    counts : NeighbourCounts
        For the cutoffs of the network.
    widen : bool
        Lists that are too short get the number in the data plus 10 %; else they are an error. ``auto`` and
        ``auto:1.2`` are always replaced by numbers.

    Returns
    -------
    tuple of DeepmdInput and list of str
        The input with numbers, and a message for each list that was too short.

    Raises
    ------
    InputError
        A list would drop neighbours and ``widen`` is false, or has a wrong number of elements.
    """
    result = data.copy()
    messages: list[str] = []
    for one in _neighbour_lists(result.section("model")):
        node, key, found = one.node, one.key, counts.within(one.cutoff_A)
        needed = list(found.per_type) if one.per_element else [found.total]
        own = node.get(key, "auto")
        if isinstance(own, str):
            factor = float(own.partition(":")[2] or MARGIN)
            fitted = [_round_up(count * factor) for count in needed]
        else:
            given = list(own) if isinstance(own, list) else [own]
            if not one.per_element:
                given = [sum(given)]
            if len(given) != len(needed):
                raise InputError(f"{key} has {len(given)} numbers but the type map has {len(needed)} elements")
            fitted = [
                value if value >= count else _round_up(count * MARGIN)
                for value, count in zip(given, needed, strict=True)
            ]
            if fitted != given:
                messages.append(_message(key, one.cutoff_A, given, needed, fitted, widen))
        node[key] = fitted if one.per_element else fitted[0]
    descriptor = result.section("model").get("descriptor", {})
    for node in descriptor.get("list", [descriptor]):
        if node.get("type") == "dpa2":  # DeePMD-kit requires the first list to be the longer one
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
    """Return the next multiple of 4, as DeePMD-kit does, and at least 4, so that no element becomes invisible."""
    return max(4, 4 * math.ceil(number / 4))
