"""Against pymatgen-analysis-diffusion: equal where it is right, and why not where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from dpa_sse.ops.conductivity.correlation import cross_msd, msd_tensor
from dpa_sse.ops.conductivity.displacements import read_displacements
from dpa_sse.ops.conductivity.nernst_einstein import nernst_einstein
from dpa_sse.ops.conductivity.readers.trajectory import Chunk, Trajectory

TEMPERATURE_K = 900.0


def analysed_by_pymatgen(sample, n_frames):
    from pymatgen.analysis.diffusion.analyzer import DiffusionAnalyzer
    from pymatgen.core import Lattice, Structure

    structures = [
        Structure(Lattice(cell), sample.symbols, frame, coords_are_cartesian=True)
        for frame, cell in zip(sample.wrapped()[:n_frames], sample.cells[:n_frames], strict=True)
    ]
    return DiffusionAnalyzer.from_structures(
        structures, "Li", TEMPERATURE_K, time_step=100, step_skip=1, smoothed="max", min_obs=1
    )


def displacements_of(sample, n_frames):
    chunk = Chunk(
        sample.wrapped()[:n_frames], sample.cells[:n_frames], np.zeros((n_frames, 3)), 0.1 * np.arange(n_frames)
    )
    return read_displacements(Trajectory(sample.symbols, iter([chunk])), ["Li"])


def breathing(sample, strain=0.02):
    """The same reduced positions in a cell that breathes."""
    scale = 1 + strain * np.random.default_rng(5).standard_normal(len(sample.positions))
    sample.positions = sample.positions * scale[:, None, None]
    sample.cells = sample.cells * scale[:, None, None]
    return sample


def test_fixed_cell_displacements_are_equal(makers):
    """Triclinic, wrapped, drifting: total, per axis, charge; and the factor from D to the conductivity."""
    sample = makers.sample(n_frames=300)
    theirs, displacements = analysed_by_pymatgen(sample, 300), displacements_of(sample, 300)
    lags = np.rint(theirs.dt / 100).astype(int)
    tensor = msd_tensor(displacements.mobile, 299)[:, lags]
    assert len(lags) > 100
    np.testing.assert_allclose(tensor[:3].sum(axis=0), theirs.msd, rtol=1e-6)
    np.testing.assert_allclose(tensor[:3].T, theirs.msd_components, rtol=2e-6)
    charge = cross_msd(displacements.sums["Li"], displacements.sums["Li"], 299)[lags] / 12
    np.testing.assert_allclose(charge, theirs.mscd, rtol=1e-6)
    factor = nernst_einstein(1.0, 12, 1.0, displacements.volume_A3, TEMPERATURE_K)
    assert theirs.conductivity / theirs.diffusivity == pytest.approx(factor, rel=1e-6)


def test_in_a_breathing_cell_pymatgen_multiplies_displacements_by_the_cell_of_the_moment(makers):
    """Its MSD is that of reduced displacements times h(t): the drift of ions breathes and is counted as motion."""
    sample = breathing(makers.sample(n_frames=300, drift=1.0))
    theirs, displacements = analysed_by_pymatgen(sample, 300), displacements_of(sample, 300)
    lags = np.rint(theirs.dt / 100).astype(int)
    reduced = np.einsum("tnc,tcd->tnd", sample.positions, np.linalg.inv(sample.cells))
    reduced -= reduced[0]

    def msd(cells):
        moves = np.einsum("tnc,tcd->tnd", reduced, cells)
        relative = moves[:, :12] - moves[:, 12:].mean(axis=1, keepdims=True)
        return msd_tensor(relative.transpose(1, 2, 0), 299)[:3].sum(axis=0)[lags]

    mean = np.broadcast_to(sample.cells.mean(axis=0), sample.cells.shape)
    np.testing.assert_allclose(theirs.msd, msd(sample.cells), rtol=1e-6)
    np.testing.assert_allclose(msd_tensor(displacements.mobile, 299)[:3].sum(axis=0)[lags], msd(mean), rtol=1e-6)
    assert np.abs(theirs.msd / msd(mean) - 1).max() > 1e-3


def test_in_a_breathing_cell_pymatgen_takes_the_volume_of_the_first_frame(makers):
    sample = breathing(makers.sample(n_frames=300))
    theirs, displacements = analysed_by_pymatgen(sample, 300), displacements_of(sample, 300)
    first = float(np.linalg.det(sample.cells[0]))
    factor = theirs.conductivity / theirs.diffusivity
    assert factor == pytest.approx(nernst_einstein(1.0, 12, 1.0, first, TEMPERATURE_K), rel=1e-6)
    assert displacements.volume_A3 == pytest.approx(np.linalg.det(sample.cells).mean(), rel=1e-9)
    assert abs(first / displacements.volume_A3 - 1) > 0.001


def test_the_error_that_pymatgen_claims_is_far_too_small(makers):
    """Neighbouring points of the curve are almost copies: the claimed error is below a tenth of the true one."""
    ratios = []
    claimed = []
    for seed in range(12):
        one = analysed_by_pymatgen(makers.sample(n_frames=300, seed=seed), 300)
        ratios.append(one.diffusivity / 1e-5)
        claimed.append(one.diffusivity_std_dev / 1e-5)
    assert np.std(ratios) > 10 * np.median(claimed)
