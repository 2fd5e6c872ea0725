"""Energies, forces and virials from a trained model."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.tools import thread_environment
from dpa_sse.ops.data.npy import Frames
from dpa_sse.ops.results.model import ModelInfo


def open_model(path: Path, branch: str | None = None) -> Any:
    """Return deepmd's calculator for a frozen model (.pth, .pt2), or for a branch of a checkpoint (.pt)."""
    if not path.is_file():
        raise InputError(f"model file does not exist: {path}")
    limit_deepmd_threads()
    from deepmd.infer import DeepPot

    if branch is None and path.suffix == ".pt":  # a frozen model has one branch only
        branch = branch_of(path)
    with contextlib.redirect_stdout(io.StringIO()):
        return DeepPot(str(path), head=branch) if branch else DeepPot(str(path))


def branch_of(model: Path) -> str | None:
    """Return the branch of a multi-task model that its model folder names; None for a model with one task."""
    info = ModelInfo.read_if_there(model.parent)
    return info.branch if info else None


def limit_deepmd_threads() -> None:
    """Hold deepmd to the threads of this task; before its first import only, it reads them then."""
    if "deepmd" not in sys.modules:
        os.environ.update(thread_environment())


def predict(
    model: Any, frames: Frames, chosen: Sequence[int] | NDArray[np.int_] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return energy (F,) in eV, forces (F, N, 3) in eV/A and virial (F, 3, 3) in eV.

    Frames of a mixed-type folder are computed one composition after the other.
    """
    import torch

    index = np.arange(len(frames.coords)) if chosen is None else np.asarray(chosen, dtype=int)
    n = frames.types.shape[1]
    energy, force, virial = np.empty(len(index)), np.empty((len(index), n, 3)), np.empty((len(index), 3, 3))
    groups: dict[bytes, list[int]] = defaultdict(list)
    for position, frame in enumerate(index):
        groups[frames.types[frame].tobytes()].append(position)
    for positions in groups.values():
        rows = index[positions]
        # optimizing the graph costs seconds for every new number of frames and does not pay for so few calls
        with torch.jit.optimized_execution(False):
            e, f, v = model.eval(
                frames.coords[rows].reshape(len(rows), -1),
                frames.cells[rows].reshape(len(rows), 9),
                frames.types[rows[0]],
            )[:3]
        energy[positions], force[positions] = e.reshape(-1), f.reshape(len(rows), n, 3)
        virial[positions] = v.reshape(-1, 3, 3)
    return energy, force, virial
