"""Melting, rotating tetrahedra and decomposition are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from ops.conductivity.framework import check_framework, framework_msd
from ops.conductivity.tracks import Tracks

TETRAHEDRON = 2.05 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)


def tracks_of(change, n_samples=100, seed=0):
    """Eight PS4 units and 10 Li in a cubic cell; ``change(moves, t)`` adds displacements (A) to the framework."""
    rng = np.random.default_rng(seed)
    cell = 16.0
    grid = np.array([[x, y, z] for x in (4.0, 12.0) for y in (4.0, 12.0) for z in (4.0, 12.0)])
    sulfur = (grid[:, None] + TETRAHEDRON[None]).reshape(-1, 3)
    sites = np.concatenate([rng.random((10, 3)) * cell, grid, sulfur])
    symbols = ["Li"] * 10 + ["P"] * 8 + ["S"] * 32
    moves = 0.15 * rng.standard_normal((n_samples, 50, 3))
    for t in range(n_samples):
        change(moves[t], t / (n_samples - 1), sites)
    moves -= moves[:1]
    moves -= moves[:, 10:].mean(axis=1, keepdims=True)
    return Tracks(
        symbols=symbols, mobile=np.zeros((10, 3, n_samples), np.float32), mobile_symbols=["Li"] * 10, sums={},
        counts={},
        cell=np.eye(3) * cell, volume_A3=cell**3, dt_ps=0.1, first=sites / cell, samples=moves / cell,
        sample_frames=np.arange(n_samples) * 10, drift_A=0.0,
    )


def test_a_solid_is_a_solid():
    state = check_framework(tracks_of(lambda moves, t, sites: None), ["Li"])
    assert state["melted"] is False
    assert state["moved_fraction"] == 0
    assert state["whole_units_fraction"] == 1.0
    assert state["rmsd_A"] == pytest.approx(0.15 * np.sqrt(3), rel=0.1)
    assert abs(state["msd_slope_A2_ps"]) < 4 * state["msd_slope_sigma_A2_ps"]
    assert state["notes"] == []


def test_a_melt_is_seen():
    def flow(moves, t, sites):
        directions = np.random.default_rng(1).standard_normal((40, 3))
        moves[10:] += 6 * t * directions

    state = check_framework(tracks_of(flow), ["Li"])
    assert state["melted"] is True
    assert state["moved_fraction"] > 0.5


def test_rotating_tetrahedra_are_no_melt():
    def rotate(moves, t, sites):
        angle = 2 * np.pi / 3 * t
        matrix = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        arms = (sites[18:].reshape(8, 4, 3) - sites[10:18][:, None]).reshape(-1, 3)
        moves[18:] += arms @ matrix.T - arms

    state = check_framework(tracks_of(rotate), ["Li"])
    assert state["melted"] is False
    assert state["moved_fraction_by_species"]["S"] > 0.5
    assert state["moved_fraction_by_species"]["P"] == 0
    assert state["whole_units_fraction"] == 1.0
    assert any("rotation" in note for note in state["notes"])


def test_a_broken_unit_is_decomposition():
    def leave(moves, t, sites):
        moves[[18, 22]] += np.array([3.0 * t, 0, 0])  # one sulfur of two units walks off

    state = check_framework(tracks_of(leave), ["Li"])
    assert state["whole_units_fraction"] == pytest.approx(6 / 8)
    assert any("decomposition" in note for note in state["notes"])
    assert state["melted"] is False


def test_no_framework_and_few_samples():
    tracks = tracks_of(lambda moves, t, sites: None)
    assert check_framework(tracks, ["Li", "P", "S"])["n_atoms"] == 0
    tracks.samples, tracks.sample_frames = tracks.samples[:5], tracks.sample_frames[:5]
    assert check_framework(tracks, ["Li"])["melted"] is False
    assert framework_msd(tracks, ["Li"])[0].size == 0
