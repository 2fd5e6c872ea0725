"""Melting, rotating tetrahedra and decomposition are distinguished."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dpa_sse.ops.conductivity.displacements import Displacements
from dpa_sse.ops.conductivity.framework import check_framework, framework_msd, sublattice_motion, units_kept

TETRAHEDRON = 2.05 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)


BROMINE = np.array([[x, y, z] for x in (0.0, 8.0) for y in (0.0, 8.0) for z in (0.0, 8.0)])
HOST = slice(10, None)
PHOSPHORUS, SULFUR, BROMIDE = slice(10, 18), slice(18, 50), slice(50, 58)


def displacements_of(change=lambda moves, t, sites: None, n_samples=100, seed=0, vibration=0.15):
    """Eight PS4 units, eight Br between them and 10 Li in a cubic cell; ``change(moves, t, sites)`` moves atoms (A)."""
    rng = np.random.default_rng(seed)
    cell = 16.0
    grid = BROMINE + 4.0
    sulfur = (grid[:, None] + TETRAHEDRON[None]).reshape(-1, 3)
    sites = np.concatenate([rng.random((10, 3)) * cell, grid, sulfur, BROMINE])
    symbols = ["Li"] * 10 + ["P"] * 8 + ["S"] * 32 + ["Br"] * 8
    moves = vibration * rng.standard_normal((n_samples, 58, 3))
    for t in range(n_samples):
        change(moves[t], t / (n_samples - 1), sites)
    moves -= moves[:1]
    moves -= moves[:, 10:].mean(axis=1, keepdims=True)
    return Displacements(
        symbols=symbols, mobile=np.zeros((10, 3, n_samples), np.float32), mobile_symbols=["Li"] * 10, sums={},
        counts={},
        cell=np.eye(3) * cell, volume_A3=cell**3, dt_ps=0.1, first=sites / cell, samples=moves / cell,
        sample_frames=np.arange(n_samples) * 10, drift=np.zeros(n_samples, np.float32), drift_A=0.0,
    )


def walk(shape, rms_A, seed=1):
    """Random walks over the run with a given rms displacement at the end, by time in [0, 1]."""
    steps = np.random.default_rng(seed).standard_normal((100, *shape, 3))
    path = np.cumsum(steps, axis=0) * rms_A / np.sqrt(300)
    return lambda t: path[round(t * 99)]


def test_a_solid_is_a_solid():
    check = check_framework(displacements_of(), ["Li"])
    assert check.melted == ()
    assert check.state.moved_fraction == 0
    assert check.state.whole_units_fraction == check.state.coordinated_fraction == 1.0
    assert check.state.rmsd_A == pytest.approx(0.15 * np.sqrt(3), rel=0.1)
    assert abs(check.state.msd_slope_A2_ps) < 4 * check.state.msd_slope_sigma_A2_ps
    assert check.state.spacing_A == pytest.approx(5.0, abs=0.7)
    assert check.notes == ()


def test_vibration_at_1200_K():
    """Halides and whole tetrahedra vibrate by 0.4 A per axis, near Lindemann's limit."""
    rng = np.random.default_rng(4)

    def shake(moves, t, sites):
        units = 0.4 * rng.standard_normal((8, 3))
        moves[PHOSPHORUS] += units
        moves[SULFUR] += np.repeat(units, 4, axis=0)
        moves[BROMIDE] += 0.4 * rng.standard_normal((8, 3))

    check = check_framework(displacements_of(shake), ["Li"])
    assert check.melted == check.notes == ()
    assert all(one.rms_A < 0.15 * check.state.spacing_A for one in check.state.sublattices.values())
    assert check.state.rmsd_A > 0.6


def test_a_melt_is_seen():
    path = walk((48,), 5.0)

    def flow(moves, t, sites):
        moves[HOST] += path(t)

    check = check_framework(displacements_of(flow), ["Li"])
    assert len(check.melted) >= 2
    assert check.state.moved_fraction > 0.5


def test_halides_that_diffuse_between_whole_tetrahedra_are_a_melt():
    path = walk((8,), 5.0)

    def leave(moves, t, sites):
        moves[BROMIDE] += path(t)

    check = check_framework(displacements_of(leave), ["Li"])
    assert [reason.split(" diffuses")[0] for reason in check.melted] == ["the Br sublattice"]
    assert check.state.whole_units_fraction == 1.0
    assert check.state.sublattices["P"].displaced == 0


def test_one_halide_that_hops_is_reported_and_is_not_a_melt():
    def hop(moves, t, sites):
        moves[50] += (t > 0.4) * np.array([4.3, 0, 0])

    check = check_framework(displacements_of(hop), ["Li"])
    assert check.melted == ()
    assert check.state.sublattices["Br"].displaced == 1
    assert any("1 of 8 Br sites" in note for note in check.notes)


def test_free_sulfur_is_judged_separately():
    """One S per PS4 unit bonded to nothing: they diffuse, the bonded ones do not."""
    bromide = displacements_of()
    path = walk((8,), 5.0)
    moves = np.zeros_like(bromide.samples)
    for k in range(len(moves)):
        moves[k, BROMIDE] = path(k / 99) / 16.0
    symbols = [name if name != "Br" else "S" for name in bromide.symbols]
    check = check_framework(replace(bromide, symbols=symbols, samples=bromide.samples + moves), ["Li"])
    assert check.state.sublattices["S"].sites == 8
    assert "the S sublattice diffuses" in check.melted[0]
    assert check.state.whole_units_fraction == 1.0


def test_rotating_tetrahedra_are_not_a_melt():
    def rotate(moves, t, sites):
        angle = 2 * np.pi / 3 * t
        matrix = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        arms = (sites[SULFUR].reshape(8, 4, 3) - sites[PHOSPHORUS][:, None]).reshape(-1, 3)
        moves[SULFUR] += arms @ matrix.T - arms

    check = check_framework(displacements_of(rotate), ["Li"])
    assert check.melted == ()
    assert check.state.turned_fraction > 0.5
    assert check.state.moved_fraction == 0
    assert check.state.whole_units_fraction == 1.0
    assert any("rotation" in note for note in check.notes)


def test_a_broken_unit_is_decomposition():
    def leave(moves, t, sites):
        moves[[18, 22]] += np.array([3.0 * t, 0, 0])  # one sulfur of two units walks off

    check = check_framework(displacements_of(leave), ["Li"])
    assert check.state.whole_units_fraction == check.state.coordinated_fraction == pytest.approx(6 / 8)
    assert "decomposition" in check.melted[0]


def test_exchanged_ligands_are_reported():
    def swap(moves, t, sites):
        moves[18] += (t > 0.5) * (sites[22] - sites[18])
        moves[22] += (t > 0.5) * (sites[18] - sites[22])

    check = check_framework(displacements_of(swap), ["Li"])
    assert check.melted == ()
    assert (check.state.whole_units_fraction, check.state.coordinated_fraction) == (6 / 8, 1.0)
    assert any("exchanged" in note for note in check.notes)


def test_units_are_counted_in_portions(monkeypatch):
    def leave(moves, t, sites):
        moves[18] += np.array([3.0 * t, 0, 0])

    displacements = displacements_of(leave)
    expected = units_kept(displacements)
    monkeypatch.setattr("dpa_sse.ops.conductivity.framework._PAIRS", 40)
    assert units_kept(displacements) == expected == (7 / 8, 7 / 8)


def test_no_framework_and_few_samples():
    displacements = displacements_of()
    assert check_framework(displacements, ["Li", "P", "S", "Br"]).state.n_atoms == 0
    few = replace(displacements, samples=displacements.samples[:5], sample_frames=displacements.sample_frames[:5])
    assert check_framework(few, ["Li"]).melted == ()
    assert check_framework(few, ["Li"]).state.rmsd_A is None
    assert framework_msd(few, ["Li"])[0].size == 0
    assert sublattice_motion(few, ["Li"]) is None


def test_rms_of_sublattices_against_time():
    path = walk((8,), 5.0)

    def leave(moves, t, sites):
        moves[BROMIDE] += path(t)

    motion = sublattice_motion(displacements_of(leave), ["Li"])
    assert set(motion.rms_A) == {"P", "Br"}
    assert motion.rms_A["P"].max() < 0.3 < motion.limit_A < motion.rms_A["Br"].max()
    assert motion.times_ps[-1] == pytest.approx(97, abs=2)
