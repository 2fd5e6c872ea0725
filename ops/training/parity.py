"""Whether checkpoint, frozen and compressed model of a network give the same energies and forces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dpa_sse.ops.results.model import ModelDifference, Parity
from dpa_sse.ops.results.training import TrainTask

FORCE_DIFFERENCE, ENERGY_DIFFERENCE = "max_force_difference_eV_A", "max_energy_difference_meV_atom"


def parity(models: Sequence[Path], task: TrainTask) -> Parity:
    """Compare the files of one network with the first of them, on a few frames."""
    from dpa_sse.ops.data.npy import read_system
    from dpa_sse.ops.potential.inference import open_model, predict

    systems = [Path(path) for path in task.parity_systems]
    loaded = [open_model(path) for path in models]
    results = {path.name: {FORCE_DIFFERENCE: 0.0, ENERGY_DIFFERENCE: 0.0} for path in models[1:]}
    share = max(1, task.parity_frames // len(systems))
    n_frames = 0
    for system in systems[: task.parity_frames]:
        frames = read_system(system, list(loaded[0].get_type_map()))[0]
        chosen = frames.select(np.linspace(0, len(frames) - 1, min(share, len(frames))).astype(int))
        n_frames += len(chosen)
        energy, force, _ = predict(loaded[0], chosen.types, chosen.coord, chosen.box)
        for found, model in zip(results.values(), loaded[1:], strict=True):
            other_energy, other_force, _ = predict(model, chosen.types, chosen.coord, chosen.box)
            differences = {
                FORCE_DIFFERENCE: float(np.abs(other_force - force).max()),
                ENERGY_DIFFERENCE: float(np.abs(other_energy - energy).max()) / len(chosen.types) * 1000,
            }
            for key, value in differences.items():
                found[key] = value if np.isnan(value) else max(found[key], value)
    worst = {key: max(found[key] for found in results.values()) for key in (FORCE_DIFFERENCE, ENERGY_DIFFERENCE)}
    return Parity(
        reference=models[0].name, n_frames=n_frames, **worst,
        files={name: ModelDifference(**found) for name, found in results.items()},
    )
