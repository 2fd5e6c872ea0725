"""The labels of extxyz frames of other programs: one family of keys for energy, forces and virial, in declared units.

A family is a prefix that energy and forces share (none, ``REF_``, ``dft_``, ...). Labels of two families are of two
methods: they are never combined.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.convert import same_virial, virial_of_stress

if TYPE_CHECKING:
    from ase import Atoms

ENERGY_NAMES = ("free_energy", "energy")  # in this order: the forces are the derivative of the free energy
FORCE_NAMES = ("forces", "force")
VIRIAL_NAMES = ("virial", "virials")
STRESS_NAMES = ("stress", "stresses")
STRESS_AGREES = 1e-3  # relative, between stress and virial of one frame
SAME_EV, SAME_EV_A = 1e-6, 1e-5  # two families that agree to this are the same labels

_HARTREE, _BOHR, _KCAL = 27.211386024367243, 0.5291772105638411, 0.0433641042
UNITS = {
    "energy": {"ev": 1.0, "hartree": _HARTREE, "ha": _HARTREE, "a.u.": _HARTREE, "rydberg": _HARTREE / 2,
               "ry": _HARTREE / 2, "kcal/mol": _KCAL, "kcal_mol": _KCAL, "kj/mol": _KCAL / 4.184, "mev": 1e-3},
    "force": {"ev/angstrom": 1.0, "ev/a": 1.0, "hartree/bohr": _HARTREE / _BOHR, "ha/bohr": _HARTREE / _BOHR,
              "a.u.": _HARTREE / _BOHR, "rydberg/bohr": _HARTREE / _BOHR / 2, "ry/bohr": _HARTREE / _BOHR / 2,
              "kcal/mol/angstrom": _KCAL, "kj/mol/angstrom": _KCAL / 4.184},
    "stress": {"ev/angstrom^3": 1.0, "ev/angstrom3": 1.0, "ev/a^3": 1.0, "ev/a3": 1.0, "gpa": 6.241509074e-3,
               "kbar": 6.241509074e-4, "kb": 6.241509074e-4, "bar": 6.241509074e-7, "mpa": 6.241509074e-6,
               "hartree/bohr^3": _HARTREE / _BOHR**3, "a.u.": _HARTREE / _BOHR**3},
}
"""Factors to eV, eV/A and eV/A^3."""


@dataclass
class FrameLabels:
    """The labels of one frame in eV and A; the virial is None where there is none.

    Attributes
    ----------
    stress : bool
        The virial was computed from a stress.
    unread : list of str
        Keys that look like labels, and were not used.
    """

    family: str
    energy: float
    forces: NDArray[np.float64]
    virial: NDArray[np.float64] | None
    stress: bool = False
    unread: list[str] = field(default_factory=list)


class NoLabelsError(Exception):
    """The frame has no complete labels; its message says what is missing."""


def labels_of(atoms: Atoms, where: str) -> FrameLabels:
    """Return the labels of a frame.

    Raises
    ------
    NoLabelsError
        Energy or forces are missing.
    InputError
        Two families with different labels, an unknown unit, a wrong shape, or a stress that contradicts the virial.
    """
    _check_units(atoms, where)
    found = _labels_by_family(atoms)
    complete = [
        name for name, own in found.items()
        if any(key in own for key in ENERGY_NAMES) and any(key in own for key in FORCE_NAMES)
    ]
    if not complete:
        raise NoLabelsError(_missing(atoms, found))
    if len(complete) == 1 and complete[0] and not {*found[complete[0]]} & {*VIRIAL_NAMES, *STRESS_NAMES}:
        plain = found.get("", {})
        if {*plain} <= {*VIRIAL_NAMES, *STRESS_NAMES}:  # the only other label of the frame
            found[complete[0]] |= plain
            found.pop("", None)
    made = [_read(atoms, name, found[name], where) for name in complete]
    for other in made[1:]:
        if abs(other.energy - made[0].energy) > SAME_EV or np.abs(other.forces - made[0].forces).max() > SAME_EV_A:
            names = " and ".join(f"{one.family}energy, {one.family}forces" for one in (made[0], other))
            raise InputError(
                f"{where}: labels of two methods ({names}); remove or rename those that are not wanted"
            )
    chosen = made[0]
    used = set(found[chosen.family])
    chosen.unread = sorted(
        f"{name}{key}" for name, own in found.items() for key in own if name not in complete
    ) + sorted(f"{chosen.family}{key}" for key in used & {"energy"} if "free_energy" in used and not _close(
        found[chosen.family]))
    return chosen


def _close(own: dict[str, Any]) -> bool:
    """Return whether the energy is the free energy."""
    values = [np.asarray(own[name]) for name in ENERGY_NAMES]
    return all(one.size == 1 and _numeric(one) for one in values) and abs(float(values[0] - values[1])) < SAME_EV


def _labels_by_family(atoms: Atoms) -> dict[str, dict[str, Any]]:
    """Return what looks like a label: prefix, name, value."""
    given: dict[str, Any] = dict(atoms.info)
    given |= {key: values for key, values in atoms.arrays.items() if key not in ("positions", "numbers")}
    given |= dict(atoms.calc.results) if atoms.calc is not None else {}
    found: dict[str, dict[str, Any]] = {}
    longest_first = sorted((*ENERGY_NAMES, *FORCE_NAMES, *VIRIAL_NAMES, *STRESS_NAMES), key=len, reverse=True)
    for key, value in given.items():
        name = next((one for one in longest_first if key == one or key.endswith(f"_{one}")), None)
        if name is not None:
            found.setdefault(key[: len(key) - len(name)], {})[name] = value
    return dict(sorted(found.items()))


def _missing(atoms: Atoms, found: dict[str, dict[str, Any]]) -> str:
    plain = found.get("", {})
    missing = [
        name for name, keys in (("energy", ENERGY_NAMES), ("forces", FORCE_NAMES))
        if not any(key in plain for key in keys)
    ]
    keys = {*atoms.info, *atoms.arrays, *(atoms.calc.results if atoms.calc is not None else ())}
    has = ", ".join(sorted(keys - {"positions", "numbers"})) or "nothing"
    return f"no {' and no '.join(missing)} (it has: {has})"


def _read(atoms: Atoms, family: str, own: dict[str, Any], where: str) -> FrameLabels:
    energy = np.asarray(next(own[key] for key in ENERGY_NAMES if key in own))
    forces = np.asarray(next(own[key] for key in FORCE_NAMES if key in own))
    if forces.shape != (len(atoms), 3) or energy.size != 1 or not _numeric(energy, forces):
        raise InputError(f"{where}: {family}energy or {family}forces have the wrong shape")
    energy_factor = _factor(atoms, "energy", where)
    force_factor = _factor(atoms, "force", where)
    virial, from_stress = _virial(atoms, family, own, energy_factor, where)
    return FrameLabels(
        family, float(energy.reshape(())[()]) * energy_factor, np.asarray(forces, float) * force_factor, virial,
        from_stress,
    )


def _numeric(*arrays: NDArray[Any]) -> bool:
    return all(values.dtype.kind in "fiu" for values in arrays)


def _virial(
    atoms: Atoms, family: str, own: dict[str, Any], energy_factor: float, where: str
) -> tuple[NDArray[np.float64] | None, bool]:
    volume = atoms.get_volume()
    given = expected = None
    for key in VIRIAL_NAMES:
        if key in own:
            values = np.asarray(own[key])
            if values.size != 9 or not _numeric(values):
                raise InputError(f"{where}: the {family}{key} holds {values.size} numbers, not 9")
            given = np.asarray(values, float).reshape(3, 3)
            given = given if energy_factor == 1 else given * energy_factor
    for key in STRESS_NAMES:
        if key in own:
            values = np.asarray(own[key])
            if values.size not in (6, 9) or not _numeric(values):
                raise InputError(f"{where}: the {family}{key} holds {values.size} numbers, not 6 or 9")
            expected = virial_of_stress(np.asarray(values, float), volume) * _factor(atoms, "stress", where)
    if given is not None and expected is not None and not same_virial(given, expected, STRESS_AGREES):
        raise InputError(f"{where}: stress and virial contradict each other (virial = -stress * volume)")
    return (given, False) if given is not None else (expected, expected is not None)


_UNIT_KEY = re.compile(r"(?:^|[_-])units?$", re.IGNORECASE)
_UNIT_NAMES = {f"{name}{end}" for name in ("energy", "force", "forces", "stress") for end in (
    "-unit", "_unit", "-units", "_units")}
_OWN_UNITS = ("ev", "angstrom", "a", "metal", "evandangstrom", "ev,angstrom", "ev/angstrom")


def _check_units(atoms: Atoms, where: str) -> None:
    """Refuse a declared unit that is not read.

    Raises
    ------
    InputError
        A key about units says something else than eV and Angstrom.
    """
    for key, value in atoms.info.items():
        other = "".join(str(value).split()).lower() not in _OWN_UNITS
        if other and _UNIT_KEY.search(str(key)) and key not in _UNIT_NAMES:
            raise InputError(f"{where}: {key}={value}: not clear what has this unit; write energy-unit, force-unit "
                             "and stress-unit, or remove it")


def _factor(atoms: Atoms, quantity: str, where: str) -> float:
    """Return the factor of the unit that a frame declares, 1 if it declares none."""
    names = (quantity, f"{quantity}s")
    for key in (f"{name}{end}" for name in names for end in ("-unit", "_unit", "-units", "_units")):
        if key in atoms.info:
            unit = "".join(str(atoms.info[key]).split()).lower()
            if unit not in UNITS[quantity]:
                raise InputError(f"{where}: {key}={atoms.info[key]} is not known (known: {', '.join(UNITS[quantity])})")
            return UNITS[quantity][unit]
    return 1.0
