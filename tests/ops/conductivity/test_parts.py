"""Runs in several files that overlap, count from one again, or hold one frame each; parts and copies of a run."""

from __future__ import annotations

import numpy as np
import pytest

from dpa_sse.ops.conductivity.analyse import analyse
from dpa_sse.ops.conductivity.settings import ConductivitySettings, SourceOptions
from dpa_sse.ops.conductivity.terminal import result_lines
from tests.ops.conductivity.test_foreign_files import xdatcar, xyz

PLAIN = ConductivitySettings(figures=False)


@pytest.fixture(scope="module")
def run(makers):
    return makers.sample(n_frames=120, n_li=12, D=0.2, cell=np.diag([14.0, 13.0, 15.0]), drift=0.0)


def part(makers, run, frames):
    return makers.Sample(run.positions[frames], run.cells[frames], run.symbols)


def analysed(folder, **options):
    lines = []
    found = analyse([folder], PLAIN, SourceOptions(**{"timestep_fs": 2.0, **options}), lines.append)
    return found, lines


@pytest.mark.parametrize("wrapped", [False, True])
def test_files_that_overlap_are_one_run(makers, run, tmp_path, wrapped):
    folder = tmp_path / "a_700K"
    folder.mkdir()
    for name, frames in (("p1", slice(0, 70)), ("p2", slice(50, 120))):
        steps = 50 * np.arange(120)[frames]
        makers.text(part(makers, run, frames), folder / f"{name}.lammpstrj", steps=steps,
                    **({"columns": "id element x y z"} if wrapped else {}))
    whole = analyse([makers.text(run, tmp_path / "whole_700K.lammpstrj")], PLAIN, SourceOptions(timestep_fs=2.0))
    found, _ = analysed(folder)
    (one,) = found.result.runs
    assert (one.n_frames, one.left_out) == (120, {"repeated at a restart": 20})
    np.testing.assert_allclose(
        found.runs[0].data.replicas["Li"].msd, whole.runs[0].data.replicas["Li"].msd, rtol=1e-5, atol=1e-6
    )


def test_other_runs_that_share_steps_are_not_joined(makers, run, tmp_path):
    folder = tmp_path / "a_700K"
    folder.mkdir()
    other = makers.sample(n_frames=120, n_li=12, D=0.2, cell=run.cells[0], drift=0.0, seed=99)
    for name, sample, first in (("p1", run, 0), ("p2", other, 50)):
        makers.text(sample, folder / f"{name}.lammpstrj", steps=50 * (first + np.arange(120)))
    found, _ = analysed(folder)
    assert [one.n_frames for one in found.result.runs] == [120, 120]
    assert found.result.temperatures[0].n_runs == 2


def test_a_part_of_a_run_beside_it_counts_once(makers, run, tmp_path):
    folder = tmp_path / "a_700K"
    folder.mkdir()
    makers.text(part(makers, run, slice(30, 110)), folder / "a.lammpstrj", steps=50 * np.arange(80))
    makers.text(run, folder / "b.lammpstrj", steps=50 * np.arange(120))
    found, _ = analysed(folder)
    entry = found.result.temperatures[0]
    assert (entry.n_runs, entry.sources) == (1, ("a_700K_b",))
    assert any("1 copy of the same run left out" in line for line in result_lines(found.result))


def test_numbers_that_start_again_in_each_folder(run, tmp_path):
    for k in range(3):
        folder = tmp_path / "md_700K" / f"run{k}"
        folder.mkdir(parents=True)
        (folder / "XDATCAR").write_text(xdatcar(run, range(50, 10000, 50), frames=range(40 * k, 40 * k + 40)))
    found, lines = analysed(tmp_path / "md_700K")
    (one,) = found.result.runs
    assert (one.n_frames, one.temperature_K) == (120, 700.0)
    assert one.length_ps == pytest.approx(119 * 0.1)
    assert any("run0/XDATCAR to run2/XDATCAR" in line for line in lines)


@pytest.mark.parametrize(("comment", "every"), [(lambda t: f"step={50 * t}", None), (lambda _: "", 50)])
def test_one_file_for_each_frame(run, tmp_path, comment, every):
    """In the order of the steps in the files, or of the numbers in their names."""
    folder = tmp_path / "frames_700K"
    folder.mkdir()
    for t in range(60):
        xyz(run, folder / f"frame.{t}.extxyz", lambda _, t=t: comment(t), frames=[t])
    found, lines = analysed(folder, frame_every=every)
    (one,) = found.result.runs
    assert (one.n_frames, one.length_ps) == (60, pytest.approx(5.9))
    assert len(lines) == 1
    (folder / "frame.30.extxyz").unlink()
    found, lines = analysed(folder, frame_every=every)
    assert len(found.result.runs) == 59
    assert len(lines) == 1
    assert "58 more files with one frame" in lines[0]


def test_the_nearest_folder_with_a_temperature_counts(makers, run, tmp_path):
    inner = tmp_path / "all_500K" / "md_900K" / "part"
    inner.mkdir(parents=True)
    makers.text(run, inner / "a.lammpstrj")
    found, _ = analysed(tmp_path / "all_500K")
    assert [one.temperature_K for one in found.result.runs] == [900.0]
