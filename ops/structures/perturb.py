"""Seeded strain of cells and displacement of atoms: the first step of the workflow.

How the sampling covers 0 to about 2 GPa and up to 1200 K. The mean linear strain of the n copies of a cell is
stratified: in a seeded order, one copy in each of n equal parts of [-strain, strain]. With the default 0.03 the volumes
of even four copies therefore reach from below -4 % to above +4 %, and those of many fill -9 % to +9 %. To compress
Li2S, Li6PS5Cl, Li10GeP2S12 or Li4SnS4 by 3 % along each axis takes 1.7 to 3.6 GPa by CHGNet when the atoms follow (3.6
to 6.1 GPa in a copy as it is made, before its dynamics), lithium metal 1.1 to 1.7 GPa. Four copies are only certain to
reach half of that: use ten or more if pressure matters. The thermal expansion from 300 to 1200 K is 5 to 8 % in
volume at some 2e-5 to 3e-5 per K and axis, the value usual for sulfides. The shape (the rest of the strain tensor) is
drawn within the same bound. The displacements start the molecular dynamics off the symmetric positions; the amplitudes
of 1200 K (0.3 Angstrom and more) come from the dynamics itself, whose temperatures follow the copies in turn, or from
larger displacements of single elements (``element_displacement_A: {Li: 0.4}``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import write_json
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.structures.extxyz import read_frames, write_frames
from dpa_sse.ops.structures.neighbour_list import nearest_distances, neighbour_pairs
from dpa_sse.ops.structures.rounding import round_cell
from dpa_sse.ops.structures.settings import PerturbSettings
from dpa_sse.ops.structures.trajectory_names import trajectory_name

if TYPE_CHECKING:
    from ase import Atoms

KEPT_FRACTION = 0.8  # of the nearest-neighbour distance
LONGEST_CONTACT_A = 4.0
LARGEST_COMPRESSION = 0.15  # of any direction: with more, no displacement could keep the contacts
LARGEST_DISPLACEMENT_A = 3.0
ROUNDING_A = 1e-7  # more than rounding a cell can take from a distance
TRIES = 200


@dataclass(frozen=True)
class Contacts:
    """The pairs that a perturbation may bring too close, and how close they may come (Angstrom)."""

    i: np.ndarray
    j: np.ndarray
    vector: np.ndarray
    floor: np.ndarray


def perturb_atoms(
    atoms: Atoms, strain: float, displacement_A: float | np.ndarray, rng: np.random.Generator,
    contacts: Contacts | None = None, *, mean_strain: float | None = None, volume_preserving: bool = False,
    distribution: Literal["uniform", "normal"] = "uniform",
) -> Atoms:
    """Return a strained and displaced copy of a cell.

    Parameters
    ----------
    atoms : Atoms
        Periodic cell.
    strain : float
        The six components of the symmetric strain tensor are drawn from [-strain, strain].
    displacement_A : float or ndarray, shape (n,)
        Atoms move by vectors drawn uniformly from a ball of this radius, Angstrom; one for each atom if they differ.
    rng : numpy.random.Generator
        Random numbers.
    contacts : Contacts, optional
        ``find_contacts(atoms, displacement_A)``, to be reused for many perturbations of one cell.
    mean_strain : float, optional
        Mean of the three diagonal components, in [-strain, strain]; drawn with the rest by default.
    volume_preserving : bool
        Scale the strained cell to the volume it had (``mean_strain`` has no effect); no component of what results is
        larger than ``strain``.
    distribution : {"uniform", "normal"}
        ``normal``: displacements are normally distributed with a standard deviation of a third of ``displacement_A``
        along each axis, truncated at ``displacement_A``.

    Returns
    -------
    Atoms
        No pair of atoms is closer than the floor of ``contacts``, by default 0.8 of the smaller of their two
        original nearest-neighbour distances; violating draws are repeated. ``info`` is copied, a calculator
        is not.

    Raises
    ------
    InputError
        The amplitudes are too large to keep the distances.
    """
    radius = np.broadcast_to(np.asarray(displacement_A, float), len(atoms))
    if contacts is None:
        contacts = find_contacts(atoms, float(radius.max(initial=0.0)))
    deformation = _draw_shear(strain, rng) if volume_preserving else _draw_strain(strain, rng, mean_strain)
    draw = _draw_normal if distribution == "normal" else _draw_ball
    vectors = contacts.vector @ deformation
    moved = draw(radius, rng)
    for _ in range(TRIES):
        separation = vectors + moved[contacts.j] - moved[contacts.i]
        close = np.einsum("ij,ij->i", separation, separation) < contacts.floor**2
        if not close.any():
            break
        bad = np.unique(np.concatenate([contacts.i[close], contacts.j[close]]))
        moved[bad] = draw(radius[bad], rng)
    else:
        raise InputError(
            f"no perturbation with strain {strain:g} and displacement_A {radius.max():g} keeps the atoms apart: "
            "use smaller values"
        )
    result = atoms.copy()
    result.calc = None
    result.set_constraint()
    result.set_cell(atoms.cell.array @ deformation)
    result.positions = atoms.positions @ deformation + moved
    return round_cell(result)


def find_contacts(atoms: Atoms, displacement_A: float, min_distance_A: float = 0.0) -> Contacts:
    """Return the pairs of a cell that displacements up to ``displacement_A`` may bring too close.

    Parameters
    ----------
    atoms : Atoms
        Periodic cell.
    displacement_A : float
        Largest displacement, Angstrom.
    min_distance_A : float
        No pair may come closer than this, regardless of its original distance; Angstrom.

    Raises
    ------
    InputError
        The displacement is too large, or the cell itself has a shorter distance than ``min_distance_A``.
    """
    if displacement_A > LARGEST_DISPLACEMENT_A:
        raise InputError(f"displacement_A {displacement_A} is too large: use at most {LARGEST_DISPLACEMENT_A}")
    nearest = np.minimum(nearest_distances(atoms, LONGEST_CONTACT_A), LONGEST_CONTACT_A)
    shortest = float(nearest.min(initial=np.inf))
    if shortest < min_distance_A:
        raise InputError(
            f"min_distance_A {min_distance_A:g}: atoms of the cell itself are {shortest:.3f} Angstrom apart"
        )
    kept = max(KEPT_FRACTION * float(nearest.max(initial=0.0)), min_distance_A)
    i, j, shift, _ = neighbour_pairs(atoms, (kept + 2 * displacement_A) / (1 - LARGEST_COMPRESSION))
    floor = np.maximum(KEPT_FRACTION * np.minimum(nearest[i], nearest[j]), min_distance_A) + ROUNDING_A
    return Contacts(i, j, atoms.positions[j] + shift - atoms.positions[i], floor)


def perturb_copies(arrangements: Sequence[Atoms], settings: PerturbSettings, seed: int) -> Iterator[Atoms]:
    """Yield ``settings.count`` perturbed copies of a system, their mean strains stratified over the whole range.

    The copies are divided evenly among the arrangements of the system, the best one first. ``info`` of each: system,
    parent (the structure), operation, perturbation (index), trajectory (``Li2S.p003``; ``Li6PS5Br.a1.p003`` where there
    are several arrangements), composition, seed (of this copy).
    """
    system = str(arrangements[0].info.get("system", ""))
    amplitudes = settings.element_displacement_A
    start = -1
    order = np.random.default_rng(derive_seed(seed, "perturb", system, "order")).permutation(settings.count)
    for index in range(settings.count):
        if (arrangement := settings.arrangement_of(index, len(arrangements))) != start:
            start, cell = arrangement, arrangements[arrangement]
            radius = np.array([amplitudes.get(one, settings.displacement_A) for one in cell.get_chemical_symbols()])
            contacts = find_contacts(cell, float(radius.max(initial=0.0)), settings.min_distance_A)
        own_seed = derive_seed(seed, "perturb", system, index)
        rng = np.random.default_rng(own_seed)
        mean = settings.strain * (2 * (int(order[index]) + rng.random()) / settings.count - 1)
        atoms = perturb_atoms(
            cell, settings.strain, radius, rng, contacts, mean_strain=mean,
            volume_preserving=settings.volume_preserving, distribution=settings.distribution,
        )
        atoms.info["parent"] = cell.info.get("structure", system)
        atoms.info.update(
            operation="perturb", perturbation=index, seed=own_seed,
            trajectory=trajectory_name(system, arrangement if len(arrangements) > 1 else None, index),
            composition=cell.get_chemical_formula("hill"),
        )
        yield atoms


def perturb_cells(cells_file: Path, settings: PerturbSettings, seed: int, out: Path) -> int:
    """Write one task folder per perturbed cell and return their number.

    Parameters
    ----------
    cells_file : Path
        extxyz with the cell of each system, ``info["system"]`` naming it, or its arrangements one after the other.
    settings : PerturbSettings
        Count per system and amplitudes.
    seed : int
        Seed of the project.
    out : Path
        Receives ``task.000/cell.extxyz`` ..., numbered system by system, with the ``info`` of
        :func:`perturb_copies`.

    Returns
    -------
    int
        Number of systems times ``settings.count``.
    """
    cells = read_frames(cells_file)
    if not cells:
        raise InputError(f"{cells_file}: no cell in it")
    grouped = [list(group) for _, group in itertools.groupby(cells, lambda cell: str(cell.info.get("system", "")))]
    systems = [str(group[0].info.get("system", "")) for group in grouped]
    most = max(map(len, grouped))
    if "" in systems or len(set(systems)) < len(systems) or most > settings.arrangements:
        found = [str(cell.info.get("system", "")) for cell in cells]
        listed = ", ".join(map(repr, found[:5])) + (" ..." if len(found) > 5 else "")
        raise InputError(
            f"{cells_file}: every cell needs its own info['system'], found {listed} (`dpa-sse structures build FILE` "
            "names the cell of a file)"
        )
    _check_elements(cells, settings)
    number = 0
    for arrangements in grouped:
        for atoms in perturb_copies(arrangements, settings, seed):
            write_frames(out / f"task.{number:03d}" / "cell.extxyz", [atoms])
            number += 1
    write_json(out / "perturb.json", {"systems": systems, "count": settings.count, "tasks": number})
    return number


def _check_elements(cells: list[Atoms], settings: PerturbSettings) -> None:
    """Refuse amplitudes of elements that are in no cell."""
    held = {symbol for cell in cells for symbol in cell.get_chemical_symbols()}
    unknown = sorted(set(settings.element_displacement_A) - held)
    if unknown:
        there = ", ".join(sorted(held))
        raise InputError(f"element_displacement_A: {', '.join(unknown)} not in any cell (elements: {there})")


def _draw_strain(strain: float, rng: np.random.Generator, mean: float | None = None) -> np.ndarray:
    """Return I + a random symmetric strain that compresses no direction beyond the limit."""
    for _ in range(TRIES):
        components = rng.uniform(-strain, strain, 6)
        if mean is not None:  # the deviations from it share the remaining range
            deviation = components[:3] - components[:3].mean()
            largest, room = float(np.abs(deviation).max()), strain - abs(mean)
            components[:3] = mean + deviation * min(1.0, room / largest if largest > 0 else 0.0)
        xx, yy, zz, yz, xz, xy = components
        tensor = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        if strain * 3 < LARGEST_COMPRESSION or np.linalg.eigvalsh(tensor)[0] > -LARGEST_COMPRESSION:
            return np.eye(3) + tensor
        mean = None if mean is None else max(mean, -LARGEST_COMPRESSION / 2)
    raise InputError(f"strain {strain} is too large: every draw compresses the cell too much")


def _draw_shear(strain: float, rng: np.random.Generator) -> np.ndarray:
    """Return I + a random symmetric strain that keeps the volume, its components within the bound."""
    tensor = _draw_strain(strain, rng, 0.0) - np.eye(3)
    for _ in range(TRIES):
        deformation = np.eye(3) + tensor
        deformation /= np.cbrt(np.linalg.det(deformation))  # can raise components slightly above the bound
        excess = float(np.abs(deformation - np.eye(3)).max()) / strain if strain > 0 else 0.0
        if excess <= 1.0:
            break
        tensor /= excess + 1e-6
    return deformation


def _draw_ball(radius: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return vectors distributed uniformly in balls, shape (len(radius), 3)."""
    count = len(radius)
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return direction * (radius[:, None] * np.cbrt(rng.random((count, 1))))


def _draw_normal(radius: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return normally distributed vectors, none longer than its radius (three standard deviations)."""
    drawn = rng.normal(size=(len(radius), 3))
    while (far := np.einsum("ij,ij->i", drawn, drawn) > 9.0).any():
        drawn[far] = rng.normal(size=(int(far.sum()), 3))
    return drawn * (radius[:, None] / 3)
