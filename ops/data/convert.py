"""Conversion between labelled ASE frames and :class:`SystemData` blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.frames import SystemData, merge_blocks, type_indices
from dpa_sse.ops.results.dataset import Split

if TYPE_CHECKING:
    from ase import Atoms

SAME_VIRIAL = 1e-9  # relative: rounding, not a choice between two values


def frames_to_blocks(frames: Iterable[Atoms], type_map: Sequence[str], split: Split = "train") -> list[SystemData]:
    """Convert labelled frames to blocks.

    Parameters
    ----------
    frames : iterable of Atoms
        With energy (eV), forces (eV/A) and, where known, stress (eV/A^3, ASE sign) in the calculator;
        ``info["system"]`` names the system, ``info["trajectory"]`` the trajectory.
    type_map : sequence of str
        Elements of the project.
    split : str
        train, validation or test.

    Raises
    ------
    InputError
        An element outside the type map, or a frame without labels.
    """
    return merge_blocks([_block(atoms, type_map, split) for atoms in frames])


def virial_of(atoms: Atoms) -> np.ndarray | None:
    """Return the virial of a labelled frame, eV, shape (3, 3): minus stress times volume, deepmd's sign.

    ``info["virial"]`` is the same quantity. It is used if the frame has no stress or if it agrees with the stress: not
    having been divided by the volume, it keeps its last bit. None if neither is known.
    """
    given = atoms.info.get("virial")
    given = None if given is None or np.size(given) != 9 else np.asarray(given, float).reshape(3, 3)
    if atoms.calc is None or "stress" not in atoms.calc.results:
        return given
    from_stress = virial_of_stress(np.asarray(atoms.calc.results["stress"], float), atoms.get_volume())
    return given if given is not None and same_virial(given, from_stress, SAME_VIRIAL) else from_stress


def same_virial(given: np.ndarray, from_stress: np.ndarray, tolerance: float) -> bool:
    """Return whether two virials (eV) agree; a stress of six numbers has the symmetric part only."""
    difference = (given + given.T - from_stress - from_stress.T) / 2
    return float(np.abs(difference).max()) < tolerance * max(1.0, float(np.abs(from_stress).max()))


def virial_of_stress(stress: np.ndarray, volume: float) -> np.ndarray:
    """Return the virial in eV for an ASE stress in eV/A^3, shape (6,) or (3, 3)."""
    from ase.stress import voigt_6_to_full_3x3_stress

    return -(stress.reshape(3, 3) if stress.size == 9 else voigt_6_to_full_3x3_stress(stress)) * volume


def with_results(atoms: Atoms, energy: float, forces: np.ndarray, stress: np.ndarray) -> Atoms:
    """Return a labelled copy of ``atoms``.

    Parameters
    ----------
    atoms : Atoms
        Positions, cell and info are copied.
    energy : float
        eV.
    forces : ndarray, shape (n, 3)
        eV/A.
    stress : ndarray, shape (6,) or (3, 3)
        eV/A^3, positive when the cell tends to contract (ASE); the virial is -stress * volume.
    """
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.stress import full_3x3_to_voigt_6_stress

    stress = np.asarray(stress, float)
    labelled = atoms.copy()
    labelled.calc = SinglePointCalculator(
        labelled, energy=float(energy), forces=np.array(forces, float),
        stress=full_3x3_to_voigt_6_stress(stress) if stress.shape == (3, 3) else stress.copy(),
    )
    return labelled


def block_to_frames(block: SystemData, type_map: Sequence[str]) -> list[Atoms]:
    """Return the frames of a block as labelled ASE atoms; ``info["virial"]`` holds the virial to its last bit."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    frames = []
    symbols = [type_map[k] for k in block.types]
    for k in range(len(block)):
        atoms = Atoms(symbols, positions=block.coord[k], cell=block.box[k], pbc=True)
        atoms.info.update(system=block.system, trajectory=block.trajectories[k])
        if block.temperatures_K is not None and np.isfinite(block.temperatures_K[k]):
            atoms.info["temperature_K"] = float(block.temperatures_K[k])
        if block.virial is not None:
            atoms = with_results(atoms, block.energy[k], block.force[k], -block.virial[k] / atoms.get_volume())
            atoms.info["virial"] = block.virial[k].copy()
        else:
            atoms.calc = SinglePointCalculator(atoms, energy=float(block.energy[k]), forces=block.force[k])
        frames.append(atoms)
    return frames


def _block(atoms: Atoms, type_map: Sequence[str], split: Split) -> SystemData:
    results = atoms.calc.results if atoms.calc is not None else {}
    name = str(atoms.info.get("system", atoms.get_chemical_formula("metal", empirical=True)))
    if "energy" not in results or "forces" not in results:
        raise InputError(f"a frame of {name} has no energy and forces")
    virial, temperature = virial_of(atoms), atoms.info.get("temperature_K")
    return SystemData(
        system=name, split=split, types=type_indices(atoms.get_chemical_symbols(), type_map, name),
        coord=atoms.positions[None].copy(), box=atoms.cell.array[None].copy(),
        energy=np.array([float(results["energy"])]), force=np.asarray(results["forces"], float)[None].copy(),
        virial=None if virial is None else virial[None],
        trajectories=[str(atoms.info.get("trajectory", name))],
        temperatures_K=None if temperature is None else np.array([float(temperature)]),
    )
