"""Calibration of the error bars: repeated synthetic runs with known diffusion coefficients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from dpa_sse.ops.conductivity.correlation import cross_msd
from dpa_sse.ops.conductivity.estimate import estimate_self
from dpa_sse.ops.conductivity.replica_msd import ReplicaMsd, add_hop_statistics, measure_replica
from dpa_sse.ops.conductivity.synthetic import HopModel, simulate
from dpa_sse.ops.conductivity.transport import collective_fit
from dpa_sse.ops.results.conductivity import DIFFUSIVE


def models() -> dict[str, HopModel]:
    """Return the diffusive ensembles: concerted hops (two sizes), independent ions, slow cage, rare hops."""
    return {
        "small": HopModel(),
        "medium": HopModel(n_ions=100, n_frames=5000),
        "independent": HopModel(shared=0.0, group=1),
        "slow cage": HopModel(cage_ps=8.0),
        "rare hops": HopModel(D_A2_ps=0.02),
    }


def caged_models() -> dict[str, HopModel]:
    """Return ensembles in which D is zero."""
    return {
        "caged": HopModel(D_A2_ps=0.0),
        "slow cage": HopModel(D_A2_ps=0.0, cage_ps=30.0, cage_A=1.0),
        "back-jumps": HopModel(back_jumps=True),
        # 12 sites 2.6 A apart, relaxation times of 9 and 18 ps in runs of 200 ps
        "cage of sites": HopModel(cage_sites=True, hop_A=2.6, D_A2_ps=0.225, shared=0.0, cage_A=0.0),
        "slow cage of sites": HopModel(cage_sites=True, hop_A=2.6, D_A2_ps=0.112, shared=0.0, cage_A=0.0),
        "fast back-jumps": HopModel(back_jumps=True, D_A2_ps=0.5, vibration_A=0.4),
    }


@dataclass(frozen=True)
class Coverage:
    """Outcome of repeated runs of one ensemble.

    Attributes
    ----------
    runs, reported : int
        All runs, and those with a diffusion coefficient.
    covered, rmse, bias : float
        Fraction of 95 % intervals that contain the true D, relative root mean square error, relative bias.
    collective_reported : int
        Runs with a collective conductivity, to which ``collective_covered`` and ``collective_rmse`` refer.
    """

    runs: int
    reported: int
    covered: float
    rmse: float
    bias: float
    collective_reported: int
    collective_covered: float
    collective_rmse: float


def measure_synthetic(model: HopModel, seed: int) -> ReplicaMsd:
    """Return one synthetic run as the estimators take it."""
    return measure(simulate(model, seed), model.dt_ps, model.hop_A)


def measure(series: np.ndarray, dt_ps: float, hop_A: float) -> ReplicaMsd:
    """Return what the estimators need of displacements (M, 3, T), A."""
    series = series.astype(np.float32)
    return add_hop_statistics(measure_replica(series, dt_ps), series, hop_A)


def coverage(model: HopModel, seeds: Iterable[int]) -> Coverage:
    """Analyse one synthetic run per seed and compare with the true values."""
    tracer, together, count = [], [], 0
    for seed in seeds:
        count += 1
        series = simulate(model, seed)
        estimate = estimate_self([measure(series, model.dt_ps, model.hop_A)], model.hop_A)
        if estimate.verdict != DIFFUSIVE or estimate.fit is None:
            continue
        ratio = (estimate.D_cm2_s or 0.0) * 1e4 / model.D_A2_ps
        tracer.append((ratio, abs(np.log(ratio)) < (estimate.ln_half95 or 0.0)))
        total = series.sum(axis=0)
        value = cross_msd(total, total, series.shape[2] // 2)
        fit = collective_fit([value], [series.shape[2]], model.dt_ps, estimate.fit.collective_ps)
        if fit is None:
            continue
        ratio = fit[0].slope / 6 / (model.n_ions * model.collective_diffusion)
        together.append((ratio, abs(np.log(ratio)) < 1.96 * fit[0].birge_sigma / fit[0].slope))
    ratios, covered = np.array(tracer).T if tracer else (np.ones(1), np.zeros(1))
    others, inside = np.array(together).T if together else (np.ones(1), np.zeros(1))
    return Coverage(
        count, len(tracer), float(covered.mean()), float(np.sqrt(((ratios - 1) ** 2).mean())), float(ratios.mean() - 1),
        len(together), float(inside.mean()), float(np.sqrt(((others - 1) ** 2).mean())),
    )
