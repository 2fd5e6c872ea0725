"""Dynamics and statistics of the gates against what is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones

from dpa_sse.ops.validation.gates.base import KB_EV_K, Labels, Potential
from dpa_sse.ops.validation.gates.dynamics import FS, Segment, run_segments, start_batch
from dpa_sse.ops.validation.gates.potentials import Holed, LabelerPotential, Relabelled, Scaled
from dpa_sse.ops.validation.gates.statistics import (
    mean_over_runs,
    ratio_over_runs,
    slope_with_interval,
)
from dpa_sse.ops.validation.gates.wall import relax
from tests.ops.validation.gates.analytic import Pairs, Ripple, crystal


class Springs(Potential):
    """Every atom on a spring to the origin."""

    k = 2.0

    def evaluate(self, symbols, positions, cells):
        energy = 0.5 * self.k * (positions**2).sum(axis=(1, 2))
        return Labels(energy, -self.k * positions, np.zeros((len(positions), 3, 3)))


def test_units_and_energy_of_an_oscillator() -> None:
    """The period of an atom on a spring is 2 pi sqrt(m/k), as ASE's units have it."""
    from ase import units

    assert pytest.approx(units.fs) == FS
    atoms = Atoms("Li2", positions=np.zeros((2, 3)), cell=np.eye(3) * 50, pbc=True)
    springs = Springs("springs", ["Li"])
    batch = start_batch(springs, atoms, 1, 300.0, 1)
    period_fs = 2 * np.pi * np.sqrt(batch.masses[0] / springs.k) / units.fs
    run, = run_segments(springs, batch, [Segment(2000, 300, 300, 0.0, 1)], period_fs / 200, 1)
    x = run.positions[:, 0, 0, 0]
    crossings = np.flatnonzero((x[:-1] < 0) & (x[1:] >= 0))
    assert np.diff(crossings).mean() == pytest.approx(200, rel=1e-3)
    total = run.energy + run.kinetic
    assert np.abs(total / total[0] - 1).max() < 1e-3


def test_the_thermostat_samples_the_canonical_ensemble() -> None:
    """<k x^2> = k_B T on a spring, at a time step where plain Verlet would be off, and the kinetic energy, too."""
    atoms = Atoms("Li60", positions=np.zeros((60, 3)), cell=np.eye(3) * 50, pbc=True)
    springs = Springs("springs", ["Li"])
    batch = start_batch(springs, atoms, 4, 600.0, 1)
    run, = run_segments(springs, batch, [Segment(3000, 600, 600, 20.0, 5)], 3.0, 1)
    late = run.positions[100:]
    assert springs.k * (late**2).mean() / KB_EV_K == pytest.approx(600, rel=0.04)
    assert run.temperature[100:].mean() == pytest.approx(600, rel=0.04)
    momentum = (batch.masses[None, :, None] * batch.velocities).sum(axis=1)
    assert np.abs(momentum).max() < 1e-9


def test_copies_do_not_depend_on_each_other() -> None:
    """A copy that explodes leaves the others as they are, and says when it ended."""
    class Trap(Pairs):
        def evaluate(self, symbols, positions, cells):
            labels = super().evaluate(symbols, positions, cells)
            labels.energy[0] = np.nan
            return labels

    atoms = crystal()
    runs = []
    for potential in (Pairs(), Trap()):
        batch = start_batch(potential, atoms, 3, 300.0, 1)
        run, = run_segments(potential, batch, [Segment(20, 300, 300, 0.0, 5)], 2.0, 1)
        runs.append(run)
    good, bad = runs
    assert good.ended == ["", "", ""] and "not numbers after 0.002 ps" in bad.ended[0]
    assert bad.whole == [1, 2] and np.allclose(good.positions[:, 1:], bad.positions[:, 1:])


def test_pairs_are_those_of_ase_and_their_forces_and_virials_derivatives() -> None:
    pairs, atoms = Pairs(), crystal()
    atoms.rattle(0.1, seed=1)
    check_derivatives(pairs, atoms)
    plain = Pairs({"Li": 2.6, "Cl": 2.6})
    dimer = Atoms("LiCl", positions=[[0, 0, 0], [3.0, 0, 0]], cell=np.eye(3) * 20, pbc=True)
    own = plain.of_atoms([dimer])
    dimer.calc = LennardJones(sigma=2.6, epsilon=0.4, rc=9)
    shift = 4 * 0.4 * ((2.6 / 9) ** 12 - (2.6 / 9) ** 6)  # ASE shifts the energy to zero at the cutoff
    assert own.energy[0] == pytest.approx(dimer.get_potential_energy() + shift)
    assert np.allclose(own.force[0], dimer.get_forces())


def check_derivatives(potential: Potential, atoms: Atoms) -> None:
    labels = potential.of_atoms([atoms])
    for atom, axis in ((0, 0), (5, 2)):
        moved = [atoms.copy(), atoms.copy()]
        for one, sign in zip(moved, (1, -1), strict=True):
            one.positions[atom, axis] += sign * 1e-4
        energy = potential.of_atoms(moved).energy
        assert labels.force[0, atom, axis] == pytest.approx(-(energy[0] - energy[1]) / 2e-4, rel=1e-5, abs=1e-5)
    strained = []
    for sign in (1, -1):
        one = atoms.copy()
        one.set_cell(atoms.cell.array * (1 + sign * 1e-5), scale_atoms=True)
        strained.append(one)
    energy = potential.of_atoms(strained).energy
    assert np.trace(labels.virial[0]) == pytest.approx(-(energy[0] - energy[1]) / 2e-5, rel=1e-4, abs=1e-4)


def test_bad_potentials_are_conservative() -> None:
    """Only what they are meant to be bad at is bad: the hole is a smooth well."""
    atoms = crystal()
    atoms.rattle(0.1, seed=1)
    atoms.positions[1] = atoms.positions[0] + [1.4, 0.2, 0.1]
    check_derivatives(Holed(Pairs(), 5.0, 0.9), atoms)
    check_derivatives(Scaled(Pairs(), 0.9), atoms)
    check_derivatives(Relabelled(Pairs(), {"Li": "Cl", "Cl": "Li"}), atoms)


def test_a_labeler_as_potential(tmp_path) -> None:
    """The mock labeler through the same interface: the virial is minus stress times volume."""
    from dpa_sse.ops.labelers.registry import make_labeler, parse_labeler

    labeler = make_labeler(parse_labeler({"kind": "mock"}))
    potential = LabelerPotential(labeler, "mock", ["Li", "Cl"], tmp_path)
    check_derivatives(potential, crystal())


@pytest.mark.parametrize(("length", "memory", "seed"), [
    (200, 0.0, 1), (200, 3.0, 2), (200, 10.0, 3), (200, 20.0, 4), (1000, 0.0, 5), (1000, 20.0, 6), (1000, 80.0, 7),
])
def test_the_interval_of_a_slope_holds_the_truth(length: int, memory: float, seed: int) -> None:
    """Errors that forget exponentially, from white noise to a tenth of the run: 93 to 97 % of the intervals hold it."""
    from scipy.signal import lfilter

    rng, hits, tries = np.random.default_rng(seed), 0, 800
    keep = np.exp(-1 / memory) if memory else 0.0
    time = np.arange(length) * 0.01
    for _ in range(tries):
        series = lfilter([1], [1, -keep], rng.normal(size=length + 1000))[1000:]
        slope, half = slope_with_interval(time, series + 3.0 * time)
        hits += abs(slope - 3.0) < half
    spread = 2 * np.sqrt(0.95 * 0.05 / tries)  # of the count itself
    assert 0.93 - spread < hits / tries < 0.97 + spread


def test_slopes_of_an_energy_that_oscillates_and_of_an_exact_line() -> None:
    """Oscillations within a block, as those of velocity Verlet, neither widen the interval nor narrow it."""
    rng, hits, halves = np.random.default_rng(2), 0, []
    time = np.arange(1000) * 0.002
    for _ in range(300):
        series = np.cos(2 * np.pi * (np.arange(1000) / 6.3 + rng.random())) + rng.normal(0, 0.1, 1000)
        slope, half = slope_with_interval(time, series)
        hits += abs(slope) < half
        halves.append(half)
    white = slope_with_interval(time, rng.normal(0, 0.1, 1000))[1]
    assert hits / 300 > 0.93 and 0.3 * white < np.median(halves) < 3 * white
    slope, half = slope_with_interval(time, 2.0 * time - 1.0)
    assert slope == pytest.approx(2.0) and half == pytest.approx(0, abs=1e-6)
    assert slope_with_interval(time, np.ones(1000)) == (pytest.approx(0), 0.0)


def forces_of_runs(
    rng: np.random.Generator, runs: int, frames: int, noise: float
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return forces of a model on its own MD, those of the reference (0.95 of the slope, errors alike within a run)."""
    own = rng.normal(size=(runs * frames, 90)) * rng.uniform(0.7, 1.4, (runs * frames, 1))
    names = [f"run {k // frames}" for k in range(runs * frames)]
    bias = np.repeat(rng.normal(0, 0.02, runs), frames)[:, None]  # what the frames of a run share
    other = own * (1 / 0.95 + bias) + rng.normal(0, noise, own.shape)
    return own, other, names


@pytest.mark.parametrize(("runs", "frames"), [(3, 8), (4, 25), (8, 5)])
def test_the_slope_on_frames_of_the_model_is_unbiased_and_its_interval_covers(runs: int, frames: int) -> None:
    """Least squares is low by 1 / (1 + e^2); intervals over single frames would be too narrow."""
    rng, hits, narrow, found, least = np.random.default_rng(2), 0, 0, [], []
    for _ in range(400):
        own, other, names = forces_of_runs(rng, runs, frames, noise=0.35)
        above, below = (own * own).sum(axis=1), (own * other).sum(axis=1)
        value = ratio_over_runs(above, below, names)
        single = ratio_over_runs(above, below, [str(k) for k in range(len(own))])
        assert value.ci95 is not None and single.ci95 is not None
        hits += value.ci95[0] <= 0.95 <= value.ci95[1]
        narrow += single.ci95[0] <= 0.95 <= single.ci95[1]
        found.append(value.value)
        least.append((own * other).sum() / (other**2).sum())
    error = (0.35 * 0.95) ** 2 / np.mean(rng.uniform(0.7, 1.4, 10000) ** 2)
    assert np.mean(found) == pytest.approx(0.95, abs=0.003)
    assert np.mean(least) == pytest.approx(0.95 / (1 + error), abs=0.005) and np.mean(least) < 0.87
    assert 0.92 <= hits / 400 <= 0.985
    assert narrow < hits and (frames < 8 or narrow / 400 < 0.85)


def test_the_interval_of_frames_that_were_sampled_in_two_ways() -> None:
    """Sixteen single cells and three runs of eight frames, as at the tier smoke."""
    rng, hits = np.random.default_rng(3), 0
    for _ in range(400):
        own, other, names = forces_of_runs(rng, 3, 8, noise=0.3)
        single, reference, _ = forces_of_runs(rng, 16, 1, noise=0.3)
        above = np.concatenate([(own * own).sum(axis=1), (single * single).sum(axis=1)])
        below = np.concatenate([(own * other).sum(axis=1), (single * reference).sum(axis=1)])
        value = ratio_over_runs(
            above, below, [*names, *(f"cell {k}" for k in range(16))], ["MD"] * 24 + ["rattled"] * 16
        )
        assert value.ci95 is not None
        hits += value.ci95[0] <= 0.95 <= value.ci95[1]
    assert 0.92 <= hits / 400 <= 0.99


def test_a_ratio_of_one_run_has_no_interval() -> None:
    rng = np.random.default_rng(4)
    own, other, names = forces_of_runs(rng, 1, 10, noise=0.3)
    value = ratio_over_runs((own * own).sum(axis=1), (own * other).sum(axis=1), names, more="more runs")
    assert value.ci95 is None and value.spread is not None and value.spread[0] < value.value < value.spread[1]
    assert value.lacking == "1 run: more runs (2 at least)"


@pytest.mark.parametrize(("runs", "interval"), [(1, False), (2, False), (3, True), (5, True)])
def test_means_over_few_runs(runs: int, interval: bool) -> None:
    rng = np.random.default_rng(5)
    sums, names = rng.uniform(0.9, 1.1, runs * 6), [str(k // 6) for k in range(runs * 6)]
    value = mean_over_runs(sums, np.ones(len(sums)), names, "label more")
    assert (value.ci95 is not None) == interval and bool(value.lacking) != interval
    if not interval:
        assert value.spread is not None and value.spread[0] <= value.value <= value.spread[1]
    exact = mean_over_runs(np.zeros(len(sums)), np.ones(len(sums)), names, "label more")
    assert (exact.ci95 == (0.0, 0.0)) == interval


def test_relaxation_finds_the_minimum_that_ase_finds() -> None:
    from ase.optimize import FIRE

    atoms = crystal()
    start = np.repeat(atoms.positions[None], 3, axis=0)
    start[1:] += np.random.default_rng(1).normal(0, 0.15, start[1:].shape)
    _, energy = relax(Pairs(), atoms.get_chemical_symbols(), start, atoms.cell.array, 150)
    assert np.ptp(energy[1:]) < 0.02  # the symmetric start stays on its saddle point

    class Calculator(LennardJones):
        def calculate(self, atoms=None, properties=("energy",), system_changes=()):
            labels = Pairs().of_atoms([atoms])
            self.results = {"energy": float(labels.energy[0]), "forces": labels.force[0]}

    moved = atoms.copy()
    moved.positions = start[1]
    moved.calc = Calculator()
    FIRE(moved, logfile=None).run(fmax=0.01, steps=300)
    assert energy[1] == pytest.approx(moved.get_potential_energy(), abs=0.02)


def test_free_ions_diffuse_as_the_thermostat_says() -> None:
    """D = k_B T / (m gamma) of Langevin particles without forces."""
    from dpa_sse.ops.validation.gates.base import GateSettings
    from dpa_sse.ops.validation.gates.transport import diffusion

    atoms = Atoms("Li60", positions=np.zeros((60, 3)), cell=np.eye(3) * 20, pbc=True)
    free = Ripple(0.0)
    batch = start_batch(free, atoms, 3, 900.0, 1)
    run, = run_segments(free, batch, [Segment(4000, 900, 900, 50.0, 10)], 2.0, 1)
    found = diffusion(run, "Li", GateSettings(mobile=("Li",), protocol={"hop_A": 1.0}))
    exact = KB_EV_K * 900 / (batch.masses[0] * 50.0 / (1000 * FS)) * 1000 * FS * 1e-4  # A^2/ps -> cm^2/s
    assert found is not None and found.D_cm2_s is not None and found.D_ci95_cm2_s is not None
    assert found.D_cm2_s == pytest.approx(exact, rel=0.25)
    assert found.D_ci95_cm2_s[0] < exact < found.D_ci95_cm2_s[1]
