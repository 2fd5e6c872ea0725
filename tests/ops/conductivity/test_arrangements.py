"""Several arrangements of one composition: one diffusion coefficient, whose interval contains their spread."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dpa_sse.ops.conductivity.analyse import analyse
from dpa_sse.ops.conductivity.calibrate import measure_synthetic
from dpa_sse.ops.conductivity.estimate import estimate_self
from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.conductivity.synthetic import HopModel
from dpa_sse.ops.results.conductivity import DIFFUSIVE
from tests.md_runs import md_run

MODEL = HopModel(n_ions=40, n_frames=1000, D_A2_ps=0.15)


def ensemble(rng, scatter, arrangements=4, replicas=1, model=MODEL):
    """Return the estimate of D of an ensemble of arrangements whose D scatter by a factor exp(scatter z)."""
    measured, names = [], []
    for k in range(arrangements):
        own = replace(model, D_A2_ps=model.D_A2_ps * float(np.exp(scatter * rng.standard_normal())))
        for _ in range(replicas):
            measured.append(measure_synthetic(own, int(rng.integers(2**31))))
            names.append(f"x.c{k:03d}")
    return estimate_self(measured, model.hop_A, arrangements=names)


def covered(count, scatter, **options):
    rng = np.random.default_rng(11)
    truth = MODEL.D_A2_ps * np.exp(scatter**2 / 2) * 1e-4  # mean over the ensemble, cm2/s
    inside = 0
    for _ in range(count):
        found = ensemble(rng, scatter, **options)
        assert found.verdict == DIFFUSIVE
        low, high = found.D_ci95_cm2_s
        inside += low <= truth <= high
    return inside / count


def test_intervals_cover_the_mean_of_the_ensemble():
    assert covered(40, 0.3) >= 0.88


@pytest.mark.slow
@pytest.mark.parametrize(("scatter", "arrangements"), [(0.3, 4), (0.3, 8), (0.0, 4), (0.5, 5)])
def test_bar_of_the_ensemble(scatter, arrangements):
    found = covered(300, scatter, arrangements=arrangements)
    assert found >= 0.90
    if scatter:  # without one, the larger of two errors counts, each of which is enough
        assert found <= 0.995


def test_replicas_of_one_arrangement_do_not_narrow_the_spread():
    """Nine runs of three arrangements are three independent samples of the ensemble."""
    rng = np.random.default_rng(5)
    many = ensemble(rng, 0.5, arrangements=3, replicas=3)
    assert many.error.ln_half95 == many.error.ln_half95_arrangements == many.ln_half95
    assert many.error.ln_half95_replicas is None
    alone = estimate_self([measure_synthetic(MODEL, seed) for seed in range(9)], MODEL.hop_A)
    assert many.ln_half95 > 3 * alone.ln_half95
    assert "mean of 3 arrangements of the atoms, whose D scatter by" in many.reasons[0]
    assert many.reasons[0].endswith("4 or more give a narrower interval")


def test_md_folders_of_several_arrangements_are_one_system(makers, tmp_path):
    folders = []
    for k in range(4):
        sample = makers.sample(n_frames=1200, n_li=16, seed=k)
        folder = tmp_path / f"md-{k:03d}"
        folder.mkdir()
        makers.text(sample, folder / "traj.lammpstrj")
        md_run(system=f"LPS.c{k:03d}", temperature_K=700.0).write(folder)
        folders.append(folder)
    result = analyse(folders, ConductivitySettings(figures=False)).result
    [pooled] = result.temperatures
    assert (pooled.system, pooled.n_runs, pooled.n_arrangements) == ("LPS", 4, 4)
    assert pooled.estimator.ln_half95_arrangements > 0
    assert list(result.arrhenius_by_system) == ["LPS"]
    assert sorted(run.source for run in result.runs) == [f"LPS.c{k:03d}_700K_0" for k in range(4)]
    assert any("arrangements of the atoms" in reason for reason in pooled.reasons)
