"""Errors of a model on labelled frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.core.files import write_csv, write_json
from dpa_sse.ops.data.frames import SystemData
from dpa_sse.ops.data.npy import read_system, split_systems
from dpa_sse.ops.potential.inference import open_model, predict

MAX_ROWS = 5000


def evaluate(
    model_file: Path, dataset: Path | Sequence[Path], split: str, out: Path, name: str, *, parity: bool = True
) -> dict[str, Any]:
    """Compute the errors of one model on one split of a data set.

    Parameters
    ----------
    model_file : Path
        Frozen model (.pth) or checkpoint (.pt).
    dataset : Path or sequence of Path
        Data set folder, or single folders in deepmd/npy format.
    split : str
        ``train``, ``validation`` or ``test`` (not used when ``dataset`` is a sequence).
    out : Path
        Receives the folder ``<name>`` with ``evaluation.json`` and ``parity_{energy,force,virial}.csv`` (at most
        5000 rows each).
    name : str
        Label of the model in the result, e.g. ``zero_shot``.
    parity : bool
        Write the tables.

    Returns
    -------
    dict
        MAE and RMSE of energy (meV/atom), force components (meV/A) and virial components (meV/atom); the energy MAE
        also after the mean offset of each composition was removed; force MAE of every element; number of frames.

    Raises
    ------
    InputError
        No frames, no labels, or elements that the model does not know.
    FatalError
        The model answers with NaN.
    """
    systems = split_systems(dataset, split) if isinstance(dataset, Path) else list(dataset)
    if not systems:
        raise InputError(f"{dataset}: no {split} frames to evaluate {name} on")
    model = open_model(model_file)
    type_map = list(model.get_type_map())
    sums = _Sums(type_map)
    for system in systems:
        for frames in read_system(system, type_map):
            sums.add(frames, *predict(model, frames.types, frames.coord, frames.box))
    result = {"name": name, "split": split, **sums.result()}
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    if parity:
        write_csv(folder / "parity_energy.csv", _thin(sums.energy_rows), sums.energy_columns)
        write_csv(folder / "parity_force.csv", sums.force_rows(), sums.force_columns)
        write_csv(folder / "parity_virial.csv", _thin(sums.virial_rows), sums.virial_columns)
    write_json(folder / "evaluation.json", result)
    return result


class _Sums:
    """Collects differences over systems."""

    energy_columns = ("system", "formula", "label_eV_atom", "model_eV_atom")
    force_columns = ("system", "element", "label_eV_A", "model_eV_A")
    virial_columns = ("system", "formula", "label_eV_atom", "model_eV_atom")

    def __init__(self, type_map: Sequence[str]) -> None:
        self.type_map = list(type_map)
        self.energy: list[float] = []
        self.formula: list[str] = []
        self.virial: list[NDArray[np.float64]] = []
        self.force: list[tuple[str, NDArray[np.int_], NDArray[np.float64], NDArray[np.float64]]] = []
        self.energy_rows: list[dict[str, Any]] = []
        self.virial_rows: list[dict[str, Any]] = []

    def add(
        self, frames: SystemData, energy: NDArray[np.float64], force: NDArray[np.float64], virial: NDArray[np.float64]
    ) -> None:
        """Add the frames of one system."""
        if not (np.isfinite(energy).all() and np.isfinite(force).all()):
            raise FatalError(f"the model gives NaN or infinity on {frames.system}")
        n, formula = len(frames.types), _formula(frames.types, self.type_map)
        for i in range(len(energy)):
            label, value = frames.energy[i] / n, energy[i] / n
            self.energy.append(value - label)
            self.formula.append(formula)
            self.energy_rows.append(self._row(frames, label, value))
            if frames.virial is not None:
                pairs = zip(frames.virial[i].reshape(-1) / n, virial[i].reshape(-1) / n, strict=True)
                self.virial_rows += [self._row(frames, *both) for both in pairs]
        self.force.append((frames.system, np.tile(frames.types, (len(frames), 1)), frames.force, force))
        if frames.virial is not None:
            self.virial.append((virial - frames.virial).reshape(-1) / n)

    def _row(self, frames: SystemData, label: float, value: float) -> dict[str, Any]:
        return {
            "system": frames.system, "formula": self.formula[-1],
            "label_eV_atom": f"{label:.6f}", "model_eV_atom": f"{value:.6f}",
        }

    def force_rows(self) -> list[dict[str, Any]]:
        """Return one row per force component, thinned before the text is made."""
        total = sum(label.size for _, _, label, _ in self.force)
        stride = max(1, -(-total // MAX_ROWS))
        if stride % 3 == 0:
            stride += 1  # else only one Cartesian direction would be left
        rows = []
        start = 0
        for name, types, label, value in self.force:
            flat_types = np.repeat(types.reshape(-1), 3)
            for k in range((-start) % stride, label.size, stride):
                rows.append(
                    {"system": name, "element": self.type_map[flat_types[k]],
                     "label_eV_A": f"{label.reshape(-1)[k]:.5f}", "model_eV_A": f"{value.reshape(-1)[k]:.5f}"}
                )
            start += label.size
        return rows

    def result(self) -> dict[str, Any]:
        """Return the errors."""
        energy = np.array(self.energy) * 1000
        shifted = energy.copy()
        for formula in set(self.formula):
            mask = np.array([name == formula for name in self.formula])
            shifted[mask] -= energy[mask].mean()
        force = np.concatenate([(value - label).reshape(-1) for _, _, label, value in self.force]) * 1000
        virial = np.concatenate(self.virial) * 1000 if self.virial else None
        return {
            "n_frames": len(energy),
            "energy_mae_meV_atom": _mae(energy),
            "energy_rmse_meV_atom": _rmse(energy),
            "energy_offset_meV_atom": float(energy.mean()),
            "energy_mae_shifted_meV_atom": _mae(shifted),
            "force_mae_meV_A": _mae(force),
            "force_rmse_meV_A": _rmse(force),
            "virial_mae_meV_atom": None if virial is None else _mae(virial),
            "virial_rmse_meV_atom": None if virial is None else _rmse(virial),
            "force_mae_per_element_meV_A": self._per_element(),
        }

    def _per_element(self) -> dict[str, float]:
        parts: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
        for _, types, label, value in self.force:
            for k, element in enumerate(self.type_map):
                if (mask := types == k).any():
                    parts[element].append((value - label)[mask].reshape(-1) * 1000)
        return {element: _mae(np.concatenate(values)) for element, values in parts.items()}


def _mae(values: NDArray[np.float64]) -> float:
    return float(np.abs(values).mean())


def _rmse(values: NDArray[np.float64]) -> float:
    return float(np.sqrt((values**2).mean()))


def _formula(types: NDArray[np.int_], type_map: Sequence[str]) -> str:
    counts = np.bincount(types, minlength=len(type_map))
    return "".join(f"{name}{count}" for name, count in zip(type_map, counts, strict=True) if count)


def _thin(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    kept = list(rows)
    stride = max(1, -(-len(kept) // MAX_ROWS))
    return kept[::stride]
