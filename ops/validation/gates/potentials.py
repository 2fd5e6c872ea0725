"""Potentials behind gates: model files of DeePMD-kit, labelers, and changed ones for the calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.potential.inference import MOST_ATOMS, descriptors, open_model, predict
from dpa_sse.ops.validation.gates.base import Array, Labels, Potential

if TYPE_CHECKING:
    from dpa_sse.ops.labelers.base import Labeler


class DeepPotential(Potential):
    """A model of DeePMD-kit.

    Parameters
    ----------
    path : Path
    branch : str
        Of a multi-task checkpoint.
    """

    def __init__(self, path: Path, branch: str = "") -> None:
        try:
            self.model: Any = open_model(path, branch or None)
        except InputError:
            raise
        except Exception as error:  # torch, zip, deepmd: anything, for a damaged file
            text = " ".join(str(error).split())[:300]
            raise InputError(f"{path}: DeePMD-kit cannot open it ({type(error).__name__}: {text})") from error
        super().__init__(path.name, self.model.get_type_map())
        self._index = {element: k for k, element in enumerate(self.elements)}

    def evaluate(self, symbols: Sequence[str], positions: Array, cells: Array) -> Labels:
        """Return the labels of frames of the same atoms; see :meth:`Potential.evaluate`."""
        types = np.array([self._index[symbol] for symbol in symbols])
        size = max(1, MOST_ATOMS // len(types))
        parts = [
            predict(self.model, types, positions[k : k + size], cells[k : k + size])
            for k in range(0, len(positions), size)
        ]
        return Labels(*(np.concatenate(one) for one in zip(*parts, strict=True)))

    def descriptors(self, symbols: Sequence[str], positions: Array, cells: Array) -> Array | None:
        """Return the descriptors of the atoms of frames; see :meth:`Potential.descriptors`."""
        types = np.array([self._index[symbol] for symbol in symbols])
        return descriptors(self.model, types, positions, cells)


class LabelerPotential(Potential):
    """A labeler, frame by frame; a frame that it cannot label is NaN.

    Parameters
    ----------
    labeler : Labeler
    name : str
    elements : sequence of str
        Of the structures: a labeler does not say which ones it knows.
    work : Path
        Folder for its files.
    """

    def __init__(self, labeler: Labeler[Any], name: str, elements: Sequence[str], work: Path) -> None:
        super().__init__(name, elements)
        self.labeler, self.work = labeler, work
        self.refused: list[str] = []

    def evaluate(self, symbols: Sequence[str], positions: Array, cells: Array) -> Labels:
        """Return the labels of frames of the same atoms; see :meth:`Potential.evaluate`."""
        from ase import Atoms

        frames = []
        for k in range(len(positions)):
            frames.append(Atoms(symbols, positions=positions[k], cell=cells[k], pbc=True))
            frames[-1].info["frame"] = k
        n = len(frames)
        found = Labels(np.full(n, np.nan), np.full(positions.shape, np.nan), np.full((n, 3, 3), np.nan))
        for k, result in enumerate(self.labeler.label(frames, self.work)):
            if result.atoms is None:
                self.refused.append(result.reason)
                continue
            found.energy[k] = result.atoms.get_potential_energy()
            found.force[k] = result.atoms.get_forces()
            try:
                stress = result.atoms.get_stress(voigt=False)
            except Exception:  # noqa: S112  (a labeler without stress: the virial stays NaN)
                continue
            found.virial[k] = -stress * result.atoms.get_volume()
        return found


class Scaled(Potential):
    """A potential whose energies, forces and virials are multiplied by a number."""

    def __init__(self, inner: Potential, factor: float) -> None:
        super().__init__(f"{inner.name} x {factor:g}", inner.elements)
        self.inner, self.factor = inner, factor

    def evaluate(self, symbols: Sequence[str], positions: Array, cells: Array) -> Labels:
        """Return the labels of frames of the same atoms; see :meth:`Potential.evaluate`."""
        return Labels(*(self.factor * values for values in self.inner.evaluate(symbols, positions, cells)))


class Relabelled(Potential):
    """A potential that takes some elements for others: a wrong type map."""

    def __init__(self, inner: Potential, taken_for: Mapping[str, str]) -> None:
        words = ", ".join(f"{one} as {other}" for one, other in taken_for.items() if one != other)
        super().__init__(f"{inner.name} ({words})", inner.elements)
        self.inner, self.taken_for = inner, dict(taken_for)

    def evaluate(self, symbols: Sequence[str], positions: Array, cells: Array) -> Labels:
        """Return the labels of frames of the same atoms; see :meth:`Potential.evaluate`."""
        return self.inner.evaluate([self.taken_for.get(one, one) for one in symbols], positions, cells)


class Holed(Potential):
    """A potential with a hole in its wall: atoms nearer than a share of their covalent radii attract each other.

    The addition to the energy of a pair is -depth (1 - (r/r0)^2)^3 below r0, smooth at r0.
    """

    def __init__(self, inner: Potential, depth_eV: float, share: float) -> None:
        super().__init__(f"{inner.name} with a hole", inner.elements)
        self.inner, self.depth_eV, self.share = inner, depth_eV, share

    def evaluate(self, symbols: Sequence[str], positions: Array, cells: Array) -> Labels:
        """Return the labels of frames of the same atoms; see :meth:`Potential.evaluate`."""
        from dpa_sse.ops.structures.host_lattice import covalent_sums

        found = self.inner.evaluate(symbols, positions, cells)
        energy, force, virial = (values.copy() for values in found)
        radii = self.share * covalent_sums(list(symbols))
        for k in range(len(positions)):
            shift = positions[k][None] - positions[k][:, None]
            reduced = shift @ np.linalg.inv(cells[k])
            vector = (reduced - np.rint(reduced)) @ cells[k]
            distance = np.sqrt((vector**2).sum(axis=-1)) + 1e9 * np.eye(len(symbols))
            inside = np.clip(1 - (distance / radii) ** 2, 0, None)
            energy[k] -= 0.5 * self.depth_eV * (inside**3).sum()
            slope = 6 * self.depth_eV * inside**2 * distance / radii**2  # dE/dr: positive, an attraction
            pair = (slope / distance)[..., None] * vector
            force[k] += pair.sum(axis=1)
            virial[k] -= 0.5 * np.einsum("ija,ijb->ab", pair, vector)
        return Labels(energy, force, virial)
