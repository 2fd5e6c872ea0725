"""Directions of jumps."""

from __future__ import annotations

import numpy as np
import pytest

from dpa_sse.ops.conductivity.motion import jump_vectors, rose


def hopping(axis: int, n_jumps: int = 5, vibration_A: float = 0.3) -> np.ndarray:
    """Twenty ions that vibrate and jump by 3 A along one axis at known times, (20, 3, 3000), 0.02 ps a frame."""
    rng = np.random.default_rng(3)
    series = vibration_A * rng.standard_normal((20, 3, 3000))
    times = np.linspace(300, 2700, n_jumps).astype(int)  # between spans of 25 frames
    for time in times:
        series[:, axis, time:] += 3.0
    return series.astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_jump_is_seen_once_and_in_its_direction(axis: int) -> None:
    jumps = jump_vectors(hopping(axis), 0.02, 3.0)
    assert len(jumps) == 20 * 5
    mean = jumps.mean(axis=0)
    assert mean[axis] == pytest.approx(3.0, abs=0.1)
    assert np.abs(np.delete(mean, axis)).max() < 0.1


def test_vibration_alone_is_no_jump() -> None:
    assert len(jump_vectors(hopping(0, n_jumps=0, vibration_A=0.6), 0.02, 3.0)) == 0


def test_rose_points_where_the_jumps_go() -> None:
    jumps = jump_vectors(hopping(1), 0.02, 3.0)
    angles, shares = rose(jumps, (0, 1))
    assert angles[np.argmax(shares)] == pytest.approx(np.pi / 2, abs=np.radians(10))
    assert shares.sum() == pytest.approx(1.0, abs=0.01)
    assert rose(jumps, (0, 2))[1].sum() < 0.02


def test_a_run_too_short_for_a_jump_gives_none() -> None:
    jumps = jump_vectors(np.zeros((4, 3, 20), np.float32), 0.02, 3.0)
    assert jumps.shape == (0, 3)
    assert rose(jumps, (0, 1))[1].sum() == 0


def test_jumps_along_an_axis_fall_into_one_bin() -> None:
    jumps = np.array([[3.0, 0.0, 0.0], [3.0, 0.2, 0.0], [3.0, -0.2, 0.0], [-3.0, 0.1, 0.0], [-3.0, -0.1, 0.0]])
    angles, shares = rose(jumps, (0, 1))
    assert np.count_nonzero(shares) == 2
    assert np.cos(angles[shares > 0]) == pytest.approx([-1.0, 1.0])
    assert shares[shares > 0] == pytest.approx([0.4, 0.6], abs=0.01)
