"""Models against labels, frame by frame: on production frames, on training frames for the shift, on held-out frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.audit.frames import EV_A3_IN_GPA
from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.data.convert import frames_to_blocks
from dpa_sse.ops.data.dataset import read_dataset
from dpa_sse.ops.data.frames import SystemData, evenly
from dpa_sse.ops.potential.inference import predict
from dpa_sse.ops.results.dataset import Split
from dpa_sse.ops.results.self_check import ErrorEstimate
from dpa_sse.ops.validation.verdict import mean_of_groups

if TYPE_CHECKING:
    from ase import Atoms

MAX_FRAMES = 200
"""Frames of a data set that a mean is taken over, per folder."""


@dataclass(frozen=True)
class FrameErrors:
    """Errors of a model on frames of one composition.

    Attributes
    ----------
    energy_meV_atom : ndarray, shape (n,)
        Model minus label.
    force_mae_meV_A : ndarray, shape (n,)
        Mean over the components of a frame.
    pressure_GPa : ndarray, shape (n,), or None
        Model minus label, without the kinetic part; None where the labels have no virial.
    """

    energy_meV_atom: NDArray[np.float64]
    force_mae_meV_A: NDArray[np.float64]
    pressure_GPa: NDArray[np.float64] | None


def errors_of_block(model: Any, block: SystemData, type_map: Sequence[str]) -> FrameErrors:
    """Return the errors of a model on labelled frames.

    Raises
    ------
    FatalError
        The model does not know an element, or predicts NaN or infinity.
    """
    own = list(model.get_type_map())
    symbols = [type_map[k] for k in block.types]
    if unknown := sorted(set(symbols) - set(own)):
        raise FatalError(f"the model does not know {', '.join(unknown)} of {block.system}")
    types = np.array([own.index(symbol) for symbol in symbols])
    energy, force, virial = predict(model, types, block.coord, block.box)
    if not all(np.isfinite(values).all() for values in (energy, force, virial)):
        raise FatalError(f"the model predicts NaN or infinity on {block.system}")
    pressure = None
    if block.virial is not None:
        volume = np.abs(np.linalg.det(block.box))
        pressure = np.trace(virial - block.virial, axis1=1, axis2=2) / (3 * volume) * EV_A3_IN_GPA
    return FrameErrors(
        (energy - block.energy) / len(types) * 1000, np.abs(force - block.force).mean(axis=(1, 2)) * 1000, pressure
    )


def errors_of_frames(model: Any, frames: Sequence[Atoms], type_map: Sequence[str]) -> FrameErrors:
    """Return the errors of a model on labelled frames, in their order; energies of all compositions."""
    parts = [errors_of_block(model, frames_to_blocks([atoms], type_map)[0], type_map) for atoms in frames]
    pressures = [part.pressure_GPa for part in parts]
    known = [one for one in pressures if one is not None]
    return FrameErrors(
        np.array([part.energy_meV_atom[0] for part in parts]), np.array([part.force_mae_meV_A[0] for part in parts]),
        np.concatenate(known) if len(known) == len(pressures) and known else None,
    )


def composition_of(symbols: Iterable[str]) -> str:
    """Return the reduced formula, elements in alphabetic order: the same for a cell and its supercells."""
    counts: dict[str, int] = defaultdict(int)
    for symbol in symbols:
        counts[symbol] += 1
    unit = reduce(gcd, counts.values())
    return "".join(f"{name}{count // unit if count > unit else ''}" for name, count in sorted(counts.items()))


def by_composition(datasets: Sequence[Path], split: Split, type_map: Sequence[str]) -> dict[str, list[SystemData]]:
    """Return the frames of one split by composition, at most ``MAX_FRAMES`` of each folder, evenly spaced.

    Data sets whose type map differs from the project's are not expected: all steps write the same one.
    """
    found: dict[str, list[SystemData]] = defaultdict(list)
    for folder in datasets:
        for block in read_dataset(folder)[1]:
            if block.split == split and len(block):
                composition = composition_of(type_map[k] for k in block.types)
                chosen = evenly(len(block), MAX_FRAMES)
                found[composition].append(block.select(chosen))
    return dict(found)


def mean_energy_error(model: Any, blocks: Sequence[SystemData], type_map: Sequence[str]) -> ErrorEstimate:
    """Return the mean of model minus label over frames, meV/atom; its interval is from the scatter in trajectories."""
    groups: dict[str, list[float]] = defaultdict(list)
    for block in blocks:
        errors = errors_of_block(model, block, type_map).energy_meV_atom
        for name, value in zip(block.trajectories, errors.tolist(), strict=True):
            groups[f"{block.system}/{name}"].append(value)
    return mean_of_groups(list(groups.values()))


def mean_force_error(model: Any, blocks: Sequence[SystemData], type_map: Sequence[str]) -> float:
    """Return the mean absolute error of the force components over frames, meV/A."""
    return float(np.concatenate([errors_of_block(model, block, type_map).force_mae_meV_A for block in blocks]).mean())
