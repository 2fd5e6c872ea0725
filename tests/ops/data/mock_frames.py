"""Frames labelled by the mock potential, for the tests of data sets."""

import numpy as np

from dpa_sse.ops.labelers.registry import make_labeler
from dpa_sse.ops.labelers.settings import MockSettings
from dpa_sse.ops.structures.build import build_cell
from dpa_sse.ops.structures.perturb import perturb_atoms
from dpa_sse.ops.structures.settings import SystemSettings


def labelled(structure, count, trajectory, seed=0, system=None):
    system = system or structure
    cell = build_cell(SystemSettings(name=system, structure=structure), None, 1)
    rng = np.random.default_rng([seed, *map(ord, trajectory)])
    frames = [perturb_atoms(cell, 0.03, 0.1, rng) for _ in range(count)]
    results = make_labeler(MockSettings()).label(frames)
    for result in results:
        result.atoms.info["trajectory"] = trajectory
    return [result.atoms for result in results]
