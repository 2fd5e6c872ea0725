"""Labels from a DeePMD-kit model, e.g. the teacher of a distillation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.data.convert import with_results
from dpa_sse.ops.data.frames import type_indices
from dpa_sse.ops.labelers.base import LabelResult, SettingsProblem, one_line
from dpa_sse.ops.labelers.dynamics import CalculatorLabeler
from dpa_sse.ops.labelers.model_level import model_level
from dpa_sse.ops.labelers.settings import DeepmdSettings
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.ops.runtime.versions import installed

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

SUFFIXES = (".pth", ".pt", ".pt2")


class DeepmdLabeler(CalculatorLabeler[DeepmdSettings]):
    """The labeler of kind ``deepmd``; the model is loaded once per process."""

    settings_class = DeepmdSettings
    image = "deepmd"
    code = "DeePMD-kit"
    example = "{kind: deepmd, model: teacher.pth}"

    def __init__(self, settings: DeepmdSettings) -> None:
        super().__init__(settings)
        self.batch = settings.batch
        self._model: Any = None
        self._level: LevelOfTheory | None = None

    def label(self, frames: Sequence[Atoms], work: Path) -> list[LabelResult]:
        """Label frames; those of one composition go through the model together."""
        if self._model is None:
            self._model = self._open()
        known = set(self._model.get_type_map())
        results: list[LabelResult] = [_unknown_elements(atoms, known) for atoms in frames]
        for members in _equal_compositions(frames, [k for k, result in enumerate(results) if not result.reason]):
            for index, result in zip(members, self._label_together([frames[k] for k in members]), strict=True):
                results[index] = result
        return results

    def level(self, frames: Sequence[Atoms]) -> LevelOfTheory:
        """Return the hash of the model file, its branch, and the version of DeePMD-kit."""
        if self._level is None:
            self._level = model_level(*self._file())
        return self._level

    def calculator(self, work: Path | None = None) -> Calculator:
        """Return DeePMD-kit's ASE calculator."""
        from dpa_sse.ops.potential.inference import limit_deepmd_threads

        path, head = self._file()
        limit_deepmd_threads()
        from deepmd.calculator import DP

        try:
            return DP(str(path), head=head)
        except Exception as error:  # torch, zip, deepmd: anything, for a wrong file or branch
            raise FatalError(f"labeler deepmd: {path.name} cannot be used: {one_line(error)}") from error

    @classmethod
    def versions(cls, settings: DeepmdSettings) -> dict[str, str]:
        """Return the versions of DeePMD-kit and PyTorch."""
        return installed(["deepmd-kit", "torch"])

    @classmethod
    def problems(cls, settings: DeepmdSettings, type_map: Sequence[str], base_dir: Path) -> Iterator[SettingsProblem]:
        """Yield what is wrong with the model file; its headers are read only."""
        path = base_dir / Path(settings.model).expanduser()
        if path.suffix not in SUFFIXES:
            yield ("model",), f"{settings.model} is not a model of the PyTorch backend ({', '.join(SUFFIXES)})"
        elif not path.is_file():
            yield ("model",), f"{settings.model} does not exist"
        elif fault := _file_fault(path, settings):
            yield fault
        if settings.head and path.suffix in (".pth", ".pt2"):
            yield ("head",), (
                f"a frozen {path.suffix} model has one branch only: remove head, or give the checkpoint (.pt)"
            )

    def _file(self) -> tuple[Path, str | None]:
        from dpa_sse.ops.potential.inference import branch_of

        path = Path(self.settings.model)
        return path, self.settings.head or (branch_of(path) if path.suffix == ".pt" else None)

    def _open(self) -> Any:
        from dpa_sse.ops.potential.inference import open_model

        try:
            return open_model(self._file()[0], self._file()[1])
        except InputError as error:
            raise FatalError(f"labeler deepmd: {error}") from error
        except Exception as error:  # torch, zip, deepmd: anything, for a wrong file or branch
            raise FatalError(f"labeler deepmd: {self._file()[0].name} cannot be used: {one_line(error)}") from error

    def _label_together(self, frames: Sequence[Atoms]) -> Iterator[LabelResult]:
        """Label frames of one composition, whose atoms may come in different orders."""
        order = [np.argsort(atoms.numbers, kind="stable") for atoms in frames]
        values = predict_atoms(self._model, [atoms[index] for atoms, index in zip(frames, order, strict=True)])
        for atoms, index, energy, sorted_forces, virial in zip(frames, order, *values, strict=True):
            if not (np.isfinite(energy) and np.isfinite(sorted_forces).all() and np.isfinite(virial).all()):
                yield LabelResult(None, "failed", "the model returned NaN or infinite numbers")
                continue
            forces = np.empty_like(sorted_forces)
            forces[index] = sorted_forces
            stress = -(virial + virial.T) / 2 / atoms.get_volume()
            yield LabelResult(with_results(atoms, energy, forces, stress))


def predict_atoms(
    model: Any, frames: Sequence[Atoms]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return energy (F,) in eV, forces (F, N, 3) in eV/A and virial (F, 3, 3) in eV of frames with the same atoms.

    Raises
    ------
    InputError
        The model does not know an element.
    """
    from dpa_sse.ops.potential.inference import predict

    types = type_indices(frames[0].get_chemical_symbols(), list(model.get_type_map()), "the teacher's model")
    coord = np.array([atoms.positions for atoms in frames])
    box = np.array([atoms.cell.array for atoms in frames])
    return predict(model, types, coord, box)


def _unknown_elements(atoms: Atoms, known: set[str]) -> LabelResult:
    missing = sorted(set(atoms.symbols) - known)
    reason = f"the model does not know {', '.join(missing)}; it knows {', '.join(sorted(known))}" if missing else ""
    return LabelResult(None, "failed", reason)


def _equal_compositions(frames: Sequence[Atoms], chosen: Sequence[int]) -> list[list[int]]:
    groups: dict[bytes, list[int]] = defaultdict(list)
    for index in chosen:
        groups[np.sort(frames[index].numbers).tobytes()].append(index)
    return list(groups.values())


def _file_fault(path: Path, settings: DeepmdSettings) -> SettingsProblem | None:
    """Return why a model file cannot be a labeler: unreadable, or several branches and none named; None if it can."""
    from dpa_sse.ops.potential.describe import choose_branch, describe_model
    from dpa_sse.ops.potential.inference import branch_of

    try:
        model = describe_model(path)
        if model.kind == "checkpoint":
            choose_branch(model, settings.head or branch_of(path) or "")
    except InputError as error:
        key = "head" if settings.head else "model"
        return (key,), f"{settings.model}: {str(error).removeprefix(f'{path}: ')}"
    return None
