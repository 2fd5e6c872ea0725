"""Which frames of a labelled data set an ensemble of models still needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.core.intervals import blocks_of, mean_with_interval
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.dataset import read_dataset
from dpa_sse.ops.data.frames import SystemData, select_across
from dpa_sse.ops.data.subset import nested_order, write_chosen
from dpa_sse.ops.exploration.covered import Collected, by_element
from dpa_sse.ops.exploration.diversity import MOST_COMPARED, arrays_of_blocks, environments, farthest_frames
from dpa_sse.ops.potential.inference import descriptors, open_model, predict
from dpa_sse.ops.results.simplify import Simplified, SimplifyIteration
from dpa_sse.ops.simplify.settings import SimplifySettings

QUANTILE = 0.999
"""Share of the environments of the chosen frames that are nearer to those of other trajectories than the limit."""
MOST_ENVIRONMENTS = 20_000
"""Environments of an element that others are compared with."""
MOST_KNOWN = 50_000
"""Atoms of the chosen frames of which some are taken for it."""
BATCH = 20_000
"""Atoms that are looked at together: descriptors of a whole data set do not fit into memory."""
COMPONENTS = 24
TOLERATED = 0.02
"""Share of the atoms of a frame that may be outside: by the quantile, one of a thousand is."""

Floats = NDArray[np.float64]


def start(pool: Path, settings: SimplifySettings, seed: int, out: Path) -> Simplified:
    """Write a data set with the first frames; the test and validation frames are unchanged.

    Parameters
    ----------
    pool : Path
        The whole data set.
    settings : SimplifySettings
    seed : int
    out : Path
        Receives the data set.

    Raises
    ------
    InputError
        The data set has no more training frames than the first models are to be trained on.
    """
    _, blocks = read_dataset(pool)
    total = sum(len(block) for block in blocks if block.split == "train")
    if total <= settings.initial_frames:
        raise InputError(
            f"simplify.initial_frames is {settings.initial_frames}, but the data have {total} training frames: there "
            "is nothing to thin"
        )
    shift = float(np.random.default_rng(derive_seed(seed, "simplify")).random())
    chosen = nested_order(total, shift)[: settings.initial_frames]
    write_chosen(pool, "train", chosen, out)
    return Simplified(pool_frames=total, chosen=tuple(chosen.tolist()))


@dataclass(frozen=True)
class Judged:
    """What an ensemble makes of labelled frames, one value for each frame.

    Attributes
    ----------
    deviation : ndarray
        Largest deviation of a force within the ensemble, eV/A (``max_devi_f`` of DP-GEN).
    force_error : ndarray
        Sum over the components of the absolute force errors, mean of the models, meV/A.
    components : ndarray
        Number of these components.
    energy_error : ndarray
        Absolute error, mean of the models, meV/atom.
    trajectories : list of str
    """

    deviation: Floats
    force_error: Floats
    components: Floats
    energy_error: Floats
    trajectories: list[str]

    def force_mae(self, chosen: NDArray[np.bool_] | None = None) -> float | None:
        """Return the force MAE of the frames, or of the chosen ones, meV/A; None if there are none."""
        part = slice(None) if chosen is None else chosen
        count = self.components[part].sum()
        return float(self.force_error[part].sum() / count) if count else None


def judge(blocks: Sequence[SystemData], models: Sequence[Any]) -> Judged:
    """Evaluate all models on labelled frames.

    Parameters
    ----------
    blocks : sequence of SystemData
        Types are those of the models.
    models : sequence of DeepPot

    Raises
    ------
    FatalError
        A model predicts NaN or infinity.
    """
    from deepmd.infer.model_devi import calc_model_devi_f

    parts: list[tuple[Floats, Floats, Floats, Floats]] = []
    names: list[str] = []
    for block in _batches(blocks):
        found = [predict(model, block.types, block.coord, block.box) for model in models]
        forces = np.array([force for _, force, _ in found])
        energies = np.array([energy for energy, _, _ in found])
        if not (np.isfinite(forces).all() and np.isfinite(energies).all()):
            raise FatalError(f"a model predicts NaN or infinity on {block.system}; train for longer (simplify.train)")
        atoms = len(block.types)
        parts.append((
            np.asarray(calc_model_devi_f(forces)[0], float),
            1000 * np.abs(forces - block.force).sum(axis=(2, 3)).mean(axis=0),
            np.full(len(block), 3.0 * atoms),
            1000 * np.abs(energies - block.energy).mean(axis=0) / atoms,
        ))
        names += [f"{block.system}\t{name}" for name in block.trajectories]
    deviation, force, components, energy = (
        map(np.concatenate, zip(*parts, strict=True)) if parts else [np.empty(0)] * 4
    )
    return Judged(deviation, force, components, energy, names)


def iterate(
    pool: Path, before: Simplified, models: Sequence[Path], settings: SimplifySettings, seed: int, out: Path
) -> Simplified:
    """Judge the models that were trained on the chosen frames, and add frames that they need.

    A frame is needed if the forces of the models deviate on it, as ``dpgen simplify`` has it, or if it has
    environments that the chosen frames do not have. Nothing is added in the last iteration, so that its errors are
    those of models trained on what is kept.

    Parameters
    ----------
    pool : Path
        The whole data set.
    before : Simplified
    models : sequence of Path
        Frozen models.
    settings : SimplifySettings
    seed : int
    out : Path
        Receives the data set with the frames that are kept so far.
    """
    type_map, blocks = read_dataset(pool)
    training = [block for block in blocks if block.split == "train"]
    opened = [open_model(model) for model in models]
    chosen = np.array(before.chosen, int)
    others = np.setdiff1d(np.arange(before.pool_frames), chosen)
    unseen = [block for _, block in select_across(training, others)]
    rest = judge(unseen, opened)
    test = judge([block for block in blocks if block.split == "test" and len(block)], opened)
    outside = np.zeros(len(others), bool)
    if settings.coverage and len(others):
        outside = uncovered(unseen, [block for _, block in select_across(training, np.sort(chosen))], type_map,
                            opened[0], seed)
    failed = _failed(rest.deviation, settings)
    accurate = ~failed & ~outside & (rest.deviation < settings.force_lo_eV_A)
    needed = np.flatnonzero(~failed & ~accurate)
    last = len(before.history) + 1 >= settings.max_iterations
    enough = not len(needed) or accurate.sum() / len(others) >= settings.conv_accuracy
    picked = np.empty(0, int)
    if not (last or enough):
        known = [block for _, block in select_across(training, np.sort(chosen))]
        own_seed = derive_seed(seed, "simplify", len(before.history))
        picked = others[_pick(unseen, known, needed, type_map, opened[0], settings, own_seed)]
    write_chosen(pool, "train", np.concatenate([chosen, picked]), out)
    iteration = SimplifyIteration(
        training_frames=len(chosen), selected=len(picked), other_frames=len(others), accurate=int(accurate.sum()),
        candidate=len(needed), failed=int(failed.sum()),
        uncovered=int((outside & ~failed & (rest.deviation < settings.force_lo_eV_A)).sum()),
        mean_devi_f_eV_A=float(rest.deviation.mean()) if len(others) else None,
        max_devi_f_eV_A=float(rest.deviation.max()) if len(others) else None,
        other_force_mae_meV_A=rest.force_mae(), accurate_force_mae_meV_A=rest.force_mae(accurate), **_errors(test),
    )
    return before.model_copy(update={
        "chosen": (*before.chosen, *picked.tolist()), "finished": last or bool(enough), "enough": bool(enough),
        "history": (*before.history, iteration), "outcome": _outcome(iteration, before, last, bool(enough)),
    })


def _failed(deviation: Floats, settings: SimplifySettings) -> NDArray[np.bool_]:
    """Return which frames are left out."""
    limit = np.inf if settings.force_hi_eV_A is None else settings.force_hi_eV_A
    return np.asarray(deviation >= limit)


def _errors(test: Judged) -> dict[str, Any]:
    """Return the errors on test frames with their intervals, by their names in the report; all None without any."""
    runs = blocks_of(test.trajectories)
    numbers: dict[str, Any] = {}
    for name, unit, sums, weights in (
        ("force_mae", "meV_A", test.force_error, test.components),
        ("energy_mae", "meV_atom", test.energy_error, np.ones(len(test.energy_error))),
    ):
        mean, interval = (
            mean_with_interval(np.bincount(runs, sums), np.bincount(runs, weights)) if len(runs) else (None, None)
        )
        numbers |= {f"{name}_{unit}": mean, f"{name}_ci95_{unit}": interval}
    return numbers


def _outcome(iteration: SimplifyIteration, before: Simplified, last: bool, enough: bool) -> str:
    kept = f"{iteration.training_frames} of {before.pool_frames} training frames are kept"
    if not iteration.other_frames:
        return f"{kept}: all are needed"
    share = f"{100 * iteration.accurate / iteration.other_frames:.0f} % of the others are not needed"
    if enough:
        left = f", {iteration.failed} deviate too much" if iteration.failed else ""
        return f"{kept}; {share}{left}"
    return f"{kept} after the last iteration, which is not enough: {share}" if last else ""


def _pick(
    unseen: Sequence[SystemData], known: Sequence[SystemData], needed: NDArray[np.int_], type_map: Sequence[str],
    model: Any, settings: SimplifySettings, seed: int,
) -> NDArray[np.int_]:
    """Return the numbers, among the unseen frames, of those that are added."""
    order = needed[np.random.default_rng(seed).permutation(len(needed))]
    if settings.selection == "random" or len(order) <= settings.frames:
        return order[: settings.frames]
    compared = np.sort(order[: max(MOST_COMPARED, settings.frames)])
    new = environments(arrays_of_blocks([block for _, block in select_across(unseen, compared)], type_map), model)
    arrays = arrays_of_blocks(known, type_map)
    old = environments(arrays[:: max(1, -(-len(arrays) // MOST_COMPARED))], model)
    return compared[farthest_frames(new, old, settings.frames)]


def uncovered(
    frames: Sequence[SystemData], known: Sequence[SystemData], type_map: Sequence[str], model: Any, seed: int
) -> NDArray[np.bool_]:
    """Return which frames have environments outside of those of the known ones, element by element.

    Parameters
    ----------
    frames, known : sequence of SystemData
    type_map : sequence of str
    model : DeepPot
        Environments are what its descriptor makes of them.
    seed : int
        Of many environments, some are compared.

    Returns
    -------
    ndarray of bool, shape (n,)
        More than :data:`TOLERATED` of the atoms of an element of the frame are outside.
    """
    collected = Collected()
    total = sum(len(block) * len(block.types) for block in known)
    for block in known:
        part = block.select(np.arange(0, len(block), -(-total // MOST_KNOWN)))
        collected.add(_environments(part, type_map, model), part.system, part.trajectories)
    limits = collected.known(MOST_ENVIRONMENTS, COMPONENTS, QUANTILE, seed, "covered")
    found = []
    for block in _batches(frames):
        outside = np.zeros(len(block), bool)
        for element, own in _environments(block, type_map, model).items():
            if element not in limits:
                outside[:] = True
                continue
            share = limits[element].outside(own.reshape(-1, own.shape[-1])).reshape(own.shape[:2]).mean(axis=1)
            outside |= share > TOLERATED
        found.append(outside)
    return np.concatenate(found)


def _batches(blocks: Sequence[SystemData]) -> Iterator[SystemData]:
    """Yield parts of blocks with at most :data:`BATCH` atoms."""
    for block in blocks:
        size = max(1, BATCH // len(block.types))
        for first in range(0, len(block), size):
            yield block.select(np.arange(first, min(first + size, len(block))))


def _environments(block: SystemData, type_map: Sequence[str], model: Any) -> dict[str, Floats]:
    """Return the descriptors (n, atoms, D) of the atoms of each element of a block."""
    vectors = descriptors(model, block.types, block.coord, block.box)
    return by_element([type_map[k] for k in block.types], vectors)
