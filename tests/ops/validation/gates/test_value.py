"""G17: the speed of a student and its reference, and errors against a model from scratch."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from dpa_sse.ops.results.gates import GateResult
from dpa_sse.ops.validation.gates.base import Labels, Measurement, Reference
from dpa_sse.ops.validation.gates.judge import judge
from dpa_sse.ops.validation.gates.value import speedup
from tests.ops.validation.gates.analytic import THRESHOLDS, Changed, Pairs
from tests.ops.validation.gates.test_gates import ALL, data, noisy


def slow(seconds: float) -> Changed:
    def wait(labels: Labels, *_: np.ndarray) -> Labels:
        time.sleep(seconds)
        return labels
    return Changed(Pairs(), wait, "slow")


def judged(model: Pairs | Changed, reference: Reference, **protocol: float) -> tuple[GateResult, Measurement]:
    from tests.ops.validation.gates.analytic import measured

    entry = THRESHOLDS.gates["G17"]
    numbers = {**entry.protocol_at("standard"), "atoms": 32, "repeats": 5, **protocol}
    found = measured("G17", model, reference, tier="standard", protocol=numbers)
    return judge("G17", found, entry, "standard"), found


def test_the_ratio_is_that_of_the_times() -> None:
    result, found = judged(slow(0.004), Reference("slow", slow(0.2)))
    value = found.values["speedup"]
    assert 20 < value.value < 50 and value.ci95 is not None and value.ci95[0] < value.value < value.ci95[1]
    assert result.verdict == "PASS" and "threads" in found.notes[0] and len(found.table) == 5
    assert {one.name: one.verdict for one in result.metrics}["error_over_from_scratch"] == "NOT_RUN"
    assert "--from-scratch MODEL" in next(one for one in result.metrics if one.name == "error_over_from_scratch").reason


def test_a_student_that_is_not_faster_fails() -> None:
    assert judged(slow(0.02), Reference("slow", slow(0.02)))[0].verdict == "FAIL"


def test_the_cell_is_as_large_for_both() -> None:
    _, found = judged(Pairs(), Reference("pairs", Pairs()), atoms=256, repeats=2)
    assert {row["atoms"] for row in found.table} == {256}


def test_a_slow_reference_is_called_once_and_does_not_tell() -> None:
    result, found = judged(Pairs(), Reference("slow", slow(0.3)), atoms=256, long_s=0.2)
    assert len(found.table) == 1 and found.table[0]["atoms"] == 32
    assert result.verdict == "INCONCLUSIVE" and "one call of a slow reference" in result.reason


def test_the_interval_covers_the_truth() -> None:
    rng, hits = np.random.default_rng(1), 0
    for _ in range(600):
        own, other = np.exp(rng.normal(0, 0.2, 7)), 30 * np.exp(rng.normal(0, 0.1, 7))
        ends = speedup(own, other).ci95
        assert ends is not None
        hits += ends[0] < 30 < ends[1]
    assert 0.93 < hits / 600 < 0.97


@pytest.mark.parametrize(("own", "other", "expected"), [
    (0.02, 0.05, "PASS"), (0.05, 0.02, "FAIL"), (0.03, 0.0301, "INCONCLUSIVE"),
])
def test_against_a_model_from_scratch(own: float, other: float, expected: str) -> None:
    held_out = data(trajectories=5)
    reference = replace(
        Reference("slow", slow(0.06), held_out.data, ALL), from_scratch=noisy(other, 0.01, seed=3)
    )
    result, found = judged(noisy(own, 0.01, seed=2), reference, repeats=2)
    metric = next(one for one in result.metrics if one.name == "error_over_from_scratch")
    assert metric.verdict == expected and metric.value == pytest.approx(own / other, rel=0.05)
    assert "from scratch" in " ".join(found.notes)


def test_without_a_reference() -> None:
    assert judged(Pairs(), Reference())[0].verdict == "NOT_RUN"
