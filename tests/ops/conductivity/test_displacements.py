"""Unwrapping, drift, breathing cells, uneven frames: right, or refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest

from dpa_sse.ops.conductivity.displacements import read_displacements
from dpa_sse.ops.conductivity.readers.time_axis import even_section
from dpa_sse.ops.conductivity.readers.trajectory import Chunk, Trajectory
from dpa_sse.ops.conductivity.synthetic import HopModel, simulate
from dpa_sse.ops.core.errors import InputError


def trajectory(positions, cells, symbols, dt_ps=0.1, unwrapped=False, times=None, origins=None):
    times = np.arange(len(positions)) * dt_ps if times is None else np.asarray(times)
    origins = np.zeros((len(positions), 3)) if origins is None else origins

    def chunks():
        for k in range(0, len(positions), 64):
            part = slice(k, k + 64)
            yield Chunk(np.ascontiguousarray(positions[part]), cells[part], origins[part], times[part])

    found = Trajectory(list(symbols), chunks(), unwrapped)
    found.again = lambda: trajectory(positions, cells, symbols, dt_ps, unwrapped, times, origins)
    return found


def framework_relative(sample, n_li):
    moves = sample.positions - sample.positions[0]
    return (moves[:, :n_li] - moves[:, n_li:].mean(axis=1, keepdims=True)).transpose(1, 2, 0)


def test_wrapped_and_unwrapped_input_agree(sample):
    expected = framework_relative(sample, 12)
    for positions, trusted in ((sample.wrapped(), False), (sample.positions, True), (sample.positions, False)):
        found = read_displacements(trajectory(positions, sample.cells, sample.symbols, unwrapped=trusted), ["Li"])
        np.testing.assert_allclose(found.mobile, expected, atol=1e-5)
        assert found.problems == []
        np.testing.assert_allclose(found.sums["Li"], expected.sum(axis=0), atol=1e-6)
        np.testing.assert_allclose(found.sums["P"] + found.sums["S"], 0, atol=1e-9)


def test_drift_is_removed_and_reported(makers):
    still, drifting = makers.sample(drift=0.0), makers.sample(drift=2.0)
    a, b = (read_displacements(trajectory(s.wrapped(), s.cells, s.symbols), ["Li"]) for s in (still, drifting))
    np.testing.assert_allclose(a.mobile, b.mobile, atol=1e-4)
    assert b.drift_A > 50 > 1 > a.drift_A


def test_samples_hold_all_atoms(makers):
    sample = makers.sample(n_frames=2000)
    found = read_displacements(trajectory(sample.wrapped(), sample.cells, sample.symbols), ["Li"])
    assert 200 < len(found.samples) <= 513
    moves = sample.positions - sample.positions[0]
    moves -= moves[:, 12:].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found.samples @ found.cell, moves[found.sample_frames], atol=1e-4)


def breathing(strain, n_frames=4000, seed=5, n_li=20, n_framework=80):
    """NPT: an affinely breathing, drifting cell with atoms that only vibrate."""
    rng = np.random.default_rng(seed)
    base = np.array([[20.0, 0, 0], [4.0, 19.0, 0], [2.0, 3.0, 21.0]])
    noise = np.zeros(n_frames)
    for t in range(1, n_frames):
        noise[t] = 0.95 * noise[t - 1] + np.sqrt(1 - 0.95**2) * rng.normal()
    cells = base * (1 + strain * noise)[:, None, None]
    sites = rng.random((n_li + n_framework, 3))
    reduced = sites + np.arange(n_frames)[:, None, None] * 0.002 * np.array([0.1, 0.05, -0.1])
    positions = np.einsum("tnc,tcd->tnd", reduced, cells) + 0.1 * rng.standard_normal((n_frames, n_li + n_framework, 3))
    wrapped = np.einsum("tnc,tcd->tnd", np.einsum("tnc,tcd->tnd", positions, np.linalg.inv(cells)) % 1, cells)
    return wrapped, cells, ["Li"] * n_li + ["S"] * n_framework


def test_breathing_cell_gives_no_false_diffusion():
    """Bar: false D of the framework under NPT with 0.5 % strain below 1e-12 cm2/s."""
    from dpa_sse.ops.conductivity.correlation import msd_tensor

    positions, cells, symbols = breathing(0.005)
    found = read_displacements(trajectory(positions, cells, symbols), ["S"])  # the framework itself, against the Li
    found_li = read_displacements(trajectory(positions, cells, symbols), ["Li"])
    for one in (found, found_li):
        msd = msd_tensor(one.mobile, one.n_frames // 2)[:3].sum(axis=0)
        lags = np.arange(100, one.n_frames // 2)
        slope = np.polyfit(lags * one.dt_ps, msd[lags], 1)[0]
        error = 0.02 * msd[lags].mean() / (lags[-1] * one.dt_ps)  # what the vibrations alone leave
        assert abs(slope) < error
    assert found.volume_A3 == pytest.approx(np.linalg.det(cells).mean())


def test_pure_breathing_is_exactly_still():
    """Without vibrations nothing moves, even if the cell breathes: D below 1e-12 cm2/s."""
    rng = np.random.default_rng(0)
    n_frames = 2000
    base = np.array([[20.0, 0, 0], [4.0, 19.0, 0], [2.0, 3.0, 21.0]])
    cells = base * (1 + 0.005 * rng.standard_normal(n_frames))[:, None, None]
    reduced = rng.random((50, 3)) + np.arange(n_frames)[:, None, None] * 1e-3
    positions = np.einsum("tnc,tcd->tnd", reduced % 1, cells)
    found = read_displacements(trajectory(positions, cells, ["Li"] * 10 + ["S"] * 40), ["Li"])
    msd = ((found.mobile - found.mobile[:, :, :1]) ** 2).sum(axis=1).mean(axis=0)
    D_cm2_s = msd.max() / (6 * found.length_ps) * 1e-4
    assert D_cm2_s < 1e-12


def test_moving_origin_of_the_box(sample):
    """LAMMPS scales an NPT box about its centre, so its corner moves."""
    origins = np.linspace(0, 5, len(sample.positions))[:, None] * np.ones(3)
    shifted = sample.wrapped() + origins[:, None, :]
    found = read_displacements(trajectory(shifted, sample.cells, sample.symbols, origins=origins), ["Li"])
    np.testing.assert_allclose(found.mobile, framework_relative(sample, 12), atol=1e-5)


def test_several_mobile_species(makers):
    sample = makers.sample()
    symbols = ["Na" if k % 2 else "Li" for k in range(12)] + sample.symbols[12:]
    found = read_displacements(trajectory(sample.wrapped(), sample.cells, symbols), ["Na", "Li"])
    assert found.mobile_symbols == ["Na"] * 6 + ["Li"] * 6
    np.testing.assert_allclose(found.of("Li"), framework_relative(sample, 12)[::2], atol=1e-5)


def test_references_without_framework(makers):
    positions = simulate(HopModel(n_ions=10, n_frames=200), 1).transpose(2, 0, 1) + 5
    cells = np.repeat(np.eye(3)[None] * 30, 200, axis=0)
    with pytest.raises(InputError, match="no framework"):
        read_displacements(trajectory(positions, cells, ["Li"] * 10), ["Li"])
    free = read_displacements(trajectory(positions, cells, ["Li"] * 10), ["Li"], "laboratory")
    np.testing.assert_allclose(free.mobile, (positions - positions[0]).transpose(1, 2, 0), atol=1e-4)
    centred = read_displacements(trajectory(positions, cells, ["Li"] * 5 + ["Cl"] * 5), ["Li", "Cl"], "barycentre")
    masses = np.array([6.94] * 5 + [35.45] * 5)
    np.testing.assert_allclose(np.einsum("n,nct->ct", masses, centred.mobile), 0, atol=2e-3)


def test_a_species_that_is_not_there(sample):
    with pytest.raises(InputError, match="no Na in the trajectory"):
        read_displacements(trajectory(sample.positions, sample.cells, sample.symbols), ["Na"])


def test_too_few_frames(sample):
    with pytest.raises(InputError, match="only 9 frames"):
        read_displacements(trajectory(sample.positions[:9], sample.cells[:9], sample.symbols), ["Li"])


def test_frames_too_far_apart_are_refused():
    rng = np.random.default_rng(0)
    positions = rng.random((50, 20, 3)) * 10  # no memory from frame to frame
    cells = np.repeat(np.eye(3)[None] * 10, 50, axis=0)
    found = read_displacements(trajectory(positions, cells, ["Li"] * 5 + ["S"] * 15), ["Li"])
    assert any("too far apart" in text for text in found.problems)


def test_atoms_that_change_order_are_noticed(makers):
    sample = makers.sample(cell=np.diag([30.0, 31.0, 32.0]))
    positions = sample.wrapped()
    positions[150:, [0, 5]] = positions[150:, [5, 0]]
    found = read_displacements(trajectory(positions, sample.cells, sample.symbols), ["Li"])
    assert any("change order" in text for text in found.problems)


def test_half_of_a_cell_between_frames(makers):
    """A jump of more than half a cell cannot be undone; unwrapped columns may have it."""
    cells = np.repeat(np.eye(3)[None] * 4.0, 100, axis=0)
    positions = np.zeros((100, 3, 3)) + np.array([[0.5], [1.0], [3.0]])
    positions[50:, 0, 0] += 1.9
    wrapped = read_displacements(trajectory(positions, cells, ["Li", "S", "S"]), ["Li"])
    assert any("ambiguous" in text for text in wrapped.problems)
    assert read_displacements(trajectory(positions, cells, ["Li", "S", "S"], unwrapped=True), ["Li"]).problems == []


def test_wrapped_positions_that_are_called_unwrapped(makers):
    sample = makers.sample(drift=3.0)
    found = read_displacements(trajectory(sample.wrapped(), sample.cells, sample.symbols, unwrapped=True), ["Li"])
    assert any("wrapped after all" in text for text in found.problems)


def test_many_wrapped_atoms_that_are_called_unwrapped(makers):
    """In a large or fast cell some atom crosses a face in every frame: jumps are not unusual."""
    sample = makers.sample(n_frames=300, drift=30.0)
    steps = np.abs(np.diff(sample.wrapped(), axis=0)).max(axis=(1, 2))
    assert np.quantile(steps, 0.1) > 10
    found = read_displacements(trajectory(sample.wrapped(), sample.cells, sample.symbols, unwrapped=True), ["Li"])
    assert any("wrapped after all" in text for text in found.problems)


def test_flipping_cells_are_refused(sample):
    cells = sample.cells.copy()
    cells[150:, 1, 0] -= 14.0  # the same lattice in other words
    found = read_displacements(trajectory(sample.positions, cells, sample.symbols), ["Li"])
    assert any("flip" in text for text in found.problems)


def test_missing_frames(sample):
    keep = np.r_[0:40, 60:300]
    found = read_displacements(
        trajectory(sample.wrapped()[keep], sample.cells[keep], sample.symbols, times=keep * 0.1), ["Li"]
    )
    assert found.n_frames == 240
    assert any("frames are missing" in note for note in found.notes)
    expected = framework_relative(sample, 12)[:, :, 60:]
    np.testing.assert_allclose(
        found.mobile - found.mobile[:, :, :1], expected - expected[:, :, :1], atol=1e-4
    )


def test_uneven_frames_are_refused(sample):
    times = np.cumsum(np.random.default_rng(0).integers(1, 5, 300)) * 0.1
    with pytest.raises(InputError, match="not evenly spaced"):
        read_displacements(trajectory(sample.wrapped(), sample.cells, sample.symbols, times=times), ["Li"])


def test_frames_of_a_restart_are_left_out(sample):
    order = np.r_[0:160, 150:300]
    found = read_displacements(
        trajectory(sample.wrapped()[order], sample.cells[order], sample.symbols, times=order * 0.1), ["Li"]
    )
    assert found.n_frames == 300
    assert any("restarted run" in note for note in found.notes)
    np.testing.assert_allclose(found.mobile, framework_relative(sample, 12), atol=1e-5)
    moves = sample.positions - sample.positions[0]
    moves -= moves[:, 12:].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found.samples @ found.cell, moves[found.sample_frames], atol=1e-4)
    with pytest.raises(InputError, match="time does not increase at frame 150"):
        order = np.r_[0:150, 0:150]
        twice = trajectory(sample.wrapped()[order], sample.cells[order], sample.symbols, times=order * 0.1)
        read_displacements(twice, ["Li"])


def test_skip_and_even_section():
    notes: list[str] = []
    keep, dt = even_section(np.arange(100) * 0.5, 10.0, notes)
    assert (keep.start, keep.stop, dt, notes) == (20, 100, 0.5, [])
    with pytest.raises(InputError, match="fewer than ten frames are left"):
        even_section(np.arange(100) * 0.5, 48.0, notes)


def test_growth_without_a_hint(makers):
    sample = makers.sample(n_frames=2500, n_li=4)
    found = read_displacements(trajectory(sample.wrapped(), sample.cells, sample.symbols), ["Li"])
    np.testing.assert_allclose(found.mobile, framework_relative(sample, 4), atol=2e-4)


def test_times_in_single_precision_are_even(sample):
    """An XTC file rounds times, after a nanosecond to more than a ten-thousandth of a usual spacing of frames."""
    times = (5000 + np.arange(300) * 0.1).astype(np.float32).astype(float)
    keep, dt = even_section(times, 0.0, [])
    assert (keep.start, keep.stop) == (0, 300)
    assert dt == pytest.approx(0.1, rel=1e-5)
    notes: list[str] = []
    keep, dt = even_section(np.delete(times, range(40, 60)), 0.0, notes)
    assert (keep.start, keep.stop) == (40, 280)
    assert dt == pytest.approx(0.1, rel=1e-5)
    assert "frames are missing" in notes[0]


def test_a_cell_without_volume_is_refused(sample):
    cells = np.zeros_like(sample.cells)
    with pytest.raises(InputError, match="without volume between frames 0 and"):
        read_displacements(trajectory(sample.positions, cells, sample.symbols), ["Li"])
