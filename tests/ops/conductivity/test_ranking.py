"""The order of systems: probabilities that hold, and no order where the intervals do not allow one."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from dpa_sse.ops.conductivity.analyse import Analysis, summarise_runs
from dpa_sse.ops.conductivity.arrhenius import ArrheniusPoint, analyse_arrhenius
from dpa_sse.ops.conductivity.output import write_analysis
from dpa_sse.ops.conductivity.ranking import posterior, rank_systems
from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.conductivity.terminal import result_lines
from dpa_sse.ops.results.conductivity import PooledTransport

T = (600.0, 700.0, 800.0, 900.0)
KB_EV = 8.617333262e-5


def line(Ea, rng=None, sigma=0.05, D0=1e-3):
    noise = np.zeros(len(T)) if rng is None else sigma * rng.standard_normal(len(T))
    points = [
        ArrheniusPoint(t, D0 * np.exp(-Ea / (KB_EV * t) + e), sigma, density_A3=0.02)
        for t, e in zip(T, noise, strict=True)
    ]
    return analyse_arrhenius(points, [300.0])


@pytest.mark.parametrize("spread", [0.3, 1.5])
def test_stated_probabilities_are_calibrated(spread):
    """Of the pairs given about 90 %, 85 to 95 % are right, for compounds that differ much or little."""
    rng = np.random.default_rng(7)
    stated, right = [], []
    for _ in range(500):
        n = int(rng.integers(2, 9))
        truth = 1.0 + spread * rng.standard_normal(n)
        errors = rng.uniform(0.2, 0.8, n)
        draws = posterior(truth + errors * rng.standard_normal(n), errors, draws=2000)
        better = (draws[:, :, None] > draws[:, None, :]).mean(axis=0)
        for i, j in zip(*np.triu_indices(n, 1), strict=True):
            one, other = (i, j) if better[i, j] >= 0.5 else (j, i)
            stated.append(better[one, other])
            right.append(truth[one] > truth[other])
    stated, right = np.array(stated), np.array(right)
    near = (stated > 0.85) & (stated < 0.95)
    assert near.sum() > 250
    assert 0.85 <= right[near].mean() <= 0.95
    even = stated < 0.6
    assert 0.4 <= right[even].mean() <= 0.65


@pytest.mark.parametrize(("others", "trials"), [(5, 60), (14, 20)])
def test_one_bad_conductor_does_not_part_the_equal_ones(others, trials):
    """The others differ by chance alone: of their pairs, few are said to be in order, and those not with certainty."""
    rng = np.random.default_rng(5)
    stated, right = [], []
    for _ in range(trials):
        truth = np.append(0.1 * rng.standard_normal(others), -5.0)
        errors = rng.uniform(0.2, 0.5, others + 1)
        draws = posterior(truth + errors * rng.standard_normal(others + 1), errors, draws=4000)
        better = (draws[:, :, None] > draws[:, None, :]).mean(axis=0)
        assert np.all(better[:-1, -1] > 0.99)
        for i, j in zip(*np.triu_indices(others, 1), strict=True):
            one, other = (i, j) if better[i, j] >= 0.5 else (j, i)
            stated.append(better[one, other])
            right.append(truth[one] > truth[other])
    stated, right = np.array(stated), np.array(right)
    assert (stated > 0.9).mean() < 0.13
    assert (stated > 0.97).mean() < 0.03
    assert stated.mean() - right.mean() < 0.13


def test_the_ends_of_a_series_are_known_and_neighbours_are_not():
    rng = np.random.default_rng(3)
    found = rank_systems(
        {"worst": line(0.35, rng), "best": line(0.15, rng), "b": line(0.250, rng), "a": line(0.251, rng)}, [300.0]
    )
    assert [found[0].system, found[-1].system] == ["best", "worst"]
    assert found[0].rank_ci95 == (1, 1)
    assert found[-1].rank_ci95 == (4, 4)
    assert {one.rank_ci95 for one in found[1:3]} == {(2, 3)}
    assert found[1].rank_text == "2-3"
    assert found[0].better_than["worst"] > 0.999
    assert 0.1 < found[1].better_than[found[2].system] < 0.9
    assert found[1].better_than[found[2].system] + found[2].better_than[found[1].system] == pytest.approx(1, abs=1e-12)


def test_no_ranking_of_one_system_or_without_a_conductivity():
    assert rank_systems({"a": line(0.2)}, [300.0]) == ()
    assert rank_systems({"a": line(0.2), "b": analyse_arrhenius([], [300.0])}, [300.0]) == ()


def test_it_is_printed_and_written(tmp_path):
    rows = [
        PooledTransport(
            system=name, temperature_K=t, n_runs=1, length_ps=10.0, verdict="diffusive", D_cm2_s=D, ln_D_sigma=0.05,
            D_ci95_cm2_s=(0.9 * D, 1.1 * D), n_carriers=24, volume_A3=1000.0,
        )
        for name, Ea in (("slow", 0.4), ("fast", 0.2)) for t in T for D in [1e-3 * np.exp(-Ea / (KB_EV * t))]
    ]
    settings = ConductivitySettings(figures=False)
    result = summarise_runs([], settings, rows)
    assert [one.system for one in result.ranking] == ["fast", "slow"]
    assert result_lines(result)[-1] == "Rank at 300 K (95 %): 1 fast, 2 slow; P(fast > slow) = 1.00"
    write_analysis(Analysis((), result), settings, tmp_path)
    with (tmp_path / "ranking.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [(row["system"], row["best_rank"], row["worst_rank"]) for row in table] == [
        ("fast", "1", "1"), ("slow", "2", "2")
    ]
    assert float(table[0]["sigma_mS_cm"]) == pytest.approx(result.arrhenius_by_system["fast"].at(300.0).sigma_mS_cm)
