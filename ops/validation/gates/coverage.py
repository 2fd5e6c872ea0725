"""G16: environments of the MD of the model, among those of its training data or outside.

Environments are the vectors that its descriptor makes of the surroundings of an atom. A training frame is as far from
those of other trajectories as a new one may be: where fewer than one in a thousand of them would be, an environment is
outside (nearest neighbours in the leading principal components, element by element).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.data.frames import evenly
from dpa_sse.ops.exploration.covered import Collected, Known, by_element
from dpa_sse.ops.validation.gates.base import GateSettings, Measurement, Potential, Reference
from dpa_sse.ops.validation.gates.shared import heated, spread_frames
from dpa_sse.ops.validation.gates.statistics import ratio_over_runs

if TYPE_CHECKING:
    from ase import Atoms

NEEDED = "needs the frames that the model was trained on: --training DATA"


def measure(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> Measurement:
    """Count the environments of the model's MD at the highest temperature that are outside of its training data."""
    if not reference.training:
        return Measurement(not_run=NEEDED)
    known = _training(model, reference, settings)
    if known is None:
        return Measurement(not_run="the model has no descriptor that could be compared")
    found = Measurement()
    outside, counts, runs, missing = [], [], [], set()
    for number, atoms in enumerate(structures):
        hold = heated(model, atoms, settings).hold
        chosen = spread_frames(hold, max(4, settings.count("frames") // len(structures)))
        if not chosen:
            continue
        places = np.array([hold.positions[frame, copy] for copy, frame in chosen])
        vectors = model.descriptors(hold.symbols, places, np.repeat(hold.cell[None], len(chosen), axis=0))
        assert vectors is not None  # noqa: S101  (it had some for the training data)
        symbols = np.array(hold.symbols)
        share = np.zeros((len(chosen), len(symbols)), bool)
        for element in dict.fromkeys(hold.symbols):
            if element not in known:
                share[:, symbols == element] = True
                missing.add(element)
                continue
            own = vectors[:, symbols == element]
            far = known[element].outside(own.reshape(-1, own.shape[-1]))
            share[:, symbols == element] = far.reshape(own.shape[:2])
        outside += share.sum(axis=1).tolist()
        counts += [len(symbols)] * len(chosen)
        runs += [f"{number} copy {copy}" for copy, _ in chosen]
        found.table += [
            {"run": run, "element": element, "outside_percent": 100 * float(share[k, symbols == element].mean())}
            for k, run in enumerate(runs[-len(chosen) :]) for element in dict.fromkeys(hold.symbols)
        ]
    if not counts:
        found.missing["outside"] = "the MD of the model left no frame to look at"
        return found
    value = ratio_over_runs(100 * np.array(outside, float), np.array(counts, float), runs, more="longer MD, more runs")
    found.values["outside"] = value
    if missing:
        found.notes.append(f"no training frame has {', '.join(sorted(missing))}")
    sizes = ", ".join(f"{element} {len(one.vectors)}" for element, one in known.items())
    found.notes.append(f"{len(counts)} frames against training environments: {sizes}")
    return found


def _training(model: Potential, reference: Reference, settings: GateSettings) -> dict[str, Known] | None:
    """Return the training environments by element; None if the model has no descriptors."""
    found = Collected()
    for block in reference.training:
        symbols = [reference.training_type_map[k] for k in block.types]
        if not set(symbols) <= set(model.elements) or not len(block):
            continue
        part = block.select(evenly(len(block), settings.count("training_frames")))
        vectors = model.descriptors(symbols, part.coord, part.box)
        if vectors is None:
            return None
        found.add(by_element(symbols, vectors), part.system, part.trajectories)
    return found.known(
        settings.count("environments"), settings.count("components"), settings.protocol["quantile"],
        settings.seed, "coverage",
    )
