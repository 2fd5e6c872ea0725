"""Arrhenius line: exact on exact data, honest on noisy data, and outspoken about what it cannot know."""

from __future__ import annotations

import numpy as np
import pytest

from dpa_sse.ops.conductivity.arrhenius import (
    KB_EV,
    ArrheniusPoint,
    analyse_arrhenius,
    curvature_p,
    density_at,
    fit_arrhenius,
)
from dpa_sse.ops.core.errors import InputError

TEMPERATURES = np.array([600.0, 700.0, 800.0, 900.0, 1000.0, 1100.0])
RSD = np.array([0.18, 0.14, 0.11, 0.09, 0.07, 0.06])


def D_of(T, Ea=0.25, D0=2e-4):
    return D0 * np.exp(-Ea / (KB_EV * np.asarray(T)))


def points_at(T=TEMPERATURES, D=None, rsd=RSD, density=0.02):
    D = D_of(T) if D is None else D
    return [ArrheniusPoint(float(t), float(d), float(s), density_A3=density) for t, d, s in zip(T, D, rsd, strict=True)]


def test_exact_points_give_the_exact_line():
    result = analyse_arrhenius(points_at(), [300.0])
    assert result.Ea_eV == pytest.approx(0.25, abs=1e-9)
    assert result.D0_cm2_s == pytest.approx(2e-4, rel=1e-8)
    assert result.at(300.0).D_cm2_s == pytest.approx(D_of(300.0), rel=1e-8)
    assert result.chi2_red == pytest.approx(0, abs=1e-12)
    assert result.curvature_p == pytest.approx(1.0, abs=1e-3)
    expected = 0.02e30 * 1.602176634e-19**2 * D_of(300.0) * 1e-4 / (1.380649e-23 * 300) * 10
    assert result.at(300.0).sigma_mS_cm == pytest.approx(expected, rel=1e-8)
    low, high = result.at(300.0).D_ci95_cm2_s
    assert low * high == pytest.approx(D_of(300.0) ** 2, rel=1e-6)  # symmetric in ln D only


@pytest.mark.parametrize(
    ("trials", "low", "high"), [(400, 0.92, 0.98), pytest.param(2000, 0.93, 0.97, marks=pytest.mark.slow)]
)
def test_extrapolation_covers_the_truth(trials, low, high):
    """Bar: the interval of sigma(300 K) covers the truth in 0.93-0.97 of 2000 trials."""
    rng = np.random.default_rng(7)
    hits, energies = 0, 0
    truth = analyse_arrhenius(points_at(), [300.0]).at(300.0).sigma_mS_cm
    for _ in range(trials):
        noisy = D_of(TEMPERATURES) * np.exp(RSD * rng.standard_normal(6))
        result = analyse_arrhenius(points_at(D=noisy), [300.0])
        a, b = result.at(300.0).sigma_ci95_mS_cm
        hits += a < truth < b
        a, b = result.Ea_ci95_eV
        energies += a < 0.25 < b
    assert low <= hits / trials <= high
    assert low <= energies / trials <= high + 0.01  # the scatter of the points widens an interval, never narrows it


def test_fitting_sigma_itself_would_be_wrong():
    """m = -1 is ln D or ln(sigma T); with m = 0, a fit of ln sigma, sigma(300 K) comes out twice too large."""
    right = analyse_arrhenius(points_at(), [300.0], exponent=-1.0)
    wrong = analyse_arrhenius(points_at(), [300.0], exponent=0.0)
    assert 1.7 < wrong.at(300.0).sigma_mS_cm / right.at(300.0).sigma_mS_cm < 2.5
    assert right.Ea_eV - wrong.Ea_eV == pytest.approx(0.07, abs=0.01)


def test_line_passes_its_points_for_any_exponent():
    for exponent in (-1.0, 0.0, 0.5):
        truth = D_of(TEMPERATURES) * TEMPERATURES ** (1 + exponent)
        line = fit_arrhenius(points_at(D=truth), exponent)
        assert line.ln_D(800.0)[0] == pytest.approx(np.log(truth[2]), abs=1e-9)
        assert line.activation_eV[0] == pytest.approx(0.25, abs=1e-9)


def test_covariance_of_intercept_and_slope_is_used():
    line = fit_arrhenius(points_at())
    v = np.array([1, 1 / 300])
    without = np.sqrt((v**2) @ np.diag(line.covariance))
    assert line.ln_D(300.0)[1] < 0.7 * without
    assert line.ln_D(800.0)[1] < line.ln_D(300.0)[1]


def test_scatter_beyond_the_errors_widens_the_interval():
    rng = np.random.default_rng(3)
    noisy = D_of(TEMPERATURES) * np.exp(0.5 * rng.standard_normal(6))
    assert fit_arrhenius(points_at(D=noisy)).ln_D(300.0)[1] > 2 * fit_arrhenius(points_at()).ln_D(300.0)[1]


def test_a_kink_is_announced():
    bent = D_of(TEMPERATURES) * np.where(TEMPERATURES < 850, np.exp(-0.3 / KB_EV * (1 / TEMPERATURES - 1 / 850)), 1.0)
    points = points_at(D=bent, rsd=RSD / 3)
    assert curvature_p(points) < 0.01
    result = analyse_arrhenius(points, [300.0])
    assert any("curved" in note for note in result.notes)
    assert curvature_p(points_at()[:3]) is None


def test_refused_runs_are_limits_not_points():
    high = points_at()
    loose, tight = ArrheniusPoint(400.0, None, upper_cm2_s=1e-5), ArrheniusPoint(400.0, None, upper_cm2_s=1e-9)
    for limit, expected in ((loose, False), (tight, True)):
        result = analyse_arrhenius([*high, limit], [300.0])
        assert result.points_refused == (400.0,)
        assert result.Ea_eV == pytest.approx(0.25, abs=1e-9)
        assert any("upper limit" in note for note in result.notes) is expected


def test_direct_low_temperature_runs_are_compared_only():
    direct = ArrheniusPoint(300.0, float(D_of(300.0)) * 30, 0.2)
    result = analyse_arrhenius([*points_at(), direct], [300.0])
    assert result.points_compared == (300.0,)
    assert result.Ea_eV == pytest.approx(0.25, abs=1e-9)
    assert any("differs from the line" in note for note in result.notes)
    agreeing = ArrheniusPoint(300.0, float(D_of(300.0)), 0.2)
    notes = analyse_arrhenius([*points_at(), agreeing], [300.0]).notes
    assert any("agrees with the line" in note for note in notes)
    fitted = analyse_arrhenius([*points_at(), agreeing], [300.0], direct_below_K=200.0)
    assert 300.0 in fitted.points_used


def test_leave_one_out_range():
    result = analyse_arrhenius(points_at(), [300.0])
    low, high = result.extrapolated[0].D_leave_one_out_cm2_s
    assert low == pytest.approx(high, rel=1e-6)
    outlier = D_of(TEMPERATURES)
    outlier[0] *= 3
    low, high = analyse_arrhenius(points_at(D=outlier), [300.0]).extrapolated[0].D_leave_one_out_cm2_s
    assert high > 2 * low


def test_nothing_is_extrapolated_along_a_line_that_may_be_flat():
    flat = [ArrheniusPoint(525.0, 4.2e-5, 0.16), ArrheniusPoint(575.0, 3.6e-5, 0.12)]
    result = analyse_arrhenius(flat, [300.0])
    assert result.Ea_eV is not None
    assert not result.determined
    assert result.Ea_ci95_eV[0] < 0 < result.Ea_ci95_eV[1]
    assert result.at(300.0) is None
    assert result.extrapolated == ()
    assert min(result.curve.temperature_K) == pytest.approx(525)
    assert "nothing is extrapolated" in result.notes[0]


def test_too_few_points():
    for points in ([], points_at()[:1]):
        result = analyse_arrhenius(points, [300.0, 350.0])
        assert result.Ea_eV is result.curve is result.at(300.0) is result.at(350.0) is None
        assert "fewer than two" in result.notes[0]
    with pytest.raises(InputError, match="two temperatures"):
        fit_arrhenius(points_at()[:1])
    two = analyse_arrhenius(points_at()[::5], [300.0])
    assert two.chi2_red is None
    assert any("cannot be tested" in note for note in two.notes)


def test_density_follows_thermal_expansion():
    points = [ArrheniusPoint(T, 1e-6, 0.1, density_A3=0.02 / (1 + 1e-4 * (T - 300))) for T in (600.0, 800.0, 1000.0)]
    assert density_at(points, 300.0) == pytest.approx(0.02, rel=1e-6)
    assert density_at([], 300.0) is None
    assert density_at(points[:1], 300.0) == points[0].density_A3


def test_a_prefactor_of_another_exponent_is_not_a_diffusion_coefficient():
    points = [ArrheniusPoint(T, 2e-4 * np.exp(-0.25 / KB_EV / T), 0.1) for T in (600.0, 800.0, 1000.0)]
    assert analyse_arrhenius(points, [300.0]).D0_cm2_s == pytest.approx(2e-4)
    assert analyse_arrhenius(points, [300.0], exponent=0.0).D0_cm2_s is None
