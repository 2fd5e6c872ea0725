"""Errors of a model on labelled frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.core.files import write_csv
from dpa_sse.ops.core.intervals import blocks_of, mean_with_interval
from dpa_sse.ops.data.dataset import level_of, read_dataset
from dpa_sse.ops.data.frames import SystemData, type_indices
from dpa_sse.ops.data.near import Frames, distances_to
from dpa_sse.ops.data.npy import read_system, split_systems
from dpa_sse.ops.potential.inference import open_model, predict
from dpa_sse.ops.results.dataset import DatasetInfo
from dpa_sse.ops.results.evaluation import PARITY_COLUMNS, Evaluation, TrajectoryErrors
from dpa_sse.ops.results.level import LevelOfTheory

MAX_ROWS = 5000


def evaluate(
    model_file: Path, dataset: Path | Sequence[Path], split: str, out: Path, name: str, *, parity: bool = True,
    level: LevelOfTheory | None = None,
) -> Evaluation:
    """Compute the errors of one model on one split of a data set.

    Parameters
    ----------
    model_file : Path
        Frozen model (.pth) or checkpoint (.pt).
    dataset : Path or sequence of Path
        Data set folder, or individual deepmd/npy folders.
    split : str
        ``train``, ``validation`` or ``test`` (ignored when ``dataset`` is a sequence).
    out : Path
        Receives the folder ``<name>`` with ``evaluation.json`` and ``parity_{energy,force,virial}.csv`` (at most
        5000 rows each).
    name : str
        Label of the model in the result, e.g. ``zero_shot``.
    parity : bool
        Write the tables.
    level : LevelOfTheory, optional
        Of the labels in individual folders; a data set records its own.

    Returns
    -------
    Evaluation

    Raises
    ------
    InputError
        There are no frames or no labels, or the model does not know an element.
    FatalError
        The model predicts NaN or infinity.
    """
    systems = split_systems(dataset, split) if isinstance(dataset, Path) else list(dataset)
    if not systems:
        raise InputError(f"{dataset}: no {split} frames to evaluate {name} on")
    model = open_model(model_file)
    type_map = list(model.get_type_map())
    sums = _Sums(type_map)
    training = named_blocks(dataset, "train", type_map) if isinstance(dataset, Path) and split != "train" else []
    for frames in named_blocks(dataset, split, type_map):
        sums.add(frames, *predict(model, frames.types, frames.coord, frames.box))
        sums.distance.append(_distances(frames, training))
    result = sums.evaluation(name, split, level_of(dataset) if isinstance(dataset, Path) else level)
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    if parity:
        rows: dict[str, Sequence[Mapping[str, Any]]] = {
            "energy": _thin(sums.energy_rows), "force": sums.force_rows(), "virial": _thin(sums.virial_rows),
        }
        for quantity, columns in PARITY_COLUMNS.items():
            write_csv(folder / f"parity_{quantity}.csv", rows[quantity], columns)
    result.write(folder)
    return result


class _Sums:
    """Differences between prediction and label, collected over systems."""

    def __init__(self, type_map: Sequence[str]) -> None:
        self.type_map = list(type_map)
        self.energy: list[float] = []
        self.formula: list[str] = []
        self.virial: list[NDArray[np.float64]] = []
        self.force: list[tuple[str, NDArray[np.int_], NDArray[np.float64], NDArray[np.float64]]] = []
        self.labels: list[SystemData] = []
        self.distance: list[NDArray[np.float64]] = []
        self.energy_rows: list[dict[str, Any]] = []
        self.virial_rows: list[dict[str, Any]] = []

    def add(
        self, frames: SystemData, energy: NDArray[np.float64], force: NDArray[np.float64], virial: NDArray[np.float64]
    ) -> None:
        """Add the frames of one system."""
        if not (np.isfinite(energy).all() and np.isfinite(force).all()):
            raise FatalError(f"the model predicts NaN or infinity on {frames.system}")
        self.labels.append(frames)
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
        """Return one row per force component, at most ``MAX_ROWS`` of them."""
        total = sum(label.size for _, _, label, _ in self.force)
        stride = max(1, -(-total // MAX_ROWS))
        if stride % 3 == 0:
            stride += 1  # otherwise only one Cartesian direction would remain
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

    def evaluation(self, name: str, split: str, level: LevelOfTheory | None) -> Evaluation:
        """Return the errors."""
        energy = np.array(self.energy) * 1000
        shifted = energy.copy()
        for formula in set(self.formula):
            mask = np.array([one == formula for one in self.formula])
            shifted[mask] -= energy[mask].mean()
        force = np.concatenate([(value - label).reshape(-1) for _, _, label, value in self.force]) * 1000
        virial = np.concatenate(self.virial) * 1000 if self.virial else None
        return Evaluation(
            name=name,
            split=split,
            n_frames=len(energy),
            energy_mae_meV_atom=_mae(energy),
            energy_rmse_meV_atom=_rmse(energy),
            energy_offset_meV_atom=float(energy.mean()),
            energy_mae_shifted_meV_atom=_mae(shifted),
            force_mae_meV_A=_mae(force),
            force_rmse_meV_A=_rmse(force),
            virial_mae_meV_atom=None if virial is None else _mae(virial),
            virial_rmse_meV_atom=None if virial is None else _rmse(virial),
            force_mae_per_element_meV_A=self._per_element(),
            **self._intervals(),
            trajectories=tuple(self._trajectories()),
            level=level,
        )

    def _frames(self) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return for each frame its trajectory, energy error (meV/atom), sum of force errors (meV/A), components."""
        names = [f"{block.system}\t{name}" for block in self.labels for name in block.trajectories]
        forces = [np.abs(value - label).sum(axis=(1, 2)) * 1000 for _, _, label, value in self.force]
        counts = [np.full(len(label), label[0].size, float) for _, _, label, _ in self.force]
        return names, np.abs(self.energy) * 1000, np.concatenate(forces), np.concatenate(counts)

    def _intervals(self) -> dict[str, tuple[float, float] | None]:
        names, energy, force, components = self._frames()
        blocks = blocks_of(names)

        def interval(sums: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float] | None:
            return mean_with_interval(np.bincount(blocks, sums), np.bincount(blocks, weights))[1]

        ones = np.ones(len(energy))
        virial = None
        if sum(map(len, self.virial)) == 9 * len(energy):
            virial = np.abs(np.concatenate(self.virial)).reshape(-1, 9).sum(axis=1) * 1000
        return {
            "energy_mae_ci95_meV_atom": interval(energy, ones), "force_mae_ci95_meV_A": interval(force, components),
            "virial_mae_ci95_meV_atom": None if virial is None else interval(virial, 9 * ones),
        }

    def _trajectories(self) -> Iterator[TrajectoryErrors]:
        names, energy, force, components = self._frames()
        distance = np.concatenate(self.distance)
        temperature = np.concatenate([
            np.full(len(block), np.nan) if block.temperatures_K is None else block.temperatures_K
            for block in self.labels
        ])
        for key in dict.fromkeys(names):
            own = np.array([name == key for name in names])
            system, _, trajectory = key.partition("\t")
            first, nearest = float(temperature[own][0]), float(distance[own].min())
            yield TrajectoryErrors(
                system=system, trajectory=trajectory, temperature_K=first if np.isfinite(first) else None,
                n_frames=int(own.sum()), energy_mae_meV_atom=_mae(energy[own]),
                force_mae_meV_A=float(force[own].sum() / components[own].sum()),
                force_components=int(components[own].sum()),
                distance_to_training_A=nearest if np.isfinite(nearest) else None,
            )

    def _per_element(self) -> dict[str, float]:
        parts: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
        for _, types, label, value in self.force:
            for k, element in enumerate(self.type_map):
                if (mask := types == k).any():
                    parts[element].append((value - label)[mask].reshape(-1) * 1000)
        return {element: _mae(np.concatenate(values)) for element, values in parts.items()}


def named_blocks(dataset: Path | Sequence[Path], split: str, type_map: Sequence[str]) -> list[SystemData]:
    """Return the frames of a split in the type map of a model; trajectories are named where the data set names them.

    Raises
    ------
    InputError
        The model does not know an element.
    """
    info = DatasetInfo.read_if_there(dataset) if isinstance(dataset, Path) else None
    if info is None or not isinstance(dataset, Path):
        systems = split_systems(dataset, split) if isinstance(dataset, Path) else dataset
        return [block for system in systems for block in read_system(system, type_map)]
    own, blocks = read_dataset(dataset)
    chosen = [
        (entry.path, block) for entry, block in zip(info.systems, blocks, strict=True)
        if block.split == split and len(block)
    ]
    return [
        replace(block, types=type_indices([own[k] for k in block.types], type_map, block.system))
        for _, block in sorted(chosen, key=lambda pair: dataset / pair[0])
    ]


def _distances(frames: SystemData, training: Sequence[SystemData]) -> NDArray[np.float64]:
    """Return the distance of each frame to the nearest training frame, A; infinity where none has the same atoms."""
    alike = [block for block in training if np.array_equal(block.types, frames.types)]
    return distances_to(Frames.of([frames]), Frames.of(alike)) if alike else np.full(len(frames), np.inf)


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
