"""Energies, forces and virials from a trained model."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.tools import thread_environment
from dpa_sse.ops.results.model import ModelInfo

MOST_ATOMS = 2000
"""Atoms whose descriptors are computed at once: larger batches gain nothing and take memory."""


def open_model(path: Path, branch: str | None = None) -> Any:
    """Open a frozen model (.pth, .pt2), or a branch of a checkpoint (.pt), with DeePMD-kit.

    Raises
    ------
    InputError
        There is no such file.
    """
    if not path.is_file():
        raise InputError(f"model file does not exist: {path}")
    limit_deepmd_threads()
    from deepmd.infer import DeepPot

    if branch is None and path.suffix == ".pt":  # a frozen model has one branch only
        branch = branch_of(path)
    with contextlib.redirect_stdout(io.StringIO()):
        return DeepPot(str(path), head=branch) if branch else DeepPot(str(path))


def branch_of(model: Path) -> str | None:
    """Return the branch of a multi-task model recorded in its model folder; None for a single-task model."""
    info = ModelInfo.read_if_there(model.parent)
    return info.branch if info else None


def limit_deepmd_threads() -> None:
    """Limit DeePMD-kit to the threads of this task; works before its first import only, when it reads them."""
    if "deepmd" not in sys.modules:
        os.environ.update(thread_environment())
        os.environ.setdefault("DP_INFER_BATCH_SIZE", "1024")  # its default; unset, every model opened prints a hint


def descriptors(
    model: Any, types: NDArray[np.int_], coord: NDArray[np.float64], box: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute what the descriptor of a model makes of the surroundings of each atom.

    Parameters
    ----------
    model, types, coord, box
        As :func:`predict` takes them.

    Returns
    -------
    ndarray, shape (n, n_atoms, D)
    """
    size = max(1, MOST_ATOMS // len(types))
    parts = []
    for k in range(0, len(coord), size):
        some = coord[k : k + size]
        found = model.eval_descriptor(some.reshape(len(some), -1), box[k : k + size].reshape(len(some), 9), types)
        parts.append(np.asarray(found, float).reshape(len(some), len(types), -1))
    return np.concatenate(parts)


def predict(
    model: Any, types: NDArray[np.int_], coord: NDArray[np.float64], box: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Compute energies, forces and virials of frames with the same atoms in the same order.

    Parameters
    ----------
    model : DeepPot
        As :func:`open_model` returns it.
    types : ndarray of int, shape (n_atoms,)
        Indices into the type map of the model.
    coord, box : ndarray, shapes (n, n_atoms, 3) and (n, 3, 3)
        Angstrom.

    Returns
    -------
    tuple of ndarray
        Energy (n,) in eV, forces (n, n_atoms, 3) in eV/Angstrom, virial (n, 3, 3) in eV.
    """
    import torch

    count, n_atoms = len(coord), len(types)
    coord, box = np.ascontiguousarray(coord), np.ascontiguousarray(box)  # DPA-4's neighbour lists need it
    # optimizing the graph costs seconds for every new number of frames and does not pay for so few calls
    with torch.jit.optimized_execution(False):
        energy, force, virial = model.eval(coord.reshape(count, -1), box.reshape(count, 9), types)[:3]
    return (
        np.asarray(energy, float).reshape(-1), np.asarray(force, float).reshape(count, n_atoms, 3),
        np.asarray(virial, float).reshape(-1, 3, 3),
    )
