"""Mean squared displacements against brute force, MDAnalysis and kinisi."""

from __future__ import annotations

import numpy as np
import pytest

from dpa_sse.ops.conductivity.correlation import cross_msd, fourth_moments, log_lags, msd_tensor
from dpa_sse.ops.conductivity.motion import non_gaussian
from dpa_sse.ops.conductivity.synthetic import HopModel, simulate


@pytest.fixture(scope="module")
def tracks():
    return simulate(HopModel(n_ions=7, n_frames=400), 11).astype(np.float32)


def brute(tracks, lag):
    return tracks[:, :, lag:].astype(float) - tracks[:, :, : tracks.shape[2] - lag].astype(float)


def test_tensor_equals_brute_force(tracks):
    tensor = msd_tensor(tracks, 200)
    for lag in (0, 1, 2, 17, 100, 200):
        moves = brute(tracks, lag)
        expected = np.einsum("ict,idt->cd", moves, moves) / (moves.shape[0] * moves.shape[2])
        found = tensor[:, lag]
        matrix = found[[[0, 3, 4], [3, 1, 5], [4, 5, 2]]]
        np.testing.assert_allclose(matrix, expected, rtol=1e-10, atol=1e-10)


def test_cross_displacement_equals_brute_force(tracks):
    a, b = tracks[:3].sum(axis=0).astype(float), tracks[3:].sum(axis=0).astype(float)
    found = cross_msd(a, b, 150)
    for lag in (1, 40, 150):
        expected = ((a[:, lag:] - a[:, :-lag]) * (b[:, lag:] - b[:, :-lag])).sum(axis=0).mean()
        assert found[lag] == pytest.approx(expected, rel=1e-10)


def test_far_from_the_origin_nothing_is_lost(tracks):
    """Displacements of thousands of Angstrom must not eat the digits of a vibration."""
    shifted = tracks.astype(np.float64) + 5e4
    np.testing.assert_allclose(msd_tensor(shifted, 50), msd_tensor(tracks.astype(np.float64), 50), rtol=1e-8, atol=1e-8)


def test_fourth_moments_equal_brute_force(tracks):
    lags = np.array([1, 5, 60])
    second, fourth = fourth_moments(tracks, lags, samples=10**9)
    for k, lag in enumerate(lags):
        squares = (brute(tracks, lag) ** 2).sum(axis=1)
        assert second[k] == pytest.approx(squares.mean(), rel=1e-5)
        assert fourth[k] == pytest.approx((squares**2).mean(), rel=1e-5)


def test_gaussian_motion_has_no_excess():
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((200, 3, 2000)).cumsum(axis=2).astype(np.float32)
    second, fourth = fourth_moments(steps, np.array([1, 10]))
    np.testing.assert_allclose(non_gaussian(second, fourth), 0, atol=0.05)


def test_truth_of_the_generator():
    """MSD(t) = 6 D t + 6 u^2 + 6 c^2 (1 - exp(-t / tau))."""
    model = HopModel(n_ions=3000, n_frames=300, shared=0.0, group=1)
    msd = msd_tensor(simulate(model, 2), 150)[:3].sum(axis=0)
    times = np.arange(151) * model.dt_ps
    expected = 6 * 0.1 * times + 6 * 0.25**2 + 6 * 0.49 * (1 - np.exp(-times / 3.0))
    np.testing.assert_allclose(msd[1:], expected[1:], rtol=0.05)


def test_shared_hops_change_the_collective_part_only():
    model = HopModel(n_ions=200, n_frames=4000, shared=0.5, group=5, cage_A=0.0, vibration_A=0.01)
    tracks = simulate(model, 4)
    own = msd_tensor(tracks, 20)[:3].sum(axis=0)[20] / (6 * 2.0)
    total = tracks.sum(axis=0)
    collective = cross_msd(total, total, 20)[20] / (6 * 2.0 * 200)
    assert own == pytest.approx(0.1, rel=0.05)
    assert collective == pytest.approx(model.collective_diffusion, rel=0.15)
    assert model.collective_diffusion == pytest.approx(0.3)


def test_log_lags():
    assert log_lags(1, 10).tolist() == sorted(set(log_lags(1, 10).tolist()))
    assert log_lags(5, 4).size == 0
    assert log_lags(7, 7).tolist() == [7]


def by_mdanalysis(tracks):
    import MDAnalysis
    from MDAnalysis.analysis.msd import EinsteinMSD

    universe = MDAnalysis.Universe.empty(len(tracks), trajectory=True)
    universe.load_new(np.ascontiguousarray(tracks.transpose(2, 0, 1)))
    return EinsteinMSD(universe, select="all", fft=False).run().results.timeseries


def test_agrees_with_mdanalysis(tracks):
    np.testing.assert_allclose(msd_tensor(tracks, 399)[:3].sum(axis=0)[1:], by_mdanalysis(tracks)[1:], rtol=1e-9)


def test_mdanalysis_counts_the_drift_of_the_framework_as_motion(tracks):
    """It has no reference frame: (v t)^2 is added to the MSD, which a straight line takes for diffusion."""
    times = np.arange(400, dtype=np.float32)
    drifting = tracks + 0.01 * times
    theirs, mine = by_mdanalysis(drifting), msd_tensor(tracks, 399)[:3].sum(axis=0)
    moves = [(tracks[:, :, k:] - tracks[:, :, : 400 - k]).astype(float).sum(axis=1).mean() for k in range(400)]
    explained = mine + 3 * (0.01 * times) ** 2 + 2 * 0.01 * times * np.array(moves)
    np.testing.assert_allclose(theirs[1:], explained[1:], rtol=1e-4)
    assert theirs[200] > 1.5 * mine[200]


def test_agrees_with_kinisi_apart_from_its_doubled_first_frame(makers):
    """kinisi 2.1 counts the first frame twice: its MSD is ours of a trajectory that starts with x0, x0, x1, ..."""
    kinisi_analyze = pytest.importorskip("kinisi.analyze")
    import scipp as sc
    from ase import Atoms

    n_frames = 200
    sample = makers.sample(n_frames=n_frames, n_li=8, drift=0.0, cell=np.diag([14.0, 13.0, 15.0]))
    # a time step of 1/8 ps: kinisi truncates time / step, so 4.3 ps / 0.1 ps becomes lag 42
    images = [Atoms(sample.symbols, positions=p, cell=sample.cells[0], pbc=True) for p in sample.wrapped()]
    theirs = kinisi_analyze.DiffusionAnalyzer.from_ase(
        images, specie="Li", time_step=0.125 * sc.Unit("ps"), step_skip=1 * sc.Unit("dimensionless"), progress=False,
    )
    moves = sample.positions - sample.positions[0]
    moves -= moves[:, 8:].mean(axis=1, keepdims=True)
    tracks = np.ascontiguousarray(moves[:, :8].transpose(1, 2, 0))
    doubled = np.concatenate([tracks[:, :, :1], tracks], axis=2)
    lags = np.rint(theirs.dt.values / 0.125).astype(int)
    inside = lags < n_frames
    explained = msd_tensor(doubled, n_frames)[:3].sum(axis=0)[lags[inside]]
    np.testing.assert_allclose(theirs.msd.values[inside], explained, rtol=1e-6)
    right = msd_tensor(tracks, n_frames - 1)[:3].sum(axis=0)[lags[inside]]
    assert np.abs(theirs.msd.values[inside] / right - 1).max() > 1e-3
