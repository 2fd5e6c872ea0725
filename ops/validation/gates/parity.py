"""G3: is what is deployed the model that was trained, with the symmetries of physics and the right elements."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from math import perm
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.errors import MissingProgramError, PipelineError
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.validation.gates.base import Array, GateSettings, Labels, Measurement, Potential, Reference, Value
from dpa_sse.ops.validation.gates.lammps_point import mpirun
from dpa_sse.ops.validation.gates.shared import FrameSet, held_out

if TYPE_CHECKING:
    from ase import Atoms

MOST_MAPS = 150
"""All assignments of elements are tried up to this number, else exchanges of two only."""
TYPE_MAP_FRAMES = 3
TINY_EV_A = 1e-9
"""Errors below are those of a potential that is the reference itself."""


def measure(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> Measurement:
    """Compare the files of the model with each other and with LAMMPS; test symmetries and the order of the elements."""
    found = Measurement()
    atoms = structures[0]
    frames = _rattled(atoms, settings)
    own = model.of_atoms(frames)
    _files(model, frames, own, settings, found)
    _ase(model, frames[0], own, settings, found)
    _lammps(frames, own, settings, found)
    _symmetries(model, atoms, frames[0], settings, found)
    _elements(model, reference, structures, settings, found)
    return found


def _rattled(atoms: Atoms, settings: GateSettings) -> list[Atoms]:
    """Return displaced copies of a cell."""
    frames = []
    for k in range(settings.count("frames")):
        frames.append(atoms.copy())
        rng = np.random.default_rng(derive_seed(settings.seed, "parity", k))
        frames[-1].positions += rng.normal(0, settings.protocol["rattle_A"], atoms.positions.shape)
    return frames


def _put(found: Measurement, name: str, energy: Array, force: float, atoms: int, n: int) -> None:
    found.values[f"{name}_force"] = Value(force, None, n)
    found.values[f"{name}_energy"] = Value(float(np.abs(energy).max()) / atoms * 1000, None, n)


def _files(
    model: Potential, frames: Sequence[Atoms], own: Labels, settings: GateSettings, found: Measurement
) -> None:
    """Compare checkpoint, frozen and compressed file; the model under test is one of them."""
    from dpa_sse.ops.validation.gates.potentials import DeepPotential

    files = settings.files
    labels: dict[str, Labels] = {}
    for name in ("checkpoint", "frozen", "compressed"):
        path = getattr(files, name)
        if path is not None:
            same = DeepPotential(path, files.branch if name == "checkpoint" else "")
            if same.elements != model.elements:
                found.values["element_order"] = Value(0.0, None, 1, where=path.name)
                found.notes.append(f"{path.name}: elements {' '.join(same.elements)}, not {' '.join(model.elements)}")
            labels[name] = same.of_atoms(frames)
    pairs = {"frozen": ("frozen", "checkpoint"), "compressed": ("compressed", "frozen")}
    for name, (one, usual) in pairs.items():
        other = usual if usual in labels else "checkpoint"
        if one in labels and other in labels:
            difference = float(np.abs(labels[one].force - labels[other].force).max())
            _put(found, name, labels[one].energy - labels[other].energy, difference, len(frames[0]), len(frames))
        else:
            lacking = one if one not in labels else usual
            for quantity in ("force", "energy"):
                found.missing[f"{name}_{quantity}"] = f"there is no {lacking} model to compare"


def _ase(model: Potential, atoms: Atoms, own: Labels, settings: GateSettings, found: Measurement) -> None:
    """Compare with DeePMD-kit's ASE calculator, stress included."""
    path = settings.files.deployed or settings.files.checkpoint
    if path is None:
        found.missing["ase_force"] = found.missing["ase_stress"] = "the model has no file"
        return
    from deepmd.calculator import DP

    work = atoms.copy()
    branch = settings.files.branch if path == settings.files.checkpoint else ""
    work.calc = DP(str(path), head=branch or None)
    found.values["ase_force"] = Value(float(np.abs(work.get_forces() - own.force[0]).max()), None, 1)
    stress = -(own.virial[0] + own.virial[0].T) / 2 / atoms.get_volume()
    wrong = float(np.abs(work.get_stress(voigt=False) - stress).max())
    found.values["ase_stress"] = Value(wrong, None, 1)


def _lammps(frames: Sequence[Atoms], own: Labels, settings: GateSettings, found: Measurement) -> None:
    """Compare with LAMMPS on one rank, and on two where MPI can start them."""
    names = {1: "lammps", 2: "lammps_two_ranks"}
    path, work = settings.files.deployed, settings.work
    why = ""
    if path is None:
        why = "LAMMPS runs frozen models, and there is none"
    elif work is None:
        why = "no folder was given for the files of LAMMPS"
    if why or path is None or work is None:
        found.missing.update({f"{name}_{what}": why for name in names.values() for what in ("force", "energy")})
        return
    for ranks, name in names.items():
        problem = _no_ranks() if ranks > 1 else ""
        place = found.missing
        if not problem:
            try:
                _lammps_once(path, frames, own, work / f"lammps.{ranks}", ranks, name, found)
            except MissingProgramError as error:
                problem = str(error).splitlines()[0]
            except PipelineError as error:
                problem, place = str(error).splitlines()[0], found.broken
        if problem:
            place.update({f"{name}_{what}": problem for what in ("force", "energy")})


def _no_ranks() -> str:
    return "" if mpirun() else "there is no mpirun on this machine to start two ranks"


def _lammps_once(
    path: Path, frames: Sequence[Atoms], own: Labels, work: Path, ranks: int, name: str, found: Measurement
) -> None:
    """Compare with one LAMMPS run."""
    from dpa_sse.ops.validation.gates.lammps_point import lammps_labels

    chosen = list(frames[:2])
    known = sorted({one for atoms in chosen for one in atoms.get_chemical_symbols()})
    energy, forces = lammps_labels(path, chosen, known, work, ranks)
    force = float(np.max([np.abs(forces[k] - own.force[k]).max() for k in range(len(chosen))]))  # keeps a NaN
    _put(found, name, energy - own.energy[: len(chosen)], force, len(chosen[0]), len(chosen))


def _symmetries(
    model: Potential, start: Atoms, atoms: Atoms, settings: GateSettings, found: Measurement
) -> None:
    """Test rotation, translation, permutation, and that two cells have twice the energy of one."""
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(derive_seed(settings.seed, "symmetry"))
    own = model.of_atoms([atoms])
    n = len(atoms)
    turned = {}
    matrix = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    rotated = atoms.copy()
    rotated.set_cell(atoms.cell.array @ matrix.T)
    rotated.positions = atoms.positions @ matrix.T
    turned["rotation"] = (model.of_atoms([rotated]), lambda force: force @ matrix)
    moved = atoms.copy()
    moved.positions += rng.uniform(0, 1, 3) @ atoms.cell.array
    moved.wrap()
    turned["translation"] = (model.of_atoms([moved]), lambda force: force)
    order = rng.permutation(n)
    back = np.argsort(order)
    turned["permutation"] = (model.of_atoms([atoms[order]]), lambda force: force[back])
    forces = [float(np.abs(undo(labels.force[0]) - own.force[0]).max()) for labels, undo in turned.values()]
    energies = [abs(float(labels.energy[0] - own.energy[0])) / n * 1000 for labels, _ in turned.values()]
    worst = int(np.argmax(forces))  # that of a NaN, if there is one
    found.values["symmetry_force"] = Value(forces[worst], None, len(turned), where=list(turned)[worst])
    found.values["symmetry_energy"] = Value(float(np.max(energies)), None, len(turned))
    double = atoms.repeat((2, 1, 1))
    twice = model.of_atoms([double])
    found.values["extensivity_energy"] = Value(abs(float(twice.energy[0] / 2 - own.energy[0])) / n * 1000, None, 1)
    both = np.concatenate([own.force[0], own.force[0]])
    found.values["extensivity_force"] = Value(float(np.abs(twice.force[0] - both).max()), None, 1)
    found.values.setdefault("element_order", Value(1.0, None, 1))


def _elements(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings, found: Measurement
) -> None:
    """Compare the forces with the reference's for every other assignment of the elements: none may fit better."""
    sets = _reference_frames(model, reference, structures, settings)
    if not sets:
        found.missing["type_map"] = "without a reference, exchanged elements cannot be told from other errors"
        return
    used = sorted({symbol for one in sets for symbol in one.symbols})
    own = _force_error(model, sets, {})
    best, best_map = np.inf, {}
    for taken in _assignments(used, model.elements):
        error = _force_error(model, sets, taken)
        if error < best:
            best, best_map = error, taken
    if not best_map:
        found.missing["type_map"] = "there is one element only"
        return
    words = ", ".join(f"{one} as {other}" for one, other in best_map.items() if one != other)
    found.values["type_map"] = Value(own / max(best, TINY_EV_A), None, len(sets), where=words)
    if own > best:
        found.notes.append(
            f"with {words}, the forces are wrong by {best * 1000:.0f} instead of {own * 1000:.0f} meV/A: the order "
            "of the elements in the type map is not that of the training"
        )


def _reference_frames(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> list[FrameSet]:
    """Return a few labelled frames: of the data, else rattled cells labelled by the reference."""
    if reference.data:
        return held_out(model, reference, structures, settings, TYPE_MAP_FRAMES)
    if reference.potential is None:
        return []
    sets = []
    for atoms in structures:
        frames = _rattled(atoms, settings)[:TYPE_MAP_FRAMES]
        sets.append(FrameSet(
            atoms.get_chemical_symbols(), np.array([one.positions for one in frames]),
            np.array([one.cell.array for one in frames]), reference.potential.of_atoms(frames), [""] * len(frames),
        ))
    return sets


def _assignments(used: Sequence[str], known: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield what the elements of the frames may be taken for, without the identity."""
    pool = list(known) if perm(len(known), len(used)) <= MOST_MAPS else list(used)
    if perm(len(pool), len(used)) <= MOST_MAPS:
        for chosen in itertools.permutations(pool, len(used)):
            if list(chosen) != list(used):
                yield dict(zip(used, chosen, strict=True))
        return
    for one, other in itertools.combinations(used, 2):
        yield {one: other, other: one}


def _force_error(model: Potential, sets: Sequence[FrameSet], taken_for: Mapping[str, str]) -> float:
    """Return the RMS error of the forces, eV/A, with some elements taken for others."""
    total, count = 0.0, 0
    for one in sets:
        good = np.flatnonzero(one.labels.finite)[:TYPE_MAP_FRAMES]
        symbols = [taken_for.get(symbol, symbol) for symbol in one.symbols]
        force = model.evaluate(symbols, one.positions[good], one.cells[good]).force
        total += float(((force - one.labels.force[good]) ** 2).sum())
        count += force.size
    return float(np.sqrt(total / count)) if count else np.inf
