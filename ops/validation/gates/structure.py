"""G8: radial distribution functions of all pairs against the reference, with the noise of the reference as floor."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.structures.neighbour_list import face_distances
from dpa_sse.ops.structures.rdf import Snapshot, radial_distributions
from dpa_sse.ops.validation.gates.base import Array, GateSettings, Measurement, Potential, Reference, Value
from dpa_sse.ops.validation.gates.dynamics import Trajectory
from dpa_sse.ops.validation.gates.shared import heated

if TYPE_CHECKING:
    from ase import Atoms

BIN_A = 0.1
MOST_A = 6.0
FEW_SHARE = 0.02
"""Share of the pairs of an ideal gas below which pairs that come near once in a while are too few to compare."""
FEW = 4
"""Atoms of an element below which its pairs with itself are too few to compare."""
Pair = tuple[str, str]


@dataclass
class Score:
    """How alike g(r) of a pair is.

    Attributes
    ----------
    floor : float
        1 - noise: what two sets of runs of one potential would reach.
    loss : float
        By how much the score is below the floor.
    half95 : float
        Half of its 95 % interval, from leaving out runs.
    """

    floor: float
    loss: float
    half95: float


def measure(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> Measurement:
    """Compare g(r) at the highest temperature, pair by pair."""
    if reference.potential is None:
        return Measurement(not_run="needs a reference that can run MD: --reference MODEL or LABELER")
    found = Measurement()
    worst: tuple[float, str, Score] | None = None
    noise, rare = 0.0, set[str]()
    for atoms in structures:
        own = heated(model, atoms, settings).hold
        other = heated(reference.potential, atoms, settings).hold
        if len(own.whole) < 2 or len(other.whole) < 2:
            why = "the model's" if len(own.whole) < 2 else "the reference's"
            found.missing["g_of_r_loss"] = f"{why} MD did not reach its end in two runs"
            continue
        cutoff = min(MOST_A, 0.5 * float(face_distances(atoms.cell.array).min()))
        pairs = _pairs_of(atoms)
        mine, theirs = (
            [_distribution(run, copy, pairs, cutoff) for copy in run.whole] for run in (own, other)
        )
        for pair in pairs:
            if max(share_of_ideal(np.mean([one[pair] for one in runs], axis=0)) for runs in (mine, theirs)) < FEW_SHARE:
                rare.add("-".join(pair))
                continue
            score = compare([one[pair] for one in mine], [one[pair] for one in theirs])
            noise = max(noise, 1 - score.floor)
            name = "-".join(pair)
            if worst is None or score.loss > worst[0]:
                worst = (score.loss, name, score)
            found.table += [
                {"pair": name, "r_A": (k + 0.5) * BIN_A, "model": float(a), "reference": float(b)}
                for k, (a, b) in enumerate(zip(
                    np.mean([one[pair] for one in mine], axis=0), np.mean([one[pair] for one in theirs], axis=0),
                    strict=True,
                ))
            ]
    if worst is None:
        found.missing.setdefault("g_of_r_loss", "no structure has two elements with enough atoms")
        return found
    loss, name, score = worst
    more = f"{3 * settings.md['hold_ps']:g} ps more of MD with model and reference"
    found.values["g_of_r_loss"] = Value(
        loss, (loss - score.half95, loss + score.half95), int(settings.md["copies"]), more=more, where=name
    )
    found.notes.append(f"noise of the reference against itself: {noise:.3f} at most")
    if rare:
        found.notes.append(f"hardly any pairs within {MOST_A:g} A or half of the cell: {', '.join(sorted(rare))}")
    return found


def _pairs_of(atoms: Atoms) -> list[Pair]:
    symbols = atoms.get_chemical_symbols()
    names = sorted(set(symbols))
    return [
        (one, other) for one, other in itertools.combinations_with_replacement(names, 2)
        if one != other or symbols.count(one) >= FEW
    ]


def _distribution(run: Trajectory, copy: int, pairs: Sequence[Pair], cutoff: float) -> dict[Pair, Array]:
    frames = (Snapshot(run.cell, run.symbols, run.positions[k, copy]) for k in range(len(run.positions)))
    return {pair: one.g for pair, one in radial_distributions(frames, pairs, cutoff, BIN_A).items()}


def share_of_ideal(g: Array) -> float:
    """Return the pairs of a distribution over those of an ideal gas of the same density."""
    shell = ((np.arange(len(g)) + 0.5) * BIN_A) ** 2
    return float((g * shell).sum() / shell.sum())


def difference(one: Array, other: Array) -> float:
    """Return sum |g - g'| / sum (g + g'): 0 for equal distributions, 1 for disjoint ones."""
    total = float((one + other).sum())
    return float(np.abs(one - other).sum()) / total if total else 0.0


def compare(own: Sequence[Array], other: Sequence[Array]) -> Score:
    """Return the score of a set of runs against one of the reference, relative to the noise of both.

    The noise of a mean over n runs is that between two single runs over the root of n. Runs of either potential tell
    it: those of the model scatter around the model's own mean.
    """
    noise = np.mean([_noise(own), _noise(other)])
    loss = _loss(own, other)
    left_out = [
        *(_loss([one for k, one in enumerate(own) if k != skip], other) for skip in range(len(own))),
        *(_loss(own, [one for k, one in enumerate(other) if k != skip]) for skip in range(len(other))),
    ]
    variance = 0.0
    for part in (left_out[: len(own)], left_out[len(own) :]):
        n = len(part)
        variance += (n - 1) / n * float(((np.array(part) - np.mean(part)) ** 2).sum())
    from scipy.stats import t

    freedom = max(1, len(own) + len(other) - 2)
    return Score(1 - float(noise), loss, float(t.ppf(0.975, freedom)) * float(np.sqrt(variance)))


def _noise(runs: Sequence[Array]) -> float:
    """Return the difference that two means of so many runs of one potential would have."""
    if len(runs) < 2:
        return 0.0
    between = [difference(a, b) for a, b in itertools.combinations(runs, 2)]
    return float(np.mean(between)) / np.sqrt(len(runs))


def _loss(own: Sequence[Array], other: Sequence[Array]) -> float:
    """Return the difference of the means beyond what noise makes of equal distributions."""
    noise = np.sqrt((_noise(own) ** 2 + _noise(other) ** 2) / 2)
    return difference(np.mean(own, axis=0), np.mean(other, axis=0)) - float(noise)
