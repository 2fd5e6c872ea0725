"""G10: the barrier of a hop into a vacancy, by nudged elastic bands, against the reference.

A mobile ion is taken out, and its nearest neighbour of the same kind hops into its place. Both potentials relax the
ends and the band by themselves; the forces are compared along the band of the reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dpa_sse.ops.validation.gates.base import (
    NEEDS_LABELS,
    Array,
    GateSettings,
    Measurement,
    Potential,
    Reference,
    Value,
)
from dpa_sse.ops.validation.gates.calculator import STEP_A, GateCalculator, NotNumbersError, relaxed

if TYPE_CHECKING:
    from ase import Atoms

LENGTH_STEP_A = 0.1
"""Hops whose lengths differ by less, between sites that are alike, are one hop."""
OTHER_STATE_A = 1.0
"""An end that moves an atom by more than this has relaxed into another state."""


class Hop(NamedTuple):
    """The ends of a hop: the same atoms in the same order; ``ion`` hops over ``length_A``."""

    start: Atoms
    end: Atoms
    ion: int
    length_A: float


class Band(NamedTuple):
    """A converged band: its images, their energies (n,) and forces (n, N, 3), the largest force that is left."""

    images: list[Atoms]
    energy: Array
    force: Array
    left_eV_A: float

    @property
    def barriers(self) -> tuple[float, float]:
        """Of the hop from the first to the last image, and back, meV."""
        there, back = (float(self.energy.max() - self.energy[end]) * 1000 for end in (0, -1))
        return there, back


class OtherStateError(Exception):
    """A potential relaxes an end of a hop into another state."""


def measure(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> Measurement:
    """Compare barriers, and forces along the band of the reference, of the shortest hops of the structures."""
    if reference.potential is None:
        return Measurement(not_run=NEEDS_LABELS)
    found = Measurement()
    errors: list[tuple[float, str]] = []
    forces: list[Array] = []
    hops = [
        (str(atoms.info.get("system") or atoms.get_chemical_formula()), hop)
        for atoms in structures for hop in shortest_hops(atoms, settings)
    ]
    if not hops:
        return Measurement(not_run=(
            f"the structures have no two neighbouring sites of a mobile ion ({', '.join(settings.mobile)}) within "
            f"{settings.protocol['longest_A']:g} A"
        ))
    open_ends = []
    for name, hop in hops:
        title = f"{name}, {hop.start.get_chemical_symbols()[hop.ion]} over {hop.length_A:.2f} A"
        try:
            theirs = _band(reference.potential, hop, settings)
            if isinstance(theirs, str):
                open_ends.append(f"{title}: the reference {theirs}")
                continue
        except (NotNumbersError, OtherStateError) as error:
            found.missing["barrier_error"] = f"{title}: the reference: {error}"
            continue
        forces.append(_of_ion(model.of_atoms(theirs.images).force - theirs.force, hop.ion))
        try:
            own = _band(model, hop, settings, theirs.images)
        except (NotNumbersError, OtherStateError) as error:  # the reference has a path here: it is the model that fails
            found.broken["barrier_error"] = f"{title}: the model {error}"
            continue
        if isinstance(own, str):
            open_ends.append(f"{title}: the model {own}")
            continue
        errors += [
            (mine - other, f"{title}{way}")
            for mine, other, way in zip(own.barriers, theirs.barriers, ("", ", back"), strict=True)
        ]
        found.notes.append(
            f"{title}: barriers there and back {_in_words(own.barriers)} meV, of the reference "
            f"{_in_words(theirs.barriers)} meV"
        )
        found.table += _rows(title, own, theirs)
    if open_ends and "barrier_error" not in found.broken:
        found.missing["barrier_error"] = "; ".join(open_ends)
    if forces:
        found.values["path_force_mae"] = Value(float(np.concatenate(forces).mean()), None, len(forces))
    if errors and not found.missing and not found.broken:
        worst = max(errors, key=lambda one: abs(one[0]))
        found.values["barrier_error"] = Value(worst[0], None, len(errors) // 2, where=worst[1])
    return found


def _of_ion(difference: Array, ion: int) -> Array:
    """Return the errors of the forces on the hopping ion, meV/A: the other atoms, at rest, would hide them."""
    return np.asarray(np.abs(difference[:, ion]).ravel() * 1000)


def _in_words(barriers: tuple[float, float]) -> str:
    return " and ".join(f"{one:.0f}" for one in barriers)


def _rows(title: str, own: Band, theirs: Band) -> Iterator[dict[str, object]]:
    for k, (mine, other) in enumerate(zip(own.energy, theirs.energy, strict=True)):
        yield {
            "hop": title, "image": k, "model_eV": float(mine - own.energy[0]),
            "reference_eV": float(other - theirs.energy[0]),
        }


def shortest_hops(atoms: Atoms, settings: GateSettings) -> list[Hop]:
    """Return the shortest hops of mobile ions into a vacancy of their kind, each kind of hop once.

    Two hops are of one kind if they are equally long and their sites are alike by the symmetry of the cell.
    """
    from dpa_sse.ops.structures.neighbour_list import neighbour_pairs

    wide = _wide(atoms, settings.protocol["width_A"])
    symbols = np.array(wide.get_chemical_symbols())
    longest = settings.protocol["longest_A"]
    mobile = np.flatnonzero(np.isin(symbols, settings.mobile))
    if len(mobile) < 2:
        return []
    first, second, shift, distance = neighbour_pairs(wide, longest)
    kinds = _equivalent(wide)
    seen: set[tuple[object, ...]] = set()
    found = []
    for k in np.argsort(distance, kind="stable"):
        i, j = int(first[k]), int(second[k])
        if i == j or symbols[i] != symbols[j] or i not in mobile:
            continue
        length = float(distance[k])
        kind = (*sorted((kinds[i], kinds[j])), round(length / LENGTH_STEP_A))
        if kind in seen:
            continue
        seen.add(kind)
        found.append(_hop(wide, i, j, wide.positions[j] + shift[k] - wide.positions[i]))
        if len(found) == settings.count("hops"):
            break
    return found


def _wide(atoms: Atoms, width_A: float) -> Atoms:
    """Return the cell repeated along its vectors, so that a vacancy is that far from its images."""
    from dpa_sse.ops.structures.neighbour_list import face_distances

    repeats = np.ceil(width_A / face_distances(atoms.cell.array) - 1e-6).astype(int)
    return atoms.repeat(tuple(int(one) for one in np.maximum(1, repeats)))


def _equivalent(atoms: Atoms) -> list[int]:
    import spglib

    found = spglib.get_symmetry_dataset(
        (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=0.01
    )
    return list(range(len(atoms))) if found is None else [int(one) for one in found.equivalent_atoms]


def _hop(atoms: Atoms, ion: int, vacancy: int, vector: Array) -> Hop:
    start, end = atoms.copy(), atoms.copy()
    end.positions[ion] += vector
    for one in (start, end):
        del one[vacancy]
    return Hop(start, end, ion - (vacancy < ion), float(np.linalg.norm(vector)))


def _band(
    potential: Potential, hop: Hop, settings: GateSettings, images: Sequence[Atoms] = ()
) -> Band | str:
    """Return the converged band of a hop, or why there is none.

    Parameters
    ----------
    potential : Potential
    hop : Hop
    settings : GateSettings
    images : sequence of Atoms
        A band to start from; by default the ends are interpolated.

    Raises
    ------
    NotNumbersError, OtherStateError
    """
    from ase.mep import NEB
    from ase.optimize import FIRE

    wanted, steps = settings.protocol["force_eV_A"], settings.count("steps")
    ends = []
    for name, atoms in (("start", images[0] if images else hop.start), ("end", images[-1] if images else hop.end)):
        end, left = relaxed(potential, atoms, wanted, steps)
        if left > wanted:
            return f"does not relax the {name} in {steps} steps ({left:.2g} eV/A are left)"
        if (far := _moved(end, atoms)) > OTHER_STATE_A:
            raise OtherStateError(f"relaxes the {name} into another state (an atom moves by {far:.1f} A)")
        ends.append(end)
    number = settings.count("images")
    chain = [ends[0], *(one.copy() for one in (images[1:-1] or [ends[0]] * number)), ends[1]]
    for one in chain:
        one.calc = GateCalculator(potential)
    band = NEB(chain, k=0.2, climb=False, method="improvedtangent")
    if not images:
        band.interpolate(method="idpp", mic=True)
    for climb in (False, True):
        band.climb = climb
        FIRE(band, logfile=None, maxstep=STEP_A).run(fmax=wanted if climb else 3 * wanted, steps=steps)
    left = float(np.sqrt((band.get_forces() ** 2).sum(axis=1)).max())
    if left > wanted:
        return f"finds no path in {steps} steps ({left:.2g} eV/A are left)"
    plain = [one.copy() for one in chain]
    labels = potential.of_atoms(plain)
    return Band(plain, labels.energy, labels.force, left)


def _moved(one: Atoms, other: Atoms) -> float:
    return float(np.linalg.norm(one.positions - other.positions, axis=1).max())
