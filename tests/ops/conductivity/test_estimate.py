"""Intervals cover the truth, caged ions are refused, and what is missing is reported. Long versions are marked slow."""

from __future__ import annotations

import numpy as np
import pytest

from dpa_sse.ops.conductivity.calibrate import caged_models, coverage, measure, measure_synthetic, models
from dpa_sse.ops.conductivity.estimate import estimate_self, halves_differ
from dpa_sse.ops.conductivity.synthetic import HopModel, simulate
from dpa_sse.ops.results.conductivity import DIFFUSIVE, NOT_DIFFUSIVE


@pytest.mark.parametrize("name", ["small", "independent", "slow cage"])
def test_intervals_cover_the_truth(name):
    found = coverage(models()[name], range(60))
    assert found.reported == 60
    assert found.covered >= 0.90  # 57 of 60 expected; the long version has the bar
    assert found.rmse < {"small": 0.12, "independent": 0.10, "slow cage": 0.15}[name]
    assert found.collective_covered > 0.85
    assert found.collective_rmse < 0.45


@pytest.mark.parametrize("name", list(caged_models()))
def test_caged_ions_are_never_called_diffusive(name):
    model = caged_models()[name]
    for seed in range(15):
        estimate = estimate_self([measure_synthetic(model, seed)], model.hop_A)
        assert estimate.verdict != DIFFUSIVE
        assert estimate.D_cm2_s is None
        assert estimate.D_upper95_cm2_s > 0
        assert estimate.reasons


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "runs", "rmse", "collective"),
    [("small", 300, 0.11, 0.43), ("medium", 80, 0.055, 0.25), ("independent", 200, 0.11, 0.43),
     ("slow cage", 200, 0.15, 0.45), ("rare hops", 200, 0.25, None)],
)
def test_bars_of_the_estimators(name, runs, rmse, collective):
    found = coverage(models()[name], range(runs))
    assert 0.93 <= found.covered <= 1.0
    assert found.rmse <= rmse
    if collective is not None:
        assert 0.90 <= found.collective_covered <= 0.99
        assert found.collective_rmse <= collective


@pytest.mark.parametrize(("D", "too_fast"), [(20.0, True), (1.0, False)])
def test_diffusion_faster_than_in_any_liquid_is_remarked_on(D, too_fast):
    estimate = estimate_self([measure_synthetic(HopModel(n_frames=1200, D_A2_ps=D, hop_A=3.0), 1)], 3.0)
    assert estimate.verdict == DIFFUSIVE
    assert (estimate.D_cm2_s > 1e-3) == too_fast
    assert any(reason.startswith("D is larger than 0.001 cm2/s") for reason in estimate.reasons) == too_fast


@pytest.mark.slow
@pytest.mark.parametrize("name", list(caged_models()))
def test_no_caged_run_of_150_is_called_diffusive(name):
    model = caged_models()[name]
    verdicts = [estimate_self([measure_synthetic(model, seed)], model.hop_A).verdict for seed in range(150)]
    assert DIFFUSIVE not in verdicts


def test_a_short_run_says_how_much_is_missing():
    model = HopModel(n_frames=400, D_A2_ps=0.05)
    estimate = estimate_self([measure_synthetic(model, 1)], model.hop_A)
    assert estimate.verdict.startswith("too short (")
    assert estimate.more_ps and f"{estimate.more_ps:.0f} more ps" in estimate.verdict
    longer = HopModel(n_frames=400 + 10 * round(estimate.more_ps), D_A2_ps=0.05)
    verdicts = [estimate_self([measure_synthetic(longer, seed)], model.hop_A).verdict for seed in range(5)]
    assert verdicts.count(DIFFUSIVE) >= 3


def test_upper_limits_hold():
    """With a few hops in the whole run, the limit is above the truth in 95 of 100 runs."""
    model = HopModel(D_A2_ps=0.002)  # ten hops expected
    limits = []
    for seed in range(60):
        estimate = estimate_self([measure_synthetic(model, seed)], model.hop_A)
        assert estimate.verdict != DIFFUSIVE
        limits.append(estimate.D_upper95_cm2_s * 1e4)
    assert np.mean(np.array(limits) > model.D_A2_ps) >= 0.92
    assert np.median(limits) < 30 * model.D_A2_ps


def test_no_hop_at_all_gives_the_poisson_limit():
    model = HopModel(D_A2_ps=0.0, cage_A=0.0, vibration_A=0.2)
    estimate = estimate_self([measure_synthetic(model, 1)], 3.0)
    assert estimate.verdict == NOT_DIFFUSIVE
    poisson = 3.0 * 9 / (6 * 40 * 199.9) * 1e-4
    assert poisson * 0.99 < estimate.D_upper95_cm2_s < 3 * poisson


def test_replicas_sharpen_the_result():
    model = HopModel()
    replicas = [measure_synthetic(model, seed) for seed in range(6)]
    pooled = estimate_self(replicas, model.hop_A)
    single = estimate_self(replicas[:1], model.hop_A)
    assert pooled.ln_half95 < single.ln_half95
    assert pooled.n_hops == pytest.approx(6 * 533, rel=0.15)
    low, high = pooled.D_ci95_cm2_s
    assert low < model.D_A2_ps * 1e-4 < high
    assert len(pooled.error.replica_D_cm2_s) == 6


def test_short_replicas_together_pass_what_one_does_not():
    model = HopModel(n_ions=8, D_A2_ps=0.06, cage_A=0.3)
    replicas = [measure_synthetic(model, seed) for seed in range(8)]
    alone = [estimate_self([replica], model.hop_A).verdict for replica in replicas]
    together = estimate_self(replicas, model.hop_A)
    assert alone.count(DIFFUSIVE) < 8
    assert together.verdict == DIFFUSIVE
    low, high = together.D_ci95_cm2_s
    assert low < 0.06e-4 < high


def test_replicas_that_differ_widen_the_interval():
    slow, fast = HopModel(D_A2_ps=0.05, cage_A=0.3), HopModel(D_A2_ps=0.2, cage_A=0.3)
    alike = estimate_self([measure_synthetic(HopModel(D_A2_ps=0.1, cage_A=0.3), seed) for seed in range(4)], 3.0)
    mixed = estimate_self([measure_synthetic(model, seed) for seed, model in enumerate((slow, slow, fast, fast))], 3.0)
    assert mixed.error.ln_half95 > 2 * alike.ln_half95


def test_one_jump_of_everything_is_not_diffusion():
    """A glitch that moves all ions at once gives a straight MSD; only the time blocks reveal it."""
    for where in (0.3, 0.5, 0.77):
        series = simulate(HopModel(D_A2_ps=0.0), 1)
        series[:, 0, int(where * series.shape[2]) :] += 20.0
        estimate = estimate_self([measure(series, 0.1, 3.0)], 3.0)
        assert estimate.verdict != DIFFUSIVE


def test_ions_that_do_not_move_at_all():
    estimate = estimate_self([measure(np.zeros((5, 3, 500)), 0.1, 3.0)], 3.0)
    assert estimate.verdict == NOT_DIFFUSIVE
    assert estimate.D_upper95_cm2_s == pytest.approx(3.0 * 9 / (6 * 5 * 49.9) * 1e-4, rel=0.01)


def test_a_handful_of_frames_is_refused():
    series = np.random.default_rng(0).standard_normal((10, 3, 20)).cumsum(axis=2)
    estimate = estimate_self([measure(series, 10.0, 3.0)], 3.0)
    assert estimate.verdict == "unreliable: too few frames"
    assert estimate.D_cm2_s is None


def test_a_given_start_is_used():
    model = HopModel()
    replica = measure_synthetic(model, 4)
    given = estimate_self([replica], model.hop_A, given_ps=15.0)
    assert given.fit.start_ps == 15.0
    assert len(given.fit.plateau) == 1
    low, high = given.D_ci95_cm2_s
    assert low < model.D_A2_ps * 1e-4 < high


def test_a_start_that_is_too_early_is_flagged():
    model = HopModel(n_ions=100, n_frames=5000)
    estimate = estimate_self([measure_synthetic(model, 1)], model.hop_A, given_ps=1.0)
    assert any("curved" in reason for reason in estimate.reasons)


def test_a_run_out_of_equilibrium_is_noted():
    assert halves_differ(np.array([1.0, 1.1, 0.9, 1.05, 3.0, 3.1, 2.9, 3.05])) > 3
    assert abs(halves_differ(np.array([1.0, 1.3, 0.7, 1.2, 0.8, 1.0, 1.1, 0.9]))) < 3
    assert halves_differ(np.ones(4)) is None


def test_the_line_is_held_against_the_end_of_the_curve():
    """A cage of twelve sites fills up after the fit: refused with that reason; free ions keep to the line."""
    model = caged_models()["cage of sites"]
    estimate = estimate_self([measure_synthetic(model, 3)], model.hop_A, given_ps=4.0)
    assert estimate.verdict == "not diffusive (upper limit)"
    assert "the MSD bends" in estimate.reasons[0]
    sigmas = [
        estimate_self([measure_synthetic(HopModel(), seed)], 3.0).error.late_rise_sigma for seed in range(25)
    ]
    assert abs(np.mean(sigmas)) < 0.6
    assert 0.5 < np.std(sigmas) < 1.4


def test_hops_among_the_sites_of_a_cage_widen_the_interval():
    """Ions relax in a cage of twelve sites (36 ps) and leave it now and then: D is biased, and the error covers it."""
    inside = HopModel(n_ions=60, dt_ps=0.2, D_A2_ps=0.048, hop_A=2.4, cage_sites=True, shared=0.0, cage_A=0.0)
    between = HopModel(n_ions=60, dt_ps=0.2, D_A2_ps=0.03, hop_A=7.0, shared=0.0, cage_A=0.0, vibration_A=0.0)
    covered = []
    for seed in range(40):
        series = simulate(inside, seed) + simulate(between, 1000 + seed)
        estimate = estimate_self([measure(series, 0.2, 3.0)], 3.0)
        if estimate.verdict == DIFFUSIVE:
            low, high = estimate.D_ci95_cm2_s
            covered.append(low < 0.03e-4 < high)
    assert len(covered) >= 20
    assert np.mean(covered) >= 0.8


def test_upper_limits_hold_for_ions_that_hop_in_groups():
    model = HopModel(D_A2_ps=0.008, shared=1.0, group=5, cage_A=0.2)  # eight events expected, of five ions each
    estimates = [estimate_self([measure_synthetic(model, seed)], model.hop_A) for seed in range(60)]
    limits = np.array([one.D_upper95_cm2_s * 1e4 for one in estimates if one.verdict != DIFFUSIVE])
    assert len(limits) >= 55
    assert np.mean(limits > model.D_A2_ps) >= 0.9


def test_a_given_start_that_is_too_late_says_how_long_the_run_must_be():
    estimate = estimate_self([measure_synthetic(HopModel(), 1)], 3.0, given_ps=150.0)
    assert estimate.verdict == "too short (1001 more ps needed)"
    assert "the given start of 150 ps is later than 25 ps" in estimate.reasons[0]
