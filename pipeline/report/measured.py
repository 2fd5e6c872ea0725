"""Measured conductivities, diffusion coefficients and cells of the library that belong to the composition of a run."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dpa_sse.ops.structures.library import Entry, find_entry, lattice_of, load_entry, names
from dpa_sse.ops.structures.solution import parse_formula

SAME_SHARE = 0.003
"""Largest difference of the atomic fraction of an element for which two compositions are the same."""
SAME_LENGTH, SAME_ANGLE = 0.03, 3.0
"""Largest relative difference of lattice constants, and largest difference of angles, of one phase."""


@dataclass(frozen=True)
class MeasuredTransport:
    """One measured conductivity (mS/cm) or diffusion coefficient (cm2/s) at a temperature.

    Attributes
    ----------
    material, entry : str
        Composition, and library entry that it is in.
    low, high : float
        The same for a single value.
    Ea_eV : float or None
    remark : str
        What the sample was, or the method.
    reference, confidence : str
    """

    material: str
    entry: str
    temperature_K: float
    low: float
    high: float
    Ea_eV: float | None
    remark: str
    reference: str
    confidence: str

    @property
    def middle(self) -> float:
        """Geometric mean of the range."""
        return float(np.sqrt(self.low * self.high))


@dataclass(frozen=True)
class MeasuredCell:
    """A measured unit cell.

    Attributes
    ----------
    entry : str
        Library entry.
    parameters : tuple of float
        a, b, c (Angstrom), alpha, beta, gamma (degrees).
    volume_A3_atom : float
        Volume per atom.
    temperature_K : float or None
        Of the measurement; None where the library does not state it.
    """

    entry: str
    parameters: tuple[float, ...]
    volume_A3_atom: float
    temperature_K: float | None
    reference: str


@dataclass(frozen=True)
class Measured:
    """What the library holds for one composition."""

    conductivities: tuple[MeasuredTransport, ...] = ()
    diffusion: tuple[MeasuredTransport, ...] = ()
    cells: tuple[MeasuredCell, ...] = ()


def measured_values(composition: Mapping[str, int], structure: str = "") -> Measured:
    """Return the measured values of a composition.

    Parameters
    ----------
    composition : mapping
        Atoms of each element in the cell of the run.
    structure : str
        What the configuration names. If it is a library entry with a measured cell, entries of the same composition
        with another cell are other phases and are left out; else all phases are returned, each with its entry.
    """
    own = find_entry(structure) if structure else None
    conductivities: list[MeasuredTransport] = []
    diffusion: list[MeasuredTransport] = []
    cells: list[MeasuredCell] = []
    for entry in _library():
        if own is not None and _another_phase(own, entry):
            continue
        conductivities += _transport(entry, "conductivity", "sigma_mS_cm", composition)
        diffusion += _transport(entry, "diffusion", "D_cm2_s", composition)
        cells += _cell(entry, composition)
    cells = list({cell.parameters: cell for cell in reversed(cells)}.values())[::-1]  # each cell once
    return Measured(tuple(conductivities), tuple(diffusion), tuple(cells))


def same_composition(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    """Return whether the atomic fractions of two compositions agree."""
    totals = sum(first.values()), sum(second.values())
    if not all(totals):
        return False
    elements = {*first, *second}
    shares = [abs(first.get(one, 0) / totals[0] - second.get(one, 0) / totals[1]) for one in elements]
    return max(shares) <= SAME_SHARE and all((first.get(one, 0) > 0) == (second.get(one, 0) > 0) for one in elements)


@functools.cache
def _library() -> tuple[Entry, ...]:
    return tuple(map(load_entry, names()))


def _another_phase(own: Entry, other: Entry) -> bool:
    mine, theirs = own.experimental_lattice, other.experimental_lattice
    if own.name == other.name or mine is None or theirs is None:
        return False
    lengths = max(abs(a / b - 1) for a, b in zip(sorted(mine[:3]), sorted(theirs[:3]), strict=True))
    angles = max(abs(a - b) for a, b in zip(sorted(mine[3:]), sorted(theirs[3:]), strict=True))
    return lengths > SAME_LENGTH or angles > SAME_ANGLE


def _transport(
    entry: Entry, section: str, key: str, composition: Mapping[str, int]
) -> Iterator[MeasuredTransport]:
    for one in entry.data.get(section) or ():
        material = str(one.get("composition", entry.formula))
        if not same_composition(parse_formula(material), composition):
            continue
        value = one[key]
        low, high = (value[0], value[-1]) if isinstance(value, list) else (value, value)
        yield MeasuredTransport(
            material=material, entry=entry.name, temperature_K=float(one["T_K"]), low=float(low), high=float(high),
            Ea_eV=one.get("Ea_eV"), remark=str(one.get("method") or one.get("remark") or ""),
            reference=str(one["reference"]), confidence=str(one.get("confidence", "")),
        )


def _cell(entry: Entry, composition: Mapping[str, int]) -> Iterator[MeasuredCell]:
    if not same_composition(parse_formula(entry.formula), composition):
        return
    lattice: dict[str, Any] = entry.data.get("experimental_lattice") or {}
    cell, origin = lattice_of(entry)
    atoms = entry.data.get("atoms_in_cell")
    if origin != "experiment" or atoms is None:
        return
    parameters = entry.experimental_lattice if lattice else entry.lattice
    reference = str(lattice.get("reference") or entry.data.get("reference") or "")
    if parameters is None or not reference:
        return
    temperature = lattice.get("temperature_K")
    yield MeasuredCell(
        entry=entry.name, parameters=parameters, volume_A3_atom=float(abs(np.linalg.det(cell))) / atoms,
        temperature_K=None if temperature is None else float(temperature),
        reference=reference,
    )
