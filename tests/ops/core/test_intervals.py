"""Intervals of mean errors over correlated frames: coverage of the true mean, and differences of two models."""

from __future__ import annotations

import numpy as np
import pytest

from dpa_sse.ops.core.intervals import blocks_of, difference_with_interval, mean_with_interval


def correlated(
    rng: np.random.Generator, trajectories: int, frames: int, memory: float, spread: float
) -> tuple[np.ndarray, list[str]]:
    """Return absolute errors of frames: correlated in time, each trajectory with another offset."""
    keep, values, names = float(np.exp(-1 / memory)), [], []
    for number in range(trajectories):
        x = np.empty(frames)
        x[0] = rng.normal()
        for k in range(1, frames):
            x[k] = keep * x[k - 1] + np.sqrt(1 - keep**2) * rng.normal()
        values.append(np.abs(5 * (x + spread * rng.normal())))
        names += [f"run{number}"] * frames
    return np.concatenate(values), names


def interval(values: np.ndarray, names: list[str]) -> tuple[float, tuple[float, float] | None]:
    blocks = blocks_of(names)
    return mean_with_interval(np.bincount(blocks, values), np.bincount(blocks))


@pytest.mark.parametrize(("trajectories", "frames", "memory", "spread"), [
    (4, 5, 3, 0.3), (4, 20, 5, 0.5), (8, 20, 5, 0.3), (20, 10, 5, 0.5), (6, 8, 10, 1.0),
])
def test_the_interval_covers_the_true_error(trajectories: int, frames: int, memory: float, spread: float) -> None:
    rng = np.random.default_rng(7)
    true = 5 * np.sqrt(1 + spread**2) * np.sqrt(2 / np.pi)  # mean of |normal|
    hits = 0
    for _ in range(500):
        _, ends = interval(*correlated(rng, trajectories, frames, memory, spread))
        assert ends is not None
        hits += ends[0] <= true <= ends[1]
    assert 0.90 <= hits / 500 <= 0.98


def test_single_frames_as_blocks_would_be_far_too_narrow() -> None:
    """The reason for blocks: the usual standard error covers the true value in less than two of three cases."""
    rng, hits, true = np.random.default_rng(8), 0, 5 * np.sqrt(1.25) * np.sqrt(2 / np.pi)
    for _ in range(300):
        values, _ = correlated(rng, 4, 20, 5, 0.5)
        half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
        hits += abs(values.mean() - true) <= half
    assert hits / 300 < 0.65


def test_a_single_trajectory_is_cut_into_consecutive_blocks() -> None:
    assert blocks_of(["a"] * 10).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert blocks_of(["a", "b", "a"]).tolist() == [0, 1, 0]
    assert mean_with_interval([3.0], [2])[1] is None


def test_a_paired_difference_finds_what_single_intervals_hide() -> None:
    rng, found, apart = np.random.default_rng(9), 0, 0
    for _ in range(100):
        hard = rng.uniform(1, 10, 6)  # trajectories differ in how hard they are for both models
        one, other = hard * rng.normal(1, 0.02, 6), hard * rng.normal(1.2, 0.02, 6)
        _, ends = difference_with_interval(one, other, np.ones(6))
        first, second = (mean_with_interval(values, np.ones(6))[1] for values in (one, other))
        assert ends and first and second
        found += ends[1] < 0
        apart += first[1] < second[0]
    assert found >= 90
    assert apart <= 10


def test_one_long_trajectory_does_not_make_an_interval() -> None:
    """Blocks of very different length count as the few that carry the mean."""
    assert mean_with_interval([100.0, 1.0, 1.2, 0.9], [100, 1, 1, 1])[1] is None
    assert difference_with_interval([100.0, 1.0], [110.0, 1.1], [100, 1])[1] is None
    assert mean_with_interval([3.0, 4.0], [2, 2])[1] is None
    assert mean_with_interval([3.0, 4.0, 3.5], [2, 2, 2])[1] is not None
