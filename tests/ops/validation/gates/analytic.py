"""Potentials and cells whose answers are known: a Lennard-Jones crystal of two elements, springs, free ions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk

from dpa_sse.ops.validation.gates.base import GateSettings, Labels, Measurement, Potential, Reference
from dpa_sse.ops.validation.gates.judge import judge
from dpa_sse.ops.validation.gates.registry import load_thresholds, measure_of

SIGMA = {"Li": 2.45, "Cl": 2.75, "S": 2.6, "Br": 2.9}
EPSILON_EV = 0.4
CUTOFF_A = 4.1
THRESHOLDS = load_thresholds()


class Pairs(Potential):
    """Lennard-Jones pairs, smoothly switched off; sigma is the mean of the two elements'."""

    def __init__(self, sigma: Mapping[str, float] = SIGMA, name: str = "pairs") -> None:
        super().__init__(name, list(sigma))
        self.sigma = dict(sigma)

    def evaluate(self, symbols: Sequence[str], positions: np.ndarray, cells: np.ndarray) -> Labels:
        n, count = positions.shape[:2]
        own = np.array([self.sigma[one] for one in symbols])
        sigma = (own[:, None] + own[None]) / 2
        energy, force, virial = np.zeros(n), np.zeros((n, count, 3)), np.zeros((n, 3, 3))
        for k in range(n):
            with np.errstate(all="ignore"):
                shift = positions[k][None] - positions[k][:, None]
                reduced = shift @ np.linalg.inv(cells[k])
                vector = (reduced - np.rint(reduced)) @ cells[k]
                r = np.sqrt((vector**2).sum(axis=-1)) + 1e6 * np.eye(count)
                x6 = (sigma / r) ** 6
                pair = 4 * EPSILON_EV * (x6**2 - x6)
                slope = 4 * EPSILON_EV * (-12 * x6**2 + 6 * x6) / r
                u = np.clip((r - CUTOFF_A + 0.8) / 0.8, 0, 1)
                switch = 1 - u**3 * (10 - 15 * u + 6 * u**2)
                change = -30 * u**2 * (1 - u) ** 2 / 0.8
                total = slope * switch + pair * change
                energy[k] = 0.5 * (pair * switch).sum()
                each = (total / r)[..., None] * vector
                force[k] = each.sum(axis=1)
                virial[k] = -0.5 * np.einsum("ija,ijb->ab", each, vector)
        return Labels(energy, force, virial)


class Changed(Potential):
    """A potential whose labels a function changes: ``change(labels, positions, cells)``."""

    def __init__(
        self, inner: Potential, change: Callable[[Labels, np.ndarray, np.ndarray], Labels], name: str = "changed"
    ) -> None:
        super().__init__(name, inner.elements)
        self.inner, self.change = inner, change

    def evaluate(self, symbols: Sequence[str], positions: np.ndarray, cells: np.ndarray) -> Labels:
        return self.change(self.inner.evaluate(symbols, positions, cells), positions, cells)


class Ripple(Potential):
    """Ions in a cosine potential: A sum cos(2 pi x / a) along each axis, which slows down their diffusion."""

    def __init__(self, amplitude_eV: float, period_A: float = 3.0) -> None:
        super().__init__("ripple", ["Li", "Cl"])
        self.amplitude, self.period = amplitude_eV, period_A

    def evaluate(self, symbols: Sequence[str], positions: np.ndarray, cells: np.ndarray) -> Labels:
        phase = 2 * np.pi / self.period
        energy = self.amplitude * np.cos(phase * positions).sum(axis=(1, 2))
        force = self.amplitude * phase * np.sin(phase * positions)
        return Labels(energy, force, np.zeros((len(positions), 3, 3)))


class Wells(Potential):
    """Every atom in separate wells: -A cos(2 pi x / a) along each axis, with A of its element and minima in places
    of :func:`crystal`."""

    def __init__(self, amplitude_eV: Mapping[str, float], period_A: float = 4.15 / 2) -> None:
        super().__init__("wells", list(amplitude_eV))
        self.amplitude, self.phase = dict(amplitude_eV), 2 * np.pi / period_A

    def evaluate(self, symbols: Sequence[str], positions: np.ndarray, cells: np.ndarray) -> Labels:
        own = np.array([self.amplitude[one] for one in symbols])[:, None]
        energy = -(own * np.cos(self.phase * positions)).sum(axis=(1, 2))
        return Labels(energy, -own * self.phase * np.sin(self.phase * positions), np.zeros((len(positions), 3, 3)))


def crystal(a: float = 4.15, elements: Sequence[str] = ("Li", "Cl")) -> Atoms:
    """Return 32 atoms of an fcc crystal, the elements in turn."""
    atoms = bulk("Li", "fcc", a=a, cubic=True).repeat(2)
    atoms.set_chemical_symbols([elements[k % len(elements)] for k in range(len(atoms))])
    atoms.info["system"] = "crystal"
    return atoms


def settings(key: str, tier: str = "smoke", **changes: Any) -> GateSettings:
    """Return the settings of a gate, with changes of its protocol (``protocol``) and of the MD (``md``)."""
    entry = THRESHOLDS.gates[key]
    md = {**THRESHOLDS.md_at("smoke"), "copies": 3, "hold_ps": 0.6, **changes.pop("md", {})}
    protocol = {**entry.protocol_at("smoke"), **changes.pop("protocol", {})}
    base: dict[str, Any] = {"temperature_K": 300.0, "timestep_fs": 2.0, **changes}
    return GateSettings(tier=tier, md=md, protocol=protocol, **base)


def measured(
    key: str, model: Potential, reference: Potential | Reference | None, atoms: Sequence[Atoms] | None = None,
    **changes: Any,
) -> Measurement:
    """Return what a gate measures."""
    if reference is None:
        reference = Reference()
    if isinstance(reference, Potential):
        reference.role = "reference"
        reference = Reference(reference.name, reference)
    return measure_of(key)(model, reference, list(atoms or [crystal()]), settings(key, **changes))


def verdict(key: str, measurement: Measurement) -> Any:
    """Return the result of a gate at tier smoke."""
    return judge(key, measurement, THRESHOLDS.gates[key], "smoke")
