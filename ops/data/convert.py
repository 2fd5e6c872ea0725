"""Between labelled ASE frames and deepmd blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ops.data.dataset import SystemData, merge_blocks
from ops.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms


def frames_to_blocks(frames: Iterable[Atoms], type_map: Sequence[str], split: str = "train") -> list[SystemData]:
    """Return labelled frames as blocks.

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


def virial_of(atoms: Atoms) -> np.ndarray:
    """Return the virial of a labelled frame, eV, shape (3, 3): minus stress times volume, deepmd's sign."""
    from ase.stress import voigt_6_to_full_3x3_stress

    stress = np.asarray(atoms.calc.results["stress"], float)
    return -(stress if stress.shape == (3, 3) else voigt_6_to_full_3x3_stress(stress)) * atoms.get_volume()


def block_to_frames(block: SystemData, type_map: Sequence[str]) -> list[Atoms]:
    """Return the frames of a block as labelled ASE atoms."""
    from ase import Atoms

    from ops.labelers.base import with_results

    frames = []
    symbols = [type_map[k] for k in block.types]
    for k in range(len(block)):
        atoms = Atoms(symbols, positions=block.coord[k], cell=block.box[k], pbc=True)
        atoms.info.update(system=block.system, trajectory=block.trajectories[k])
        if block.virial is not None:
            frames.append(
                with_results(atoms, block.energy[k], block.force[k], -block.virial[k] / atoms.get_volume())
            )
        else:
            from ase.calculators.singlepoint import SinglePointCalculator

            atoms.calc = SinglePointCalculator(atoms, energy=float(block.energy[k]), forces=block.force[k])
            frames.append(atoms)
    return frames


def _block(atoms: Atoms, type_map: Sequence[str], split: str) -> SystemData:
    results = atoms.calc.results if atoms.calc is not None else {}
    name = str(atoms.info.get("system", atoms.get_chemical_formula("metal", empirical=True)))
    if "energy" not in results or "forces" not in results:
        raise InputError(f"a frame of {name} carries no energy and forces")
    index = {element: k for k, element in enumerate(type_map)}
    outside = sorted(set(atoms.get_chemical_symbols()) - set(index))
    if outside:
        raise InputError(f"{name}: element {', '.join(outside)} is not in type_map [{', '.join(type_map)}]")
    return SystemData(
        system=name, split=split, types=np.array([index[s] for s in atoms.get_chemical_symbols()]),
        coord=atoms.positions[None].copy(), box=atoms.cell.array[None].copy(),
        energy=np.array([float(results["energy"])]), force=np.asarray(results["forces"], float)[None].copy(),
        virial=virial_of(atoms)[None] if "stress" in results else None,
        trajectories=[str(atoms.info.get("trajectory", name))],
    )
