"""G6: is there a repulsive wall everywhere: pairs pushed together, compressed cells, rattled cells that relax."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.md.monitor import CLOSEST, Geometry
from dpa_sse.ops.structures.host_lattice import covalent_sums
from dpa_sse.ops.validation.gates.base import Array, GateSettings, Measurement, Potential, Reference, Value

if TYPE_CHECKING:
    from ase import Atoms

DIRECTIONS = 200
"""Directions of approach among which the one with the most room is chosen."""
DIMER_BOX_A = 30.0
FALL_EV = 0.1
"""A path that falls by less than this is not taken to give way."""
ROOMY = 0.8
"""Volume of the lowest energy, in that of the given cell, down to which a cell that is too large is not a hole."""
ROOMY_EV = 0.2
"""Per atom: what a fifth of the volume costs at a bulk modulus of 80 GPa and 20 A^3 per atom. Sulfides are softer."""
BELOW_EV = 0.5
"""A bond deeper than this below the crystal is a hole."""


def measure(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> Measurement:
    """Push pairs together in the crystal and in vacuum, compress cells, relax rattled ones."""
    found = Measurement()
    _pairs(model, structures, settings, found)
    _dimers(model, structures, settings, found)
    _compressed(model, reference.potential, structures, settings, found)
    _relaxed(model, structures, settings, found)
    return found


def _pairs(
    model: Potential, structures: Sequence[Atoms], settings: GateSettings, found: Measurement
) -> None:
    """Push two atoms of each pair together in the crystal, and find how high above it the potential gives way.

    A single path is a draw: most miss a hole that others find, and a good potential has an odd one that ends in a bond.
    The median of several approaches, all but the first one in displaced cells, is what counts.
    """
    pairs: dict[tuple[str, str], list[Approach]] = {}
    for atoms in structures:
        cells = _displaced(atoms, settings)
        starts = [float(model.of_atoms([one]).energy[0]) for one in cells]
        symbols = sorted(set(atoms.get_chemical_symbols()))
        for pair in itertools.combinations_with_replacement(symbols, 2):
            if pair not in pairs and (own := _approaches(model, cells, starts, pair, settings)):
                pairs[pair] = own
    if not pairs:
        found.missing["hole_height"] = "no two atoms of the structures can be pushed together"
        return
    highest = settings.protocol["highest_eV"]
    hole, end = (highest, ""), (np.inf, "")
    for pair, own in pairs.items():
        name = "-".join(pair)
        tops = np.array([highest if one.top is None else min(highest, one.top) for one in own])
        height = float(np.median(tops))
        gave = [one for one in own if one.top is not None]
        if gave:
            found.notes.append(
                f"{name}: gives way in {len(gave)} of {len(own)} approaches, at {float(tops.min()):.2f} eV above the "
                "crystal or more"
            )
        if height < highest:
            hole = min(hole, (height, name))
        elif len(gave) < len(own):
            end = min(end, (float(np.median([one.energy[-1] for one in own if one.top is None])), name))
        typical = own[int(np.argmin(np.abs(tops - height)))]
        found.table += [{"pair": name, "point": k, "energy_eV": float(one)} for k, one in enumerate(typical.energy)]
    none = "the end of the scan, no pair gives way"
    found.values["hole_height"] = Value(hole[0], None, len(pairs), where=hole[1] or none)
    if end[1]:
        found.values["wall_end"] = Value(end[0], None, len(pairs), where=end[1])
    if not hole[1]:
        share = settings.protocol["to_share"]
        found.notes.append(f"no pair gives way down to {share:g} of the sum of its covalent radii, in the median")


class Approach(NamedTuple):
    """Energies of a path on which two atoms meet, above the crystal, eV; ``top``: see :func:`gives_way`."""

    energy: Array
    top: float | None


def _displaced(atoms: Atoms, settings: GateSettings) -> list[Atoms]:
    """Return the cell, and copies with random displacements: one for each approach."""
    cells = [atoms]
    for k in range(1, settings.count("approaches")):
        rng = np.random.default_rng(derive_seed(settings.seed, "displaced", k))
        cells.append(atoms.copy())
        cells[-1].positions += rng.normal(0, settings.protocol["approach_rattle_A"], atoms.positions.shape)
    return cells


def _approaches(
    model: Potential, cells: Sequence[Atoms], starts: Sequence[float], pair: tuple[str, str], settings: GateSettings
) -> list[Approach]:
    protocol = settings.protocol
    shares = np.arange(protocol["from_share"], protocol["to_share"] - 1e-9, -protocol["step_share"])
    found = []
    for k, (atoms, start) in enumerate(zip(cells, starts, strict=True)):
        seed = derive_seed(settings.seed, "approach", *pair, *([k] if k else []))
        path = _approach(atoms, pair, shares, settings.mobile, seed)
        if path is not None:
            box = np.repeat(atoms.cell.array[None], len(path), axis=0)
            energy = model.evaluate(atoms.get_chemical_symbols(), path, box).energy - start
            found.append(Approach(energy, gives_way(energy)))
    return found


def gives_way(energy: Array) -> float | None:
    """Return how high a path of approach is where the potential gives way; None if it never does.

    The path may first go down into the minimum of a bond, if that is not below the crystal by more than ``BELOW_EV``.
    From there on, a fall by more than ``FALL_EV`` is a hole, and so is an energy that is not a number.

    Parameters
    ----------
    energy : ndarray
        Relative to the crystal, eV, from far to near.
    """
    finite = np.isfinite(energy)
    values = energy[: int(np.argmin(finite))] if not finite.all() else energy
    if not len(values):
        return 0.0
    tops = np.maximum.accumulate(values)
    falls = np.flatnonzero(values < tops - FALL_EV)
    if len(falls):
        first = int(falls[0])
        bond = first
        while bond + 1 < len(values) and values[bond + 1] <= values[bond]:
            bond += 1
        into_bond = tops[first] - values[0] <= FALL_EV and values[bond] > -BELOW_EV and bond < len(values) - 1
        if not into_bond:
            return float(tops[first])
        rest = np.maximum.accumulate(values[bond:])
        again = np.flatnonzero(values[bond:] < rest - FALL_EV)
        if len(again):
            return float(rest[again[0]])
    return None if finite.all() else float(values.max())


def _approach(
    atoms: Atoms, pair: tuple[str, str], shares: Array, mobile: Sequence[str], seed: int
) -> Array | None:
    """Return positions in which an atom of one element comes ever nearer to one of another.

    The nearest pair approaches along its own line where no third atom is in the way; else one of the two is taken out
    of its place and brought to the other one from the side with the most room.
    """
    symbols = np.array(atoms.get_chemical_symbols())
    best: tuple[float, int, int] | None = None
    for one in np.flatnonzero(symbols == pair[0]).tolist():
        others = np.flatnonzero(symbols == pair[1])
        others = others[others != one]
        if len(others):
            distance = atoms.get_distances(one, others, mic=True)
            k = int(np.argmin(distance))
            if best is None or distance[k] < best[0]:
                best = (float(distance[k]), one, int(others[k]))
    if best is None:
        return None
    _, centre, mover = best
    if symbols[centre] in mobile and symbols[mover] not in mobile:
        centre, mover = mover, centre
    radius = float(covalent_sums(list(pair))[0, 1])
    line = atoms.get_distance(centre, mover, mic=True, vector=True)
    length = float(np.linalg.norm(line))
    near = shares[shares * radius < length]
    if not len(near):  # they are fused already
        return None
    steps = np.concatenate([np.linspace(length, near[0] * radius, 12, endpoint=False), near * radius])
    path = atoms.positions[centre] + steps[:, None] * line / length
    if _room(atoms, path, centre, mover, str(symbols[mover])) > 1:
        return _moved(atoms, mover, path)
    rng = np.random.default_rng(seed)
    unit = rng.normal(size=(DIRECTIONS, 3))
    unit /= np.linalg.norm(unit, axis=1)[:, None]
    rooms = [
        _room(atoms, (atoms.positions[centre] + shares[0] * radius * one)[None], centre, mover, str(symbols[mover]))
        for one in unit
    ]
    best_unit = unit[int(np.argmax(rooms))]
    return _moved(atoms, mover, atoms.positions[centre] + shares[:, None] * radius * best_unit)


def _moved(atoms: Atoms, mover: int, path: Array) -> Array:
    positions = np.repeat(atoms.positions[None], len(path), axis=0)
    positions[:, mover] = path
    return positions


def _room(atoms: Atoms, path: Array, centre: int, mover: int, element: str) -> float:
    """Return the smallest distance of a path to third atoms, over three quarters of the sum of covalent radii."""
    rest = [k for k in range(len(atoms)) if k not in (centre, mover)]
    if not rest:
        return np.inf
    symbols = atoms.get_chemical_symbols()
    radii = 0.75 * covalent_sums([element, *(symbols[k] for k in rest)])[0, 1:]
    shift = (path[:, None] - atoms.positions[rest][None]) @ np.linalg.inv(atoms.cell.array)
    distance = np.linalg.norm((shift - np.rint(shift)) @ atoms.cell.array, axis=-1)
    return float((distance / radii).min())


def _dimers(
    model: Potential, structures: Sequence[Atoms], settings: GateSettings, found: Measurement
) -> None:
    """Count pairs of isolated atoms that attract each other at short distance, or have two minima."""
    elements = sorted({symbol for atoms in structures for symbol in atoms.get_chemical_symbols()})
    odd = []
    for pair in itertools.combinations_with_replacement(elements, 2):
        radius = float(covalent_sums(list(pair))[0, 1])
        distances = np.linspace(0.6, 3.0, settings.count("dimer_points"))
        places = np.zeros((len(distances), 2, 3))
        places[:, 1, 0] = distances
        cells = np.repeat(np.eye(3)[None] * DIMER_BOX_A, len(distances), axis=0)
        energy = model.evaluate(list(pair), places, cells).energy
        near = distances <= 0.75 * radius
        falls = np.diff(energy) < -1e-3
        if not np.isfinite(energy).all() or (~falls[near[1:]]).any():
            odd.append("-".join(pair))
    pairs = len(elements) * (len(elements) + 1) // 2
    found.values["dimer_exceptions"] = Value(float(len(odd)), None, pairs, where=", ".join(odd))


def _compressed(
    model: Potential, reference: Potential | None, structures: Sequence[Atoms], settings: GateSettings,
    found: Measurement,
) -> None:
    """Compress cells uniformly: the energy must rise with every step below 95 % of the volume.

    A cell may be larger than that of the lowest energy: as much as it is for the reference, or, without one, down to
    :data:`ROOMY` of its volume and by :data:`ROOMY_EV` per atom.
    """
    falls, where, steps = 0, "", 0
    volumes = np.arange(0.95, settings.protocol["lowest_volume"] - 1e-9, -0.05)
    for atoms in structures:
        energy = _energies(model, atoms, volumes)
        bad = _not_rising(energy)
        steps += len(bad)
        first = int(np.argmin([*bad, False]))  # where it begins to rise
        allowed = int((volumes > ROOMY + 1e-9).sum())
        if reference is not None and 0 < first <= allowed:
            allowed = int(np.argmin([*_not_rising(_energies(reference, atoms, volumes[: first + 1])), False]))
        elif first and energy[0] - energy[first] > ROOMY_EV * len(atoms):
            allowed = 0
        if 0 < first <= allowed:
            bad[:first] = False
            found.notes.append(
                f"the cell is larger than that of the lowest energy, which is at {volumes[first]:.2f} of its volume"
            )
        if bad.any():
            falls += int(bad.sum())
            where = where or f"{volumes[int(np.argmax(bad)) + 1]:.2f} of the volume"
    found.values["compression_falls"] = Value(float(falls), None, steps, where=where)


def _energies(potential: Potential, atoms: Atoms, volumes: Array) -> Array:
    """Return the energies of uniformly compressed cells, eV."""
    scale = volumes ** (1 / 3)
    cells = atoms.cell.array[None] * scale[:, None, None]
    positions = atoms.positions[None] * scale[:, None, None]
    return potential.evaluate(atoms.get_chemical_symbols(), positions, cells).energy


def _not_rising(energy: Array) -> NDArray[np.bool_]:
    """Return for each step whether the energy fails to rise."""
    return np.asarray(~(np.diff(energy) > 0))


def _relaxed(
    model: Potential, structures: Sequence[Atoms], settings: GateSettings, found: Measurement
) -> None:
    """Relax rattled cells at fixed shape: none may fall below the relaxed start, and no atoms may fuse."""
    deepest, fused, total = 0.0, 0, 0
    for number, atoms in enumerate(structures):
        rng = np.random.default_rng(derive_seed(settings.seed, "wall", number))
        count = max(2, settings.count("rattled") // len(structures))
        moved = np.repeat(atoms.positions[None], count + 1, axis=0)
        moved[1:] += rng.normal(0, settings.protocol["rattle_A"], moved[1:].shape)
        places, energy = relax(
            model, atoms.get_chemical_symbols(), moved, atoms.cell.array, settings.count("relax_steps")
        )
        geometry = Geometry(atoms.get_chemical_symbols())
        below = (energy[1:] - energy[0]) / len(atoms) * 1000
        deepest = min(deepest, float(np.nan_to_num(below, nan=-np.inf).min()))
        fused += sum(geometry.measure(atoms.cell.array, one)[0] < CLOSEST for one in places)
        total += count
    found.values["depth_of_relaxed"] = Value(deepest, None, total)
    found.values["fused_cells"] = Value(float(fused), None, total)


def relax(
    potential: Potential, symbols: Sequence[str], positions: Array, cell: Array, steps: int
) -> tuple[Array, Array]:
    """Relax copies of a cell at fixed shape with FIRE (Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006)), all at once.

    Parameters
    ----------
    potential : Potential
    symbols : sequence of str
    positions : ndarray, shape (n, N, 3)
    cell : ndarray, shape (3, 3)
    steps : int

    Returns
    -------
    tuple of ndarray
        Positions (n, N, 3), and the lowest energy that each copy had, (n,), eV; NaN if it was not a number.
    """
    n = len(positions)
    x, v = positions.copy(), np.zeros_like(positions)
    dt, mixing, good = np.full(n, 0.1), np.full(n, 0.1), np.zeros(n, int)
    cells = np.repeat(cell[None], n, axis=0)
    lowest = np.full(n, np.inf)
    for _ in range(steps):
        labels = potential.evaluate(symbols, x, cells)
        force = np.nan_to_num(labels.force, nan=0.0, posinf=0.0, neginf=0.0)
        lowest = np.where(np.isfinite(labels.energy), np.minimum(lowest, labels.energy), np.nan)
        power = (force * v).sum(axis=(1, 2))
        downhill = power > 0
        size_v, size_f = (np.sqrt((one**2).sum(axis=(1, 2), keepdims=True)) for one in (v, force))
        mixed = (1 - mixing[:, None, None]) * v + mixing[:, None, None] * force / np.maximum(size_f, 1e-12) * size_v
        v = np.where(downhill[:, None, None], mixed, 0.0)
        good = np.where(downhill, good + 1, 0)
        dt = np.where(downhill, np.where(good > 5, np.minimum(dt * 1.1, 1.0), dt), dt * 0.5)
        mixing = np.where(downhill, np.where(good > 5, mixing * 0.99, mixing), 0.1)
        v = v + dt[:, None, None] * force
        shift = dt[:, None, None] * v
        far = np.sqrt((shift**2).sum(axis=-1)).max(axis=1)
        x = x + shift * np.minimum(1.0, 0.2 / np.maximum(far, 1e-12))[:, None, None]
    return x, lowest
