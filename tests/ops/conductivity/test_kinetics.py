"""The kinetic check: sound runs pass, a wrong spacing of frames is found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from ase import units
from ase.data import atomic_masses, atomic_numbers

from dpa_sse.ops.conductivity.continuation import rounding_step
from dpa_sse.ops.conductivity.displacements import read_displacements
from dpa_sse.ops.conductivity.kinetics import KB_AMU_A2_PS2, check_kinetics
from dpa_sse.ops.conductivity.readers.trajectory import Chunk, Trajectory
from dpa_sse.ops.conductivity.run import RunSource, analyse_run
from dpa_sse.ops.conductivity.settings import ConductivitySettings

SYMBOLS = ["Li"] * 24 + ["S"] * 24


def vibrating(rng, dt_fs, temperature_K, n_frames=200, hops_per_ps=0.0, digits=6):
    """Thermal harmonic vibrations of 2 to 14 THz, three modes for each coordinate, with hops that take 0.2 ps."""
    masses = np.array([atomic_masses[atomic_numbers[name]] for name in SYMBOLS])
    times = np.arange(n_frames) * dt_fs * 1e-3
    omega = 2 * np.pi * rng.uniform(2, 14, (len(SYMBOLS), 3, 3))
    energies = rng.exponential(KB_AMU_A2_PS2 * temperature_K / 3, omega.shape)  # kT for each coordinate
    amplitudes = np.sqrt(2 * energies / masses[:, None, None]) / omega
    phases = rng.uniform(0, 2 * np.pi, omega.shape)
    positions = np.zeros((n_frames, len(SYMBOLS), 3))
    for mode in range(3):
        angle = omega[None, ..., mode] * times[:, None, None] + phases[None, ..., mode]
        positions += amplitudes[None, ..., mode] * np.cos(angle)
    for ion in range(24):
        for start in rng.uniform(0, times[-1], rng.poisson(hops_per_ps * times[-1])):
            direction = rng.standard_normal(3)
            share = np.clip((times - start) / 0.2, 0, 1)
            positions[:, ion] += 2.5 * direction / np.linalg.norm(direction) * (3 * share**2 - 2 * share**3)[:, None]
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3)[: len(SYMBOLS)] * 4.0 + 1.0
    return np.round(positions + grid, digits)


def displacements_of(positions, dt_ps, symbols=SYMBOLS):
    cells = np.repeat(np.eye(3)[None] * 16.0, len(positions), axis=0)
    times = np.arange(len(positions)) * dt_ps

    def chunks():
        for k in range(0, len(positions), 64):
            part = slice(k, k + 64)
            yield Chunk(positions[part], cells[part], np.zeros((len(times[part]), 3)), times[part])

    return read_displacements(Trajectory(list(symbols), chunks()), ["Li"])


def verdicts(seeds, spacing_fs, factor):
    """Return what the check says about runs whose spacing is declared ``factor`` times too long."""
    found = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        dt_fs = float(np.exp(rng.uniform(*np.log(spacing_fs))))
        temperature = float(rng.uniform(300, 1500))
        positions = vibrating(rng, dt_fs, temperature, hops_per_ps=rng.choice([0.0, 0.2]), digits=rng.integers(3, 8))
        found.append(check_kinetics(displacements_of(positions, factor * dt_fs * 1e-3), "Li", temperature))
    return found


def test_the_constant_is_that_of_ase():
    velocity = np.sqrt(units.kB * 300 / 6.94) * 1000 * units.fs  # A/ps
    assert np.sqrt(KB_AMU_A2_PS2 * 300 / 6.94) == pytest.approx(velocity, rel=1e-6)


def test_sound_runs_pass_at_any_spacing():
    assert [reason for _, reason in verdicts(range(30), (0.5, 100), 1.0) if reason] == []


@pytest.mark.parametrize(("factor", "words"), [(1 / 3, "times too short"), (3.0, "times too long")])
def test_a_spacing_off_by_three_is_found(factor, words):
    for state, reason in verdicts(range(20), (0.5, 15), factor):
        assert words in reason, state


@pytest.mark.slow
def test_false_alarms_and_detection_rates():
    """300 sound runs, frames 0.5 to 100 fs apart; 100 of 100 vibrating runs whose frames resolve the vibrations."""
    assert [reason for _, reason in verdicts(range(1000, 1300), (0.5, 100), 1.0) if reason] == []
    for factor in (1 / 3, 3.0):
        assert sum(bool(reason) for _, reason in verdicts(range(2000, 2100), (0.5, 15), factor)) == 100


def test_the_temperature_is_that_of_the_motion():
    found = [state.temperature_K for state, _ in verdicts(range(40, 60), (0.5, 8), 1.0)]
    rng = [np.random.default_rng(seed) for seed in range(40, 60)]
    true = []
    for one in rng:
        one.uniform(*np.log((0.5, 8)))
        true.append(one.uniform(300, 1500))
    assert np.mean(np.array(found) / np.array(true)) == pytest.approx(1.0, abs=0.1)


def test_the_verdict_names_number_and_cause(makers):
    positions = vibrating(np.random.default_rng(3), 2.0, 600.0)
    settings = ConductivitySettings(figures=False)
    run = analyse_run(displacements_of(positions, 0.02), settings, RunSource("a", "x", 600.0))
    assert run.verdict.startswith("unreliable: Li moves between frames as at 6.21 K, not 600 K")
    assert "(20 fs) 9.8 times too long" in run.verdict
    assert run.data.kinetics.temperature_K < 10


def test_rounding_is_not_motion():
    """XTC rounds to 0.01 A, more than ions move in half a femtosecond at 300 K."""
    rng = np.random.default_rng(5)
    positions = np.round(vibrating(rng, 0.5, 300.0), 2)
    assert check_kinetics(displacements_of(positions, 0.0005), "Li", 300.0)[1] == ""


def test_rounding_is_recognised():
    rng = np.random.default_rng(0)
    for digits in (1, 2, 3, 4, 5):
        assert rounding_step(np.round(rng.random((50, 3)) * 20, digits)) == pytest.approx(10.0**-digits)
    assert rounding_step(rng.random((50, 3)) * 20) == 0.0


def test_a_drift_of_all_atoms_is_not_a_temperature():
    positions = vibrating(np.random.default_rng(1), 100.0, 600.0) + np.arange(200)[:, None, None] * 0.05
    displacements = displacements_of(positions, 0.1)
    assert check_kinetics(displacements, "Li", 600.0)[1] == ""
    assert check_kinetics(dataclasses.replace(displacements, dt_ps=0.1), "Li", 600.0)[0].exponent < 1.0
