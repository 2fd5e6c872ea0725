"""Seeded strain of cells and displacement of atoms: the first step of the workflow.

How the sampling covers pressure and temperature: sulfide electrolytes have bulk moduli of 10 to 50 GPa, so a
linear strain of 0.03 (some 9 % in volume) spans -2 to 2 GPa and more, and the thermal expansion up to 1200 K; the
displacements start the molecular dynamics off the symmetric positions, the temperature itself does the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ops.errors import InputError
from ops.files import write_json
from ops.seeds import derive_seed
from ops.structures.distances import nearest_distances, neighbour_pairs
from ops.structures.extxyz import read_frames, write_frames
from ops.structures.settings import PerturbSettings

if TYPE_CHECKING:
    from ase import Atoms

KEPT_FRACTION = 0.8  # of the nearest-neighbour distance
LONGEST_CONTACT_A = 4.0
LARGEST_COMPRESSION = 0.15  # of any direction: with more, no displacement could keep the contacts
LARGEST_DISPLACEMENT_A = 3.0
TRIES = 200


@dataclass(frozen=True)
class Contacts:
    """The pairs that a perturbation may bring too close, and how close they may come (Angstrom)."""

    i: np.ndarray
    j: np.ndarray
    vector: np.ndarray
    floor: np.ndarray


def perturb_atoms(
    atoms: Atoms, strain: float, displacement_A: float, rng: np.random.Generator, contacts: Contacts | None = None
) -> Atoms:
    """Return a strained and displaced copy of a cell.

    Parameters
    ----------
    atoms : Atoms
        Periodic cell.
    strain : float
        The six components of the symmetric strain tensor are drawn from [-strain, strain].
    displacement_A : float
        Atoms move by vectors drawn uniformly from a ball of this radius, Angstrom.
    rng : numpy.random.Generator
        Random numbers.
    contacts : Contacts, optional
        ``find_contacts(atoms, displacement_A)``, to be reused for many perturbations of one cell.

    Returns
    -------
    Atoms
        No pair of atoms is closer than 0.8 of the smaller of their two original nearest-neighbour
        distances; draws that violate this are repeated. ``info`` is copied, a calculator is not.

    Raises
    ------
    InputError
        The amplitudes are so large that the distances can not be kept.
    """
    if contacts is None:
        contacts = find_contacts(atoms, displacement_A)
    deformation = _draw_strain(strain, rng)
    vectors = contacts.vector @ deformation
    moved = _draw_ball(len(atoms), displacement_A, rng)
    for _ in range(TRIES):
        separation = vectors + moved[contacts.j] - moved[contacts.i]
        close = np.einsum("ij,ij->i", separation, separation) < contacts.floor**2
        if not close.any():
            break
        bad = np.unique(np.concatenate([contacts.i[close], contacts.j[close]]))
        moved[bad] = _draw_ball(len(bad), displacement_A, rng)
    else:
        raise InputError(
            f"no perturbation with strain {strain} and displacement_A {displacement_A} keeps the atoms apart: "
            "take smaller ones"
        )
    result = atoms.copy()
    result.calc = None
    result.set_constraint()
    result.set_cell(atoms.cell.array @ deformation)
    result.positions = atoms.positions @ deformation + moved
    return result


def find_contacts(atoms: Atoms, displacement_A: float) -> Contacts:
    """Return the pairs of a cell that displacements up to ``displacement_A`` may bring too close."""
    if displacement_A > LARGEST_DISPLACEMENT_A:
        raise InputError(f"displacement_A {displacement_A} is too large: take at most {LARGEST_DISPLACEMENT_A}")
    nearest = np.minimum(nearest_distances(atoms, LONGEST_CONTACT_A), LONGEST_CONTACT_A)
    reach = (KEPT_FRACTION * float(nearest.max(initial=0.0)) + 2 * displacement_A) / (1 - LARGEST_COMPRESSION)
    i, j, shift, _ = neighbour_pairs(atoms, reach)
    floor = KEPT_FRACTION * np.minimum(nearest[i], nearest[j])
    return Contacts(i, j, atoms.positions[j] + shift - atoms.positions[i], floor)


def perturb_cells(cells_file: Path, settings: PerturbSettings, seed: int, out: Path) -> int:
    """Write one task folder per perturbed cell and return their number.

    Parameters
    ----------
    cells_file : Path
        extxyz with one cell per system, ``info["system"]`` naming it.
    settings : PerturbSettings
        Count per system and amplitudes.
    seed : int
        Seed of the project.
    out : Path
        Receives ``task.000/cell.extxyz`` ..., numbered system by system. ``info``: system, parent (the
        structure), perturbation (index), trajectory (``Li2S.p003``), seed.

    Returns
    -------
    int
        Number of systems times ``settings.count``.
    """
    cells = read_frames(cells_file)
    if not cells:
        raise InputError(f"{cells_file}: holds no cell")
    systems = [str(cell.info.get("system", "")) for cell in cells]
    if "" in systems or len(set(systems)) < len(systems):
        raise InputError(f"{cells_file}: every cell needs its own info['system'], found {systems}")
    number = 0
    for system, cell in zip(systems, cells, strict=True):
        contacts = find_contacts(cell, settings.displacement_A)
        for index in range(settings.count):
            own_seed = derive_seed(seed, "perturb", system, index)
            rng = np.random.default_rng(own_seed)
            atoms = perturb_atoms(cell, settings.strain, settings.displacement_A, rng, contacts)
            atoms.info["parent"] = atoms.info.get("structure", system)
            atoms.info.update(perturbation=index, trajectory=f"{system}.p{index:03d}", seed=own_seed)
            write_frames(out / f"task.{number:03d}" / "cell.extxyz", [atoms])
            number += 1
    write_json(out / "perturb.json", {"systems": systems, "count": settings.count, "tasks": number})
    return number


def _draw_strain(strain: float, rng: np.random.Generator) -> np.ndarray:
    """Return I + a random symmetric strain that compresses no direction by more than the limit."""
    for _ in range(TRIES):
        components = rng.uniform(-strain, strain, 6)
        xx, yy, zz, yz, xz, xy = components
        tensor = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        if strain * 3 < LARGEST_COMPRESSION or np.linalg.eigvalsh(tensor)[0] > -LARGEST_COMPRESSION:
            return np.eye(3) + tensor
    raise InputError(f"strain {strain} is too large: no draw keeps the cell sound")


def _draw_ball(count: int, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Return ``count`` vectors distributed uniformly in a ball, shape (count, 3)."""
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return direction * (radius * np.cbrt(rng.random((count, 1))))
