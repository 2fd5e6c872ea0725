"""The covariance of overlapping windows is exact, and the slope unbiased."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dpa_sse.ops.conductivity.correlation import log_lags, msd_tensor
from dpa_sse.ops.conductivity.gls import Curve, combine, covariance, curvature, fit_line, overlap_table
from dpa_sse.ops.conductivity.kernels import overlap_sums


def brute_sums(m, n, frames):
    sums = np.zeros(4)
    for s in range(frames - m):
        for t in range(frames - n):
            overlap = max(0, min(s + m, t + n) - max(s, t))
            ends = int(s + m == t + n) + int(s == t) - int(s + m == t) - int(s == t + n)
            sums += overlap**2, overlap * ends, ends**2, overlap
    return sums / ((frames - m) * (frames - n))


def test_overlap_sums_equal_brute_force():
    lags = np.array([1, 2, 3, 7, 20])
    table = overlap_sums(lags, 40 - lags)
    for i, m in enumerate(lags):
        for j, n in enumerate(lags):
            np.testing.assert_allclose(table[:, i, j], brute_sums(m, n, 40), rtol=1e-12, atol=1e-12)


def test_coarse_table_is_close_to_the_exact_one():
    lags = np.array([400, 700, 1500, 5000])
    exact = overlap_sums(lags, 60_000 - lags)
    np.testing.assert_allclose(overlap_table(lags, 60_000)[[0, 3]], exact[[0, 3]], rtol=0.01)


def brownian(n_runs, n_ions, n_frames, slope, noise, seed):
    rng = np.random.default_rng(seed)
    lags = np.array([2, 5, 12, 30])
    curves = []
    for _ in range(n_runs):
        steps = rng.standard_normal((n_ions, 3, n_frames)) * np.sqrt(slope / 3)
        tracks = steps.cumsum(axis=2) + noise * rng.standard_normal((n_ions, 3, n_frames))
        curves.append(msd_tensor(tracks, 30)[:3].sum(axis=0)[lags])
    return lags, np.array(curves)


def test_covariance_equals_that_of_simulated_brownian_motion():
    """Brownian motion with white noise: 1500 runs against the formula of Bullerjahn et al."""
    slope, noise = 0.3, 0.5
    lags, curves = brownian(1500, 4, 120, slope, noise, 1)
    curve = combine([curves.mean(axis=0)], [120], [4], lags, 1.0)
    model = covariance(curve, slope, 6 * noise**2)
    np.testing.assert_allclose(np.cov(curves.T), model, rtol=0.15)
    np.testing.assert_allclose(curves.mean(axis=0), slope * lags + 6 * noise**2, rtol=0.02)


def test_claimed_error_is_the_true_scatter():
    lags, curves = brownian(400, 10, 300, 0.3, 0.5, 2)
    fits = [fit_line(combine([curve], [300], [10], lags, 1.0)) for curve in curves]
    slopes = np.array([line.slope for line in fits])
    assert slopes.mean() == pytest.approx(0.3, rel=0.02)
    assert np.median([line.sigma for line in fits]) == pytest.approx(slopes.std(), rel=0.12)
    assert np.mean([line.chi2_red for line in fits]) == pytest.approx(1.0, abs=0.15)
    inside = np.abs(slopes - 0.3) < 1.96 * np.array([line.sigma for line in fits])
    assert 0.92 < inside.mean() < 0.98


def test_hops_add_their_fourth_cumulant():
    """A compound Poisson process: the a2 term is needed and enough."""
    rng = np.random.default_rng(3)
    rate, hop, n_ions, frames = 0.02, 3.0, 20, 600
    lags = np.array([5, 12, 30, 70])
    curves = []
    for _ in range(400):
        events = rng.random((n_ions, frames)) < rate
        vectors = rng.standard_normal((n_ions, 3, frames))
        vectors *= hop / np.linalg.norm(vectors, axis=1, keepdims=True)
        tracks = (vectors * events[:, None]).cumsum(axis=2)
        curves.append(msd_tensor(tracks, 70)[:3].sum(axis=0)[lags])
    curves = np.array(curves)
    slope = rate * hop**2
    curve = combine([curves.mean(axis=0)], [frames], [n_ions], lags, 1.0, fourth_rate=rate * hop**4)
    found = np.diag(np.cov(curves.T))
    np.testing.assert_allclose(found, np.diag(covariance(curve, slope, 0.0)), rtol=0.2)
    without = dataclasses.replace(curve, fourth_rate=0.0)
    assert (np.diag(covariance(without, slope, 0.0)) < 0.75 * found)[0]


def test_replicas_are_combined_with_their_weights():
    lags = np.array([3, 6, 12, 24])
    one = combine([np.arange(4.0)], [200], [5], lags, 0.1)
    four = combine([np.arange(4.0)] * 4, [200] * 4, [5] * 4, lags, 0.1)
    np.testing.assert_allclose(four.values, one.values)
    np.testing.assert_allclose(four.table, one.table / 4)
    uneven = combine([np.zeros(4), np.ones(4)], [100, 300], [5, 5], lags, 0.1)
    np.testing.assert_allclose(uneven.values, 0.75)


def test_curvature_sees_a_relaxing_cage():
    lags = log_lags(20, 400)
    times = lags * 0.1
    table = overlap_table(lags, 4000) / 100
    straight = Curve(lags, times, 0.4 + 0.6 * times, table, 0.1)
    bent = Curve(lags, times, 0.4 + 0.6 * times + 3 * (1 - np.exp(-times / 3)), table, 0.1)
    assert abs(curvature(straight, fit_line(straight))) < 1e-6
    assert curvature(bent, fit_line(bent)) < -3


def test_a_falling_msd_has_a_negative_slope_and_a_finite_error():
    lags = log_lags(20, 400)
    curve = Curve(lags, lags * 0.1, 5 - 0.01 * lags * 0.1, overlap_table(lags, 4000) / 10, 0.1)
    line = fit_line(curve)
    assert line.slope < 0
    assert np.isfinite(line.sigma)


def test_kernels_work_without_a_place_for_the_cache(monkeypatch):
    from dpa_sse.ops.conductivity import kernels

    real, asked = kernels.njit, []

    def no_place(cache=False, **options):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(kernels, "njit", no_place)
    assert kernels.compiled()(lambda x: x + 1)(2) == 3
    assert asked == [True, False]
